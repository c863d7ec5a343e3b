"""The deployed stack from outside, through real HTTP and WebSocket, on the embedded AWS with its roles enforced."""
