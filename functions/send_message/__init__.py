"""Stores messages and receipts, and sends them to the booking's connections. Owns the messages table."""
