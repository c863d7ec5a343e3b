"""One file a question. Each prints a table and writes its numbers and a picture to docs/benchmarks/."""
