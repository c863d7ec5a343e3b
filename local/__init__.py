"""What `make run` starts: the embedded AWS, the deploy into it, the front door, and the functions' logs."""
