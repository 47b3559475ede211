"""Attacks: what no client should send, and more of it than anybody should."""
