"""What a socket is sent of a queue: messages, gaps, the end.  Pure."""

from __future__ import annotations

from functools import cached_property

import msgspec
from msgspec import UNSET, Raw, UnsetType
from zope.interface import implementer

from zaqar_gateway.interfaces import IPushed
from zaqar_gateway.model import EARLIEST, LATEST, Message, Place

_encode = msgspec.json.Encoder().encode


class MessageSent(msgspec.Struct):
    """A message of a live subscription; a worker is told its claim."""

    queue_name: str
    id: str
    ttl: int
    age: int
    body: Raw
    redelivered: bool | UnsetType = UNSET
    claim_id: str | UnsetType = UNSET
    claim_count: int | UnsetType = UNSET
    Message_Type: str = "Message"


class Gap(msgspec.Struct):
    """Messages of a queue are gone that were not sent."""

    queue_name: str
    after: str | None
    continues_at: str | None
    Message_Type: str = "Gap"


class End(msgspec.Struct):
    """A live subscription is over."""

    queue_name: str
    reason: str
    Message_Type: str = "End"


def text(place: Place, message: Message) -> bytes:
    """The JSON text."""
    return _encode(MessageSent(place.name, message.id, message.ttl_s, message.age_s, Raw(message.body)))


def packed(place: Place, message: Message) -> bytes:
    """The MessagePack form."""
    return msgspec.msgpack.encode(msgspec.json.decode(text(place, message)))


@implementer(IPushed)
class Frame:
    """A frame for one socket."""

    def __init__(self, document: msgspec.Struct) -> None:
        self._document = document

    @cached_property
    def text(self) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IPushed`."""
        return _encode(self._document)

    @cached_property
    def packed(self) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IPushed`."""
        return msgspec.msgpack.encode(msgspec.json.decode(self.text))


def redelivered(place: Place, message: Message) -> Frame:
    """A message that was sent before."""
    return Frame(MessageSent(place.name, message.id, message.ttl_s, message.age_s, Raw(message.body), redelivered=True))


def task(place: Place, message: Message) -> Frame:
    """A message that was claimed for a worker."""
    return Frame(
        MessageSent(
            place.name,
            message.id,
            message.ttl_s,
            message.age_s,
            Raw(message.body),
            claim_id=message.claim_id or UNSET,
            claim_count=message.claim_count or UNSET,
        )
    )


def gap(place: Place, after: str | None, continues_at: str | None) -> Frame:
    """Messages are gone that were not sent.

    :param after: a marker behind which that is.
    """
    return Frame(Gap(place.name, None if after in (EARLIEST, LATEST) else after, continues_at))


def end(place: Place, reason: str) -> Frame:
    """A subscription is over."""
    return Frame(End(place.name, reason))
