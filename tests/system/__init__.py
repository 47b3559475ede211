"""Tests of a gateway that runs: its own process, real sockets, real Redis."""
