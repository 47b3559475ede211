"""What is noted of WebSocket: each frame once, with the status that it was answered with."""

from __future__ import annotations

import json
from collections import Counter

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import build_operations
from tests.transport.websocket.client import BINARY, Peer, envelope, packed, status, text
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.meters import NO_OPERATION, TransportMeter
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.measured import MeasuredFactory


class FrameTests(SynchronousTestCase):
    """Frames of one connection."""

    def setUp(self) -> None:
        clock = Clock()
        self.meter = TransportMeter("websocket")
        actions = Actions(build_operations(MemoryStorage(clock)).operations)
        self.peer = Peer(MeasuredFactory(self.meter, actions, ClientIds(), clock, WebSocketBounds()))

    def noted(self) -> dict[str, dict[int, int]]:
        """The statuses by operation."""
        return {name: outcomes.statuses for name, outcomes in self.meter.of.items() if outcomes.statuses}

    def test_operations(self) -> None:
        """What comes to an operation is its, whatever is wrong with its fields; all else is of none."""
        frames = [
            *[text("queue_create", queue_name="q")] * 3,  # the very same is known whole
            *(text("message_list", queue_name=name) for name in "qrs"),  # and what differs in little by its form
            text("message_get", queue_name="q"),
            text("message_post", queue_name="q", messages=7),
            text("message_post", queue_name="q", messages=[]),
            text("nonsense"),
            json.dumps(envelope("queue_list", {}, {})).encode(),
            b"no JSON",
            text("authenticate"),
        ]
        self.peer.send(*frames)
        self.peer.send(packed("queue_get", queue_name="q"), packed("queue_get"), kind=BINARY)
        answered = Counter(map(status, self.peer.replies()))
        found = self.noted()
        self.assertEqual(
            found,
            {
                "queue_create": {201: 1, 204: 2},
                "message_list": {200: 3},
                "message_get": {400: 1},
                "message_post": {400: 2},
                "queue_get": {200: 1, 400: 1},
                NO_OPERATION: {400: 4},
            },
        )
        self.assertEqual(sum((Counter(statuses) for statuses in found.values()), Counter[int]()), answered)
