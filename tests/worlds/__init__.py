"""The two worlds in which tests call the functions' real handlers. Each can do what the other cannot.

- `moto.py`: all of AWS as moto plays it, and a real HTTP server for the posts to connections. For what a function
  answers, stores, queues and publishes. moto's conditions do not hold under concurrency: what races is for
  tests/concurrency, on the embedded DynamoDB.
- `wire.py`: the test sees and decides about every request (tests/fakes/wire.py), on a DynamoDB in memory. For functions
  that die at a request, and for lost answers. tests/chaos plays its rides on the same wire.

A new test takes one of these, or the fakes of tests/fakes for a service by itself. It makes no world of its own.
"""
