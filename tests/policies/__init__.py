"""Compares what the functions ask AWS for with what their roles allow: neither may be more.

`recording.py` notes the requests of all tests, `roles.py` reads the translated template. The tour of
`test_policies_used.py` uses the fakes of wire and gateway.
"""
