"""The running stack from outside, through real HTTP and WebSocket: `make run`, with the functions' roles enforced.

Two stacks for the session (tests/conftest.py), one with tokens; tests use bookings of their own. Some start a stack of
their own. They use the public doors, and boto3 only to arrange or check what no client can.
"""
