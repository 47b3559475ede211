"""What the settings decide of a description."""

from __future__ import annotations

from attrs import frozen

from zaqar_gateway.limits import Limits


@frozen
class Terms:
    """Under which a gateway serves.

    :ivar version: of the gateway.
    :ivar limits: the bounds of the operations.
    :ivar strict_client_ids: whether a Client-ID has to be a UUID.
    :ivar client_id_min: else, the least number of its characters.
    :ivar client_id_max: and the greatest.
    :ivar authenticates: whether clients have to show a token.
    :ivar signs: whether there are pre-signed URLs.
    :ivar checksums: whether messages carry a checksum.
    :ivar http_urls: where HTTP is served, without a slash at the end.
    :ivar websocket_urls: where WebSocket is.
    :ivar frame_max: bytes of a message on a WebSocket, at most.
    """

    version: str
    limits: Limits = Limits()
    strict_client_ids: bool = True
    client_id_min: int = 10
    client_id_max: int = 36
    authenticates: bool = False
    signs: bool = False
    checksums: bool = False
    http_urls: tuple[str, ...] = ()
    websocket_urls: tuple[str, ...] = ()
    frame_max: int = 0
