"""Who gets in, and what must never be shown: the real handlers in the world on moto (tests/worlds), with tokens.

`conftest.py` has a ride under way, and a stranger's ride beside it.
"""
