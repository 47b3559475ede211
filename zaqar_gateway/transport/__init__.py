"""The two transports: each decodes, calls an operation, encodes."""
