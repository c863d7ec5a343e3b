"""Mutation testing: small changes to the code, each of which a test has to see. `make mutants`; docs/reliability.md.

cosmic-ray changes the code, `coverage` knows which test runs which line. The code and all tests are loaded once. For
each change a fork of that process swaps the functions that it changed and runs the tests of its line, the quick ones
first, until one fails. So a change takes as long as its tests, and no file is ever written.

- `operators.py`: which changes there are, those of cosmic-ray that matter here and our own;
- `finding.py`: where each can be made, and which line, definition and group it belongs to;
- `running.py`: the fork, and the map of lines and tests;
- `reporting.py`: the report, and what `equivalent.toml` says of changes that make no difference.
"""
