"""OpenStack Messaging (Zaqar v2) over HTTP and WebSocket, on Twisted and Redis."""

__version__ = "0.1.0"
