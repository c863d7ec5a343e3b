"""One file per question. Each prints a table and writes its numbers and a picture to docs/benchmarks/."""
