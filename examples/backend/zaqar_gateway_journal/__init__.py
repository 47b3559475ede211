"""A storage backend for zaqar-gateway: memory, and a journal of what was done to it."""
