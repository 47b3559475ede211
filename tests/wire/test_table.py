"""The table of operations on HTTP and WebSocket over memory and Redis, and what only one of the transports has."""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine
from typing import Any

from attrs import define, evolve, field

from tests.wire.calls import Call, Outcome, frame_request, from_frame, from_http, http_request, unclaimed
from tests.wire.gateway import Gateway, HttpConnection, OnMemory, OnRedis, SocketConnection, WireCase
from tests.wire.table import ANY, CASES, SAME, Case, Step, Wait

_NO_CLAIM_TOLD = ("message_list", "message_get", "message_get_many")
_REFERENCE = re.compile(r"\$[mcs]\d+")


@define
class Scene:
    """What the ids of a case stand for."""

    messages: list[str] = field(factory=list)
    claims: list[str] = field(factory=list)
    subscriptions: list[str] = field(factory=list)

    def learn(self, call: Call, outcome: Outcome) -> None:
        """Number the ids that were given out."""
        if outcome.status == 201 and call.name == "message_post":
            self.messages += outcome.value
        elif outcome.status == 201 and call.name == "claim_create":
            self.claims.append(outcome.value["claim_id"])
        elif outcome.status == 201 and call.name == "subscription_create" and outcome.value not in self.subscriptions:
            self.subscriptions.append(outcome.value)

    def put(self, value: Any) -> Any:
        """Replace references by ids, in texts however deep."""
        names = {f"$m{number}": one for number, one in enumerate(self.messages)}
        names |= {f"$c{number}": one for number, one in enumerate(self.claims)}
        names |= {f"$s{number}": one for number, one in enumerate(self.subscriptions)}

        def replace(part: Any) -> Any:
            if isinstance(part, str):
                return _REFERENCE.sub(lambda found: names[found[0]], part)
            if isinstance(part, list):
                return [replace(one) for one in part]
            if isinstance(part, dict):
                return {key: replace(one) for key, one in part.items()}
            return part

        return replace(value)


class OnHttp:
    """Operations by HTTP."""

    is_http = True

    def __init__(self, connection: HttpConnection) -> None:
        self._connection = connection

    async def run(self, call: Call) -> Outcome:
        """Do it."""
        return from_http(call, await self._connection.ask(*http_request(call)))


class OnWebSocket:
    """Operations by WebSocket."""

    is_http = False

    def __init__(self, connection: SocketConnection) -> None:
        self._connection = connection

    async def run(self, call: Call) -> Outcome:
        """Do it."""
        return from_frame(call, await self._connection.ask(frame_request(call)))


async def by_http(gateway: Gateway) -> OnHttp:
    """A way to do operations."""
    return OnHttp(await gateway.http())


async def by_websocket(gateway: Gateway) -> OnWebSocket:
    """A way to do operations."""
    return OnWebSocket(await gateway.socket())


async def by_upgrade(gateway: Gateway) -> OnWebSocket:
    """A way to do operations: WebSocket on the HTTP port."""
    return OnWebSocket(await gateway.socket(upgraded=True))


async def run_case(test: WireCase, case: Case, way: OnHttp | OnWebSocket) -> None:
    """Do the steps of a case and compare what comes of them."""
    scene = Scene()
    for number, step in enumerate(case.steps):
        if isinstance(step, Wait):
            test.clock.advance(step.seconds)
            continue
        call = evolve(step.call, fields=scene.put(step.call.fields))
        outcome = await way.run(call)
        scene.learn(call, outcome)
        where = f"{case.name} ({case.section}), step {number}, {call.name}: {outcome}"
        test.assertEqual(outcome.status, step.status if way.is_http else step.frame or step.status, where)
        if way.is_http and step.title:
            test.assertEqual(outcome.title, step.title, where)
        if not way.is_http and step.contains:
            test.assertIn(step.contains, outcome.text, where)
        expected = _expected(step, way.is_http)
        if expected is not ANY:
            test.assertEqual(outcome.value, scene.put(expected), where)


def _expected(step: Step, is_http: bool) -> Any:
    if is_http:
        return step.value
    if step.frame_value is not SAME:
        return step.frame_value
    if step.frame >= 400 and step.call.name != "queue_get_stats":
        return ANY
    return unclaimed(step.value) if step.call.name in _NO_CLAIM_TOLD else step.value


def _method(
    case: Case, way: Callable[[Gateway], Coroutine[Any, Any, OnHttp | OnWebSocket]]
) -> Callable[[Any], Coroutine[Any, Any, None]]:
    async def test(self: Any) -> None:
        gateway = self.start(await self.a_store(), case.limits)
        await run_case(self, case, await way(gateway))

    test.__doc__ = f"API reference, {case.section}: {case.name}."
    return test


def _filled(cls: type, leave: str, way: Callable[[Gateway], Coroutine[Any, Any, OnHttp | OnWebSocket]]) -> None:
    for number, case in enumerate(CASES):
        if case.only != leave:
            words = "_".join(re.findall("[A-Za-z0-9]+", case.name))
            setattr(cls, f"test_{number:03}_{words}", _method(case, way))


class HttpMemoryTests(OnMemory):
    """The table."""


class HttpRedisTests(OnRedis):
    """The table."""


class WebSocketMemoryTests(OnMemory):
    """The table."""


class WebSocketRedisTests(OnRedis):
    """The table."""


_filled(HttpMemoryTests, "frame", by_http)
_filled(HttpRedisTests, "frame", by_http)
_filled(WebSocketMemoryTests, "http", by_upgrade)
_filled(WebSocketRedisTests, "http", by_websocket)
