"""Random rides full of faults: many clients on the real functions. A checker judges the history of each run.

How a run goes:

- `scheduler.py` has the time, which is virtual. One strand (a client, an invocation) runs at a time; the seed decides
  which one. So a run depends only on its seed.
- `world.py` is the AWS around the functions: Lambda, API Gateway's WebSockets, the timer queue. It also decides what
  goes wrong on the way to DynamoDB. `Faults` says how often.
- `clients.py` has the phones, which heal as the contract says, and the company. They call the real handlers. boto3's
  requests end in a DynamoDB in memory (`tests/fakes/dynamodb.py`), or in that of the embedded AWS.
- `run.py` puts these together: clients and faults until all operations are done; then no more faults, until nothing
  happens any more.
- `clients/proving/history.py` is the result: what each client asked, was told and knew, and what the API says at the
  end. `clients/proving/checker.py` judges it by the contract; it knows nothing of the code.

A checker that never complains proves nothing. So `test_mutants.py` breaks the code and `test_checker.py` breaks
histories, and the checker has to report it. These tests may use the real functions, `tests/fakes` and
`clients/proving`. Only one test starts anything: the embedded DynamoDB.
"""
