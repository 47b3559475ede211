"""Tests with the clients that people use, against a gateway that runs."""
