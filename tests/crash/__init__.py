"""Functions that die at each of their requests, lost answers and conflicts: in the world on the wire (tests/worlds).

Every write of every function (writes.py) has to end as if nothing had gone wrong, once its client tries again.
"""
