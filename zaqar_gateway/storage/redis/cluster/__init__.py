"""A Redis Cluster: which node has what, and what a store asks, brought there."""
