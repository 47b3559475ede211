"""What a socket is sent of a message of a queue: pure."""

from __future__ import annotations

import msgspec
from msgspec import Raw

from zaqar_gateway.model import Message, Place

_encode = msgspec.json.Encoder().encode


class _Frame(msgspec.Struct):
    queue_name: str
    id: str
    ttl: int
    age: int
    body: Raw
    Message_Type: str = "Message"


def text(place: Place, message: Message) -> bytes:
    """The JSON text."""
    return _encode(_Frame(place.name, message.id, message.ttl_s, message.age_s, Raw(message.body)))


def packed(place: Place, message: Message) -> bytes:
    """The MessagePack form."""
    return msgspec.msgpack.encode(msgspec.json.decode(text(place, message)))
