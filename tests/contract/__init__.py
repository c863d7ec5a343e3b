"""One suite of tests for each adapter and its fake: so a fake cannot promise what the adapter does not keep.

The adapters run on moto, one request at a time. Nothing else of the code is used.
"""
