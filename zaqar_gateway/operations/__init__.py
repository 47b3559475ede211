"""Each rule of the API, once: what both transports call."""
