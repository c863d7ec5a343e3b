"""The real handlers with real events, in the world on moto (tests/worlds).

Some files play a service themselves: Lambda for the hook, FCM and APNs for the push example, AWS for a cold start.
"""
