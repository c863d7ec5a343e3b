"""These tests use the world on moto."""

from tests.worlds.moto import lagging, later, world

__all__ = ["lagging", "later", "world"]
