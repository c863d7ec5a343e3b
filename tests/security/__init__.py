"""Who gets in and what is never said: in the world on moto (tests/worlds), with tokens asked for."""
