"""The real handlers with real events on moto, and a real HTTP server for their posts."""
