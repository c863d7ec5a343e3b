"""The parts that run the stack on a laptop (local/) and the terminal's commands (clients/), each by itself.

The servers that they talk to are played by the test, on loopback. The stack as a whole is tested in tests/e2e.
"""
