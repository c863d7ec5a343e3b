"""WebSocket connections: who is there, who is typing, and how things stand. Owns the connections table."""
