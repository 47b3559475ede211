"""How it stands with a gateway, in a document for people and monitors.  What is in it comes from no tenant, and is no secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from zaqar_gateway import __version__
from zaqar_gateway.admin.observed import Observed
from zaqar_gateway.model import StoreCondition

CERTIFICATE_ENDS_S = 14 * 86400
"""How long before a certificate ends that is something to mend."""


def instant(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def standing(why_not: str, troubles: Sequence[str]) -> dict[str, Any]:
    """How it stands with a gateway, of one process or of several.

    :param why_not: why requests cannot be served; empty: they can.
    :param troubles: what there is to mend, in words.
    """
    return {
        "status": "unavailable" if why_not else "degraded" if troubles else "ok",
        "ready": not why_not,
        "troubles": [*troubles],
    }


def running(started_s: float, now_s: float, listeners: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What runs, since when, and where it is listened.

    :param started_s: when it was started; :param now_s: now, both in seconds since the epoch.
    :param listeners: URLs and paths, by what is served there.
    """
    return {
        "version": __version__,
        "started_at": instant(started_s),
        "uptime_s": round(now_s - started_s, 1),
        "listeners": {name: [*places] for name, places in listeners.items()},
    }


def document(observed: Observed, now_s: float, why_not: str) -> dict[str, Any]:
    """All there is to say of one process.

    :param now_s: seconds since the epoch.
    :param why_not: why requests cannot be served; empty: they can.
    """
    store, pools = observed.store(), observed.pools()
    troubles = [*([why_not] if why_not else ()), *_troubles(observed, store, pools, now_s)]
    found = {
        **standing(why_not, troubles),
        "phase": observed.phase.name.lower(),
        **running(observed.started_s, now_s, observed.listeners),
        "store": _store(store),
        "deliveries": {
            "hosts_held_back": observed.circuits.open,
            "subscribers": observed.dispatcher.count,
            "waits_for_store": observed.dispatcher.waits_for_store,
        },
        "requests": {"in_flight": observed.gate.in_flight, "waiting": observed.waits.count},
        "connections": {"http": observed.http.connections, "websocket": len(observed.websocket.connections)},
    }
    if observed.pool_backends is not None:
        found["pools"] = {name: _store(each) for name, each in pools.items()}
    if observed.keystone:
        meter = observed.meters.identity
        found["keystone"] = {
            "url": observed.keystone,
            "up": not meter.is_away if meter.calls else None,
            "last_answer_at": instant(meter.answered_s) if meter.answered_s else None,
        }
    if observed.policy_path:
        found["policy"] = {"path": observed.policy_path, "up_to_date": not observed.policy_trouble()}
    tls = observed.tls()
    if tls is not None:
        found["tls"] = {"certificate_ends_at": instant(tls.ends_s), "up_to_date": not tls.trouble}
    return found


def _store(condition: StoreCondition) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.structs.asdict(condition)
    since_s, is_up = found.pop("since_s"), found.pop("is_up")
    found["commands_in_flight"], found["connections_lost"] = found.pop("waiting"), found.pop("losses")
    return {
        "up": is_up,
        "since": None if since_s is None else instant(since_s),
        **{name: [*value] if isinstance(value, tuple) else value for name, value in found.items() if value not in (None, "")},
    }


def _away(name: str, condition: StoreCondition) -> Iterator[str]:
    if condition.is_up is False:
        nodes = condition.nodes or {}
        lost = [node for node, is_there in nodes.items() if not is_there]
        what = f"{name} is away in part: there is no connection to {', '.join(lost)}" if 0 < len(lost) < len(nodes) else f"{name} is away"
        yield f"{what}: {condition.why_away}" if condition.why_away else what
    for text in condition.troubles:
        yield f"{name}: {text}"


def _troubles(
    observed: Observed, store: StoreCondition, pools: Mapping[str, StoreCondition], now_s: float
) -> Iterator[str]:
    """What there is to mend."""
    yield from _away("the store", store)
    for name, condition in pools.items():
        yield from _away(f"pool {name}", condition)
    if observed.keystone and observed.meters.identity.is_away:
        yield "Keystone does not answer"
    if text := observed.policy_trouble():
        yield f"the rules in force are not those of the policy file: {text}"
    tls = observed.tls()
    if tls is None:
        return
    if tls.trouble:
        yield f"the TLS certificate in use is not the one in the file: {tls.trouble}"
    if tls.ends_s <= now_s:
        yield f"the TLS certificate has ended, {instant(tls.ends_s)}"
    elif tls.ends_s <= now_s + CERTIFICATE_ENDS_S:
        yield f"the TLS certificate ends {instant(tls.ends_s)}"
