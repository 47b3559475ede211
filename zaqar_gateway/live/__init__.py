"""Live delivery: what is posted reaches whoever waits for it, from the place where they stand in the queue."""
