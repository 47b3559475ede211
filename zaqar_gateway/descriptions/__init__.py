"""Descriptions of the API for machines: OpenAPI of HTTP, AsyncAPI of WebSocket.  Pure: rows and terms in, documents out.

What the registry, the fields and the table of statuses know is taken from there.  What they lack stands here once: a sentence
and the answers of each operation (``operations.py``), what each member means and within which bounds (``members.py``), and the
form of what the transports put together without a type (``shapes.py``).

No gateway imports this; the commands and the documentation do.
"""
