"""Delivering to subscribers."""
