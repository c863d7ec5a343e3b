"""A ride's worth of trouble: seeded histories of many clients, run on the real functions, and judged by a checker.

How a run goes:

- `scheduler.py` has the time. It is virtual, and one strand (a client, an invocation) runs at a time; the seed alone
  decides which goes on. So a run depends on nothing but its seed.
- `world.py` is the AWS around the functions: Lambda, API Gateway's WebSockets, the timer queue. It also decides what
  goes wrong on the way to DynamoDB. `Faults` says how often.
- `clients.py` has the phones, which heal as the contract says, and the company. They call the real handlers. boto3's
  requests end in a DynamoDB in memory (`tests/fakes/dynamodb.py`), or in that of the embedded AWS.
- `run.py` puts these together: clients and faults until all operations are done, then calm until everything rests.
- `clients/proving/history.py` is what comes out: what each client asked, was told and believed, and at the end what the
  API says. `clients/proving/checker.py` judges it by the contract; it knows nothing of the code.

A checker that never complains proves nothing: `test_mutants.py` breaks the code, `test_checker.py` breaks histories,
and the checker has to see it. These tests may use the real functions, `tests/fakes` and `clients/proving`. Only one
test starts anything: the embedded DynamoDB.
"""
