"""Delivering to subscribers: who is sent what and when, and how it is sent."""
