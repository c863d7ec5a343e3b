"""WebSocket connections: who is there, who is typing, and what a client has missed. Owns the connections table."""
