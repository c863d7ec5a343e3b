"""The console in a real Chromium, on the running stack, or on a server that the test writes (scripted.py).

One browser for the session; each test opens a console with a booking of its own. Without Chromium they are skipped.
"""
