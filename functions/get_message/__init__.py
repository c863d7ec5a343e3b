"""Reads a booking's history. Writes nothing."""
