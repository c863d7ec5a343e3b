"""The doors of a function: REST, WebSocket, direct invocation, queue. Parse in, one call, answer out."""
