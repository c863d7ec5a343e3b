"""Mutation testing: small changes to the code, each of which a test has to notice. `make mutants`; docs/reliability.md.

cosmic-ray changes the code, `coverage` knows which test runs which line. The code and all tests are loaded once. For
each change a fork of that process replaces the changed functions and runs the tests of the changed line, quick ones
first, until one fails. So a change takes as long as its tests, and no file is ever written.

- `operators.py`: the kinds of changes, those of cosmic-ray that matter here and our own;
- `finding.py`: where each can be made, and to which line, definition and group it belongs;
- `running.py`: the fork, and the map from lines to tests;
- `reporting.py`: the report, and `equivalent.toml`, the list of changes that make no difference.
"""
