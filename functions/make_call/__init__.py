"""Calls: they ring, connect and end, and are logged. Owns the calls table, and the history message of an ended call."""
