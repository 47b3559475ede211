"""What subscribers are sent, as JSON text and as MessagePack (API reference, "Payload" and "Confirmation messages").

Pure.  The body of a message is spliced in as it is stored, byte for byte.
"""

from __future__ import annotations

import msgspec
from attrs import frozen
from msgspec import UNSET, Raw, UnsetType

from zaqar_gateway import instants
from zaqar_gateway.interfaces import IUrlSigner
from zaqar_gateway.model import UNSUBSCRIBE, Place, Post

_encode = msgspec.json.Encoder().encode


class Notification(msgspec.Struct):
    """What a subscriber is told of a message."""

    body: Raw
    ttl: int
    queue_name: str
    Message_Type: str = "Notification"
    delay: int | UnsetType = UNSET


def notification(place: Place, post: Post) -> bytes:
    """The JSON text that tells of a message."""
    delay = UNSET if post.delay_s is None else post.delay_s
    return _encode(Notification(Raw(post.body), post.ttl_s, place.name, delay=delay))


def packed(text: bytes) -> bytes:
    """The MessagePack form of a JSON text."""
    return msgspec.msgpack.encode(msgspec.json.decode(text))


def confirm_path(place: Place, subscription_id: str) -> str:
    """The path at which a subscription is confirmed; names and ids need no percent-encoding."""
    return f"/v2/{'topics' if place.is_topic else 'queues'}/{place.name}/subscriptions/{subscription_id}/confirm"


@frozen
class Notices:
    """Makes the messages that ask a subscriber whether it wants to be one.

    :param public_url: where subscribers reach this service by HTTP, without a path; empty where nobody said.
    :param public_websocket_url: the same by WebSocket.
    """

    _signer: IUrlSigner
    _public_url: str = ""
    _public_websocket_url: str = ""

    def text(self, place: Place, subscription_id: str, post: Post) -> bytes:
        """The JSON text of a notice.

        :param post: with a ``notice``.
        :raises RuleBroken: nothing can be signed, since there is no secret.
        """
        path = confirm_path(place, subscription_id)
        # Whoever asked for all the time that there is may have been answered a second later, or by another clock.
        signed = self._signer.sign(place.project, [path], ["PUT"], min(post.until_s, instants.END_S))
        document: dict[str, object] = {
            "Message_Type": post.notice,
            "Message": _sentence(place, post.notice),
            "URL-Signature": signed.signature,
            "URL-Methods": ",".join(signed.methods),
            "URL-Paths": ",".join(signed.paths),
            "URL-Expires": signed.expires,
            "X-Project-ID": signed.project,
            "SubscribeBody": {"confirmed": True},
            "UnsubscribeBody": {"confirmed": False},
            "queue_name": place.name,
        }
        if self._public_url:
            document["WSGISubscribeURL"] = self._public_url.rstrip("/") + path
        if self._public_websocket_url:
            document["WebSocketSubscribeURL"] = self._public_websocket_url.rstrip("/") + path
        return _encode(document)


def _sentence(place: Place, notice: str) -> str:
    what = f"{'topic' if place.is_topic else 'queue'} {place.name}"
    if notice == UNSUBSCRIBE:
        return f"You no longer get what is posted to {what}; confirm the subscription to get it again."
    return f"You were subscribed to {what}; confirm the subscription to get what is posted to it."
