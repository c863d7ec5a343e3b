"""The real handlers with real events, in the world on moto (tests/worlds). Some files bring a server of their own."""
