"""A ride's worth of trouble: seeded histories of many clients, run on the real functions, and judged by a checker."""
