"""The rules of a conversation and its calls. Pure: no I/O, no clock, no environment; time and ids are arguments."""
