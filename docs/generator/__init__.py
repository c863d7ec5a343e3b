"""Writes docs/openapi.yaml and docs/asyncapi.yaml from the models that the functions check requests with."""
