"""A function that dies at each of its requests, and answers that are lost: in the world on the wire (tests/worlds)."""
