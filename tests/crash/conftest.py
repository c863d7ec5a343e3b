"""These tests use the world on the wire."""

from tests.worlds.wire import world

__all__ = ["world"]
