"""Storage in Redis, through txredisapi."""
