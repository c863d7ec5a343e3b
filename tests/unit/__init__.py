"""Rules and services by themselves: pure code, services on the fakes of tests/fakes. No AWS, no emulator; sockets
on the loopback where HTTP itself is what is tested.
"""
