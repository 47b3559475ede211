"""Operations without a transport: how each is asked for on HTTP and on WebSocket, and what each reply means.

Reading a reply checks the shape of it whole: its headers, the keys it may have, the form of ids, hrefs and errors.  What
is left, an :class:`Outcome`, is the same on both transports save for the documented differences.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from tests.helpers import CLIENT, PROJECT, Response
from zaqar_gateway.operations.registry import PATCH_TYPE

ID = re.compile("[A-Za-z0-9_-]+")
REQUEST_ID = re.compile("req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

RESERVED: dict[str, Any] = {
    "_max_messages_post_size": 262144,
    "_default_message_ttl": 3600,
    "_default_message_delay": 0,
    "_dead_letter_queue": None,
    "_dead_letter_queue_messages_ttl": None,
    "_max_claim_count": None,
    "_enable_encrypt_messages": False,
}
"""What HTTP fills in where a queue has nothing of its own (API reference, "/v2/queues/{q}")."""

TITLES = {
    400: {
        "Invalid API request",
        "Invalid request body",
        "Invalid parameter",
        "Missing header value",
        "Wrong UUID value",
        "Project-Id Missing",
        "Empty project header not allowed",
        "Invalid Content-Type",
        "Invalid queue identification",
        "Invalid topic identification",
        "Invalid header value",
        "Unable to delete",
        "Unable to update subscription",
    },
    403: {"Not authorized", "Unable to delete"},
    404: {"Not found", "404 Not Found"},
    405: {"405 Method Not Allowed"},
    406: {"406 Not Acceptable"},
    409: {"Resource conflict"},
    415: {"415 Unsupported Media Type"},
    500: {"Internal server error"},
    503: {"Service temporarily unavailable"},
}
"""The titles of errors by status (API reference, "Error bodies")."""


@frozen
class Call:
    """An operation with its arguments, under the names that WebSocket has for them."""

    name: str
    fields: dict[str, Any] = field(factory=dict)
    client: str = CLIENT
    project: str = PROJECT


@frozen
class Outcome:
    """What came of it.

    :ivar value: the result, without what only one transport says; ``None`` where there is none.
    :ivar title: of an error on HTTP.
    :ivar text: of an error.
    """

    status: int
    value: Any = None
    title: str = ""
    text: str = ""


# -- asking ------------------------------------------------------------------------------------------------------------


def _parameter(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(_parameter(part) for part in value)
    return quote(value if isinstance(value, str) else json.dumps(value), safe="")


def _query(fields: dict[str, Any], **names: str) -> str:
    given = [f"{name}={_parameter(fields[key])}" for name, key in names.items() if key in fields]
    return f"?{'&'.join(given)}" if given else ""


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


def _members(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: fields[name] for name in names if name in fields}


def http_request(call: Call) -> tuple[str, str, Any, dict[str, str | None]]:
    """Method, target, body and headers."""
    given = call.fields
    queue = "/v2/queues/" + quote(str(given.get("queue_name", "")), safe="")
    message = f"{queue}/messages/{quote(str(given.get('message_id', '')), safe='')}"
    claim = f"{queue}/claims/{quote(str(given.get('claim_id', '')), safe='')}"
    subscription = f"{queue}/subscriptions/{quote(str(given.get('subscription_id', '')), safe='')}"
    method, target, body, more = {
        "queue_list": lambda: (
            "GET",
            "/v2/queues" + _query(given, **_same("marker", "limit", "detailed")),
            None,
            {},
        ),
        "queue_get": lambda: ("GET", queue, None, {}),
        "queue_create": lambda: ("PUT", queue, given.get("metadata"), {}),
        "queue_update": lambda: ("PATCH", queue, given["changes"], {"Content-Type": PATCH_TYPE}),
        "queue_delete": lambda: ("DELETE", queue, None, {}),
        "queue_get_stats": lambda: ("GET", queue + "/stats", None, {}),
        "queue_purge": lambda: ("POST", queue + "/purge", _members(given, "resource_types") or None, {}),
        "message_post": lambda: ("POST", queue + "/messages", _members(given, "messages"), {}),
        "message_list": lambda: (
            "GET",
            queue
            + "/messages"
            + _query(given, **_same("marker", "limit", "echo", "include_claimed", "include_delayed")),
            None,
            {},
        ),
        "message_get_many": lambda: ("GET", queue + "/messages" + _query(given, ids="message_ids"), None, {}),
        "message_delete_many": lambda: (
            "DELETE",
            queue + "/messages" + _query(given, ids="message_ids", pop="pop", claim_ids="claim_ids"),
            None,
            {},
        ),
        "message_get": lambda: ("GET", message, None, {}),
        "message_delete": lambda: ("DELETE", message + _query(given, claim_id="claim_id"), None, {}),
        "claim_create": lambda: (
            "POST",
            queue + "/claims" + _query(given, limit="limit"),
            _members(given, "ttl", "grace") or None,
            {},
        ),
        "claim_get": lambda: ("GET", claim, None, {}),
        "claim_update": lambda: ("PATCH", claim, _members(given, "ttl", "grace"), {}),
        "claim_delete": lambda: ("DELETE", claim, None, {}),
        "dead_letter_list": lambda: (
            "GET",
            queue + "/dead_letters" + _query(given, **_same("marker", "limit")),
            None,
            {},
        ),
        "dead_letter_return": lambda: (
            "POST",
            queue + "/dead_letters/return",
            _members(given, "ids", "limit", "destination", "rate"),
            {},
        ),
        "subscription_create": lambda: (
            "POST",
            queue + "/subscriptions",
            _members(given, "subscriber", "ttl", "options") or None,
            {},
        ),
        "subscription_list": lambda: (
            "GET",
            queue + "/subscriptions" + _query(given, **_same("marker", "limit")),
            None,
            {},
        ),
        "subscription_get": lambda: ("GET", subscription, None, {}),
        "subscription_update": lambda: ("PATCH", subscription, given["changes"], {}),
        "subscription_delete": lambda: ("DELETE", subscription, None, {}),
        "subscription_confirm": lambda: ("PUT", subscription + "/confirm", _members(given, "confirmed"), {}),
    }[call.name]()
    return method, target, body, {"Client-ID": call.client, "X-Project-ID": call.project, **more}


def frame_request(call: Call) -> dict[str, Any]:
    """The document of the frame."""
    headers = {"Client-ID": call.client, "X-Project-ID": call.project}
    return {"action": call.name, "headers": headers, "body": call.fields}


# -- what is said ------------------------------------------------------------------------------------------------------


def check(condition: object, *shown: object) -> None:
    """Fail, and show something, where a condition does not hold."""
    if not condition:
        raise AssertionError(shown if len(shown) != 1 else shown[0])


def _message(shown: dict[str, Any], claim_id: str | None) -> dict[str, Any]:
    check(type(shown["age"]) is int and shown["age"] >= 0 and type(shown["ttl"]) is int, shown)
    check(ID.fullmatch(shown["id"]), shown)
    return {"id": shown["id"], "ttl": shown["ttl"], "age": shown["age"], "body": shown["body"], "claim_id": claim_id}


def _message_of_http(queue: str, shown: dict[str, Any]) -> dict[str, Any]:
    """API reference, "GET messages": exactly these keys, the claim in the href."""
    check(set(shown) - {"checksum"} == {"id", "href", "ttl", "age", "body"}, shown)
    path, mark, claim_id = shown["href"].partition("?claim_id=")
    check(path == f"/v2/queues/{queue}/messages/{shown['id']}", shown)
    check(not mark or ID.fullmatch(claim_id), shown)
    return _message(shown, claim_id or None)


def _message_of_frame(shown: dict[str, Any]) -> dict[str, Any]:
    """API reference, "Actions": exactly these keys."""
    check(set(shown) == {"id", "claim_id", "ttl", "age", "body"}, shown)
    return _message(shown, shown["claim_id"])


def _popped(shown: dict[str, Any]) -> dict[str, Any]:
    """API reference, "DELETE messages": exactly these keys, the same on both transports."""
    check(set(shown) - {"checksum"} == {"id", "ttl", "age", "body", "claim_id", "claim_count"}, shown)
    check(shown["claim_id"] is None and type(shown["claim_count"]) is int, shown)
    return {**_message(shown, None), "claim_count": shown["claim_count"]}


def _subscription(queue: str, shown: dict[str, Any]) -> dict[str, Any]:
    """API reference, "Subscriptions": exactly these keys, the same on both transports."""
    check(set(shown) == {"id", "source", "subscriber", "ttl", "age", "options", "confirmed"}, shown)
    check(type(shown["age"]) is int and shown["age"] >= 0 and type(shown["ttl"]) is int, shown)
    check(ID.fullmatch(shown["id"]) and shown["source"] == queue, shown)
    check(isinstance(shown["options"], dict) and isinstance(shown["confirmed"], bool), shown)
    return shown


def _subscriptions(queue: str, page: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A page, which has to be in the order of ids, in that of subscribers."""
    ids = [shown["id"] for shown in page]
    check(ids == sorted(ids), ids)
    return sorted((_subscription(queue, shown) for shown in page), key=lambda shown: str(shown["subscriber"]))


def _stats(shown: dict[str, Any], identify: Callable[[dict[str, Any]], str]) -> dict[str, Any]:
    check(set(shown) == {"messages"}, shown)
    counts = shown["messages"]
    check(counts["free"] >= 0 and counts["claimed"] >= 0, counts)
    check(counts["total"] == counts["free"] + counts["claimed"], counts)
    value = {"free": counts["free"], "claimed": counts["claimed"]}
    edges = {"oldest", "newest"} if counts["total"] else set()
    check(set(counts) == {"free", "claimed", "total"} | edges, counts)
    for name in edges:
        edge = counts[name]
        check(CREATED.fullmatch(edge["created"]), edge)
        value[name] = {"id": identify(edge), "age": edge["age"], "created": edge["created"]}
    return value


def http_error(response: Response) -> Outcome:
    """An error as every client reads it (API reference, "Error bodies")."""
    check(response.status in TITLES, response)
    check(response.header("Content-Type") == "application/json", response)
    check(response.header("Vary") == "Accept", response)
    document = response.json
    title = document["title"]
    check(title in TITLES[response.status], response)
    routed = title in ("404 Not Found", "405 Method Not Allowed", "406 Not Acceptable")
    check(set(document) == {"title", "description"} or (routed and set(document) == {"title"}), response)
    text = document.get("description", "")
    check(isinstance(text, str) and (text or routed), response)
    if response.status == 503:
        check("few seconds" in text, response)
    return Outcome(response.status, None, title, text)


def from_http(call: Call, response: Response) -> Outcome:
    """What a response means."""
    check(REQUEST_ID.fullmatch(response.header("x-openstack-request-id") or ""), response)
    name, queue, status = call.name, call.fields.get("queue_name", ""), response.status
    base, location = f"/v2/queues/{queue}", response.header("Location")
    if status >= 400:
        if name == "subscription_create" and status == 409:
            check(location == f"{base}/subscriptions", response)
        return http_error(response)
    if status == 204:
        check(not response.body and response.header("Content-Type") is None, response)
    if name == "queue_create":
        check(status in (201, 204) and not response.body and location == base, response)
        return Outcome(status)
    if status == 204 and name in ("subscription_update", "subscription_confirm"):
        check(location == http_request(call)[1], response)
        return Outcome(status)
    if status == 204:
        no_answer = ("queue_delete", "subscription_delete", "queue_purge", "message_delete_many", "message_delete", "claim_create")
        check(name in (*no_answer, "claim_update", "claim_delete") and location is None, response)
        return Outcome(status)
    check(status == (201 if name in ("message_post", "claim_create", "subscription_create") else 200), response)
    check(response.header("Content-Type") == "application/json", response)
    document = response.json
    if name == "message_post":
        check(set(document) == {"resources"}, document)
        ids = [href.rpartition("/")[2] for href in document["resources"]]
        check(document["resources"] == [f"{base}/messages/{one}" for one in ids], document)
        check(location == f"{base}/messages?ids={','.join(ids)}", response)
        check(all(ID.fullmatch(one) for one in ids), ids)
        return Outcome(status, ids)
    if name == "subscription_create":
        check(set(document) == {"subscription_id"} and ID.fullmatch(document["subscription_id"]), document)
        check(location == f"{base}/subscriptions", response)
        return Outcome(status, document["subscription_id"])
    if name == "claim_create":
        check(set(document) == {"messages"} and document["messages"], document)
        messages = [_message_of_http(queue, shown) for shown in document["messages"]]
        claim_id = (location or "").removeprefix(f"{base}/claims/")
        check(ID.fullmatch(claim_id), response)
        check({shown["claim_id"] for shown in messages} == {claim_id}, response)
        return Outcome(status, {"claim_id": claim_id, "messages": messages})
    check(location is None, response)
    if name == "subscription_get":
        return Outcome(status, _subscription(queue, document))
    if name == "subscription_list":
        check(set(document) == {"subscriptions", "links"}, document)
        _check_links(document, base + "/subscriptions", document["subscriptions"])
        return Outcome(status, _subscriptions(queue, document["subscriptions"]))
    if name == "claim_get":
        check(set(document) == {"age", "ttl", "href", "messages"}, document)
        check(document["href"] == f"{base}/claims/{call.fields['claim_id']}", document)
        messages = [_message_of_http(queue, shown) for shown in document["messages"]]
        return Outcome(status, {"age": document["age"], "ttl": document["ttl"], "messages": messages})
    if name == "queue_get_stats":
        return Outcome(status, _stats(document, lambda edge: _edge_of_http(base, edge)))
    if name in ("queue_get", "queue_update"):
        check(set(RESERVED) <= set(document), document)
        return Outcome(status, document)
    if name == "queue_list":
        return Outcome(status, _queues_of_http(call, document))
    if name == "message_get":
        return Outcome(status, _message_of_http(queue, document))
    if name == "message_delete_many":
        check(set(document) == {"messages"}, document)
        return Outcome(status, [_popped(shown) for shown in document["messages"]])
    if name == "message_get_many":
        check(set(document) == {"messages"} and document["messages"], document)
        return Outcome(status, [_message_of_http(queue, shown) for shown in document["messages"]])
    check(name == "message_list", name)
    check(set(document) == {"messages", "links"}, document)
    _check_links(document, base + "/messages", document["messages"])
    return Outcome(status, [_message_of_http(queue, shown) for shown in document["messages"]])


def _edge_of_http(base: str, edge: dict[str, Any]) -> str:
    check(set(edge) == {"href", "age", "created"}, edge)
    message_id: str = edge["href"].removeprefix(f"{base}/messages/")
    check(ID.fullmatch(message_id), edge)
    return message_id


def _edge_of_frame(edge: dict[str, Any]) -> str:
    check(set(edge) == {"id", "age", "created"}, edge)
    message_id: str = edge["id"]
    return message_id


def _check_links(document: dict[str, Any], path: str, page: list[Any]) -> None:
    """API reference, "Paging": no link behind an empty page, else exactly one."""
    links = document["links"]
    if not page:
        check(links == [], document)
        return
    (link,) = links
    check(set(link) == {"rel", "href"} and link["rel"] == "next", link)
    check(link["href"].startswith(path + "?") and "marker=" in link["href"], link)
    check("{" not in link["href"] and "}" not in link["href"], link)


def _queues_of_http(call: Call, document: dict[str, Any]) -> list[dict[str, Any]]:
    check(set(document) <= {"queues", "links", "count"}, document)
    _check_links(document, "/v2/queues", document["queues"])
    queues = []
    for shown in document["queues"]:
        check(shown.pop("href") == f"/v2/queues/{shown['name']}", shown)
        check(set(shown) == ({"name", "metadata"} if call.fields.get("detailed") else {"name"}), shown)
        queues.append(shown)
    return queues


def from_frame(call: Call, reply: dict[str, Any]) -> Outcome:
    """What a reply means (API reference, "Envelopes" and "Actions")."""
    check(set(reply) == {"request", "body", "headers"} and set(reply["headers"]) == {"status"}, reply)
    check(reply["request"] == {**frame_request(call), "api": "v2"}, reply)
    status, body, name = reply["headers"]["status"], reply["body"], call.name
    if name == "subscription_create" and status == 409:
        check(body == f"Subscription {call.fields.get('queue_name')} not created.", reply)
        return Outcome(status, None, "", body)
    if status >= 400 and not (name == "queue_get_stats" and status == 404):
        check(set(body) in ({"error"}, {"exception", "error"}), reply)
        text = body["error"]
        check(isinstance(text, str) and text, reply)
        return Outcome(status, None, "", text)
    queue = call.fields.get("queue_name", "")
    if name == "queue_create":
        check(status in (201, 204) and body == f"Queue {queue} created.", reply)
        return Outcome(status)
    if name == "queue_get_stats":
        return Outcome(status, _stats(body, _edge_of_frame))
    if name == "claim_create" and status == 204:
        check(set(body) == {"claim_id"}, reply)
        return Outcome(status)
    if status == 204:
        expected: Any = {
            "queue_delete": f"Queue {queue} removed.",
            "claim_update": f"Claim {call.fields.get('claim_id')} updated.",
            "claim_delete": f"Claim {call.fields.get('claim_id')} deleted.",
            "subscription_delete": f"Subscription {call.fields.get('subscription_id')} removed.",
        }.get(name, {})
        check(name in ("queue_delete", "queue_purge", "message_delete", "message_delete_many") or expected, reply)
        check(body == expected, reply)
        return Outcome(status)
    check(status == (201 if name in ("message_post", "claim_create", "subscription_create") else 200), reply)
    if name == "subscription_create":
        check(set(body) == {"subscription_id", "message"} and ID.fullmatch(body["subscription_id"]), reply)
        check(body["message"] == f"Subscription {queue} created.", reply)
        return Outcome(status, body["subscription_id"])
    if name == "subscription_get":
        return Outcome(status, _subscription(queue, body))
    if name == "subscription_list":
        check(set(body) == {"subscriptions"}, reply)
        return Outcome(status, _subscriptions(queue, body["subscriptions"]))
    if name == "message_post":
        check(set(body) == {"message_ids"} and all(ID.fullmatch(one) for one in body["message_ids"]), reply)
        return Outcome(status, body["message_ids"])
    if name == "queue_get":
        return Outcome(status, body)
    if name == "queue_list":
        check(set(body) == {"queues"}, reply)
        keys = {"name", "metadata"} if call.fields.get("detailed") else {"name"}
        check(all(set(shown) == keys for shown in body["queues"]), reply)
        return Outcome(status, body["queues"])
    if name == "claim_create":
        check(set(body) == {"claim_id", "messages"} and ID.fullmatch(body["claim_id"]), reply)
        messages = [_message_of_frame(shown) for shown in body["messages"]]
        check({shown["claim_id"] for shown in messages} == {body["claim_id"]}, reply)
        return Outcome(status, {"claim_id": body["claim_id"], "messages": messages})
    if name == "claim_get":
        check(set(body) == {"age", "ttl", "messages"}, reply)
        messages = [_message_of_frame(shown) for shown in body["messages"]]
        return Outcome(status, {"age": body["age"], "ttl": body["ttl"], "messages": messages})
    check(set(body) == {"messages"}, reply)
    if name == "message_get":
        return Outcome(status, _message_of_frame(body["messages"]))
    if name == "message_delete_many":
        return Outcome(status, [_popped(shown) for shown in body["messages"]])
    check(name in ("message_list", "message_get_many"), name)
    return Outcome(status, [_message_of_frame(shown) for shown in body["messages"]])


# -- where the transports differ ---------------------------------------------------------------------------------------


def filled(stored: dict[str, Any]) -> dict[str, Any]:
    """Stored metadata as HTTP shows them; WebSocket shows them as stored (API reference, "Actions")."""
    return stored | {key: stored.get(key) or default for key, default in RESERVED.items()}


def unclaimed(value: Any) -> Any:
    """Messages as WebSocket shows them outside the answers about a claim: their claim is not told (API reference,
    "Actions")."""
    if isinstance(value, list):
        return [unclaimed(one) for one in value]
    return {**value, "claim_id": None} if isinstance(value, dict) and "claim_id" in value else value
