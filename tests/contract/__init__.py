"""One suite for a fake and the real adapter. The adapters run on moto, one request at a time."""
