"""Races: many threads on the embedded AWS's DynamoDB. Its conditions hold under concurrency, moto's do not.

The real adapters, no handlers: tables with names of their own (conftest.py), and clocks that the tests set.
"""
