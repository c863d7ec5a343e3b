"""Fakes of what the functions talk to. Those of tables and bucket pass the same tests as the adapters (tests/contract).

- `messages.py`, `calls.py`, `attachments.py`: the adapters of the layer, in memory. Take them to test a service.
- `booking.py`: a booking around the service for calls, on any tables.
- `dynamodb.py`, `embedded.py`: DynamoDB itself, in memory or as a process. `tables.py` makes the tables.
- `wire.py`: all of AWS as one function sees it, request by request. `invocations.py`: what AWS invokes functions with.
- `gateway.py`, `peer.py`: HTTP servers; the first plays @connections, the second misbehaves on the wire.
"""
