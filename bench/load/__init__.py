"""The load generator: one thread on non-blocking sockets, cheap enough not to be what is measured."""
