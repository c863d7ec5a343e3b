"""Races: many threads on the embedded AWS's DynamoDB, whose conditions hold under concurrency (moto's do not)."""
