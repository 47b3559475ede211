"""The operations, without a transport."""
