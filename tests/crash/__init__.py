"""A function that dies at each of its requests, and answers that are lost: on the wire world of tests/fakes/wire.py."""
