"""HTTP over sockets: one exchange for posts to connections, for AWS's requests and for the proxy's backend."""
