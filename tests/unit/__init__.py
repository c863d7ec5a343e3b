"""Rules and services by themselves: pure code, and services on the fakes of tests/fakes. No AWS, no emulator, and
sockets on loopback only where HTTP itself is tested.
"""
