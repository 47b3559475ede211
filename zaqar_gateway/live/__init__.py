"""What is told to clients as it happens: waiting requests, and queues that are read for listeners."""
