"""Programs to start from. They are tested; copy and change them."""
