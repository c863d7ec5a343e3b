"""These tests are in the world on moto."""

from tests.worlds.moto import later, world

__all__ = ["later", "world"]
