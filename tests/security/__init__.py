"""Who gets in and what is never said: the handlers as in tests/integration, with tokens asked for."""
