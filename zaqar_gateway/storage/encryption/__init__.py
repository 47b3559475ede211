"""Encryption at rest, around any store: bodies of the queues that ask for it (API reference, "Encryption at rest").

An encrypted body is one byte that no JSON text begins with, the id of the key (4 bytes), a random nonce (12 bytes), and
the body by AES-256-GCM with its tag (16 bytes).  So every body tells by itself whether it is encrypted and with which
key; no client can make one, since what clients post is JSON; queues may hold both kinds; and a queue that does not ask
costs a look at the first byte.

What is authenticated besides the body is the project, so that no body can be passed off as one of another project.  The
queue is not: a dead letter moves to another queue as it is stored, and on from there.

The store knows whether a queue asks, and takes a post only as the queue asks for it.  The answer is remembered, so that
a post takes one step in the store nearly always.  While the first post to a queue finds it out, what comes after it in
that queue waits: requests of one socket take effect in their order.
"""

from zaqar_gateway.storage.encryption.keys import SECRET, Key, Keyring, Opener
from zaqar_gateway.storage.encryption.store import EncryptingStorage

__all__ = ["SECRET", "EncryptingStorage", "Key", "Keyring", "Opener"]
