"""What runs the stack on a laptop, piece by piece; the whole of it is for tests/e2e."""
