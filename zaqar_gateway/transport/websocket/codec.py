"""Frames to requests and replies to frames: values in, values out (API reference, "WebSocket").

A request is JSON text on its whole way.  A MessagePack frame becomes JSON text when it comes in, its reply is made from
JSON text when it goes out; so a socket that speaks JSON pays for no conversion, and what is checked is checked once.
Bodies and the echo of the request are spliced into a reply as they came (:class:`msgspec.Raw`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from typing import Any, Union, get_args, get_type_hints

import msgspec
from attrs import frozen
from msgspec import NODEFAULT, UNSET, Raw, Struct, UnsetType, field
from msgspec.structs import force_setattr
from zope.interface import implementer

from zaqar_gateway import model
from zaqar_gateway.errors import BadBody, GatewayError, Unauthorized, repeated
from zaqar_gateway.interfaces import IListener, IPushed
from zaqar_gateway.operations import documents
from zaqar_gateway.operations.registry import NOT_IMPLEMENTED, Frame, Operation
from zaqar_gateway.operations.subscriptions import Subscribed
from zaqar_gateway.transport import shown
from zaqar_gateway.transport.audit import Audit, audit_of
from zaqar_gateway.transport.replies import text_of
from zaqar_gateway.transport.spliced import spliced
from zaqar_gateway.transport.status import told

AUTHENTICATE = "authenticate"
_NODE_ACTIONS = ("get_home_doc", "check_node_health", "ping_node")
_EMPTY = Raw(b"{}")
_UNEXPECTED = "Unexpected error."


class EnvelopeError(Exception):
    """What is wrong with a frame before an operation is reached (API reference, "Envelope errors"); a 400."""


Echo = tuple[bytes | Raw, ...]
"""JSON text, in pieces to be joined, of a request in its reply."""


_ECHO, _ECHO_BODY, _ECHO_HEADERS, _ECHO_END = b'{"request":{"action":', b',"body":', b',"headers":', b',"api":"v2"},"body":'


class Envelope(Struct, frozen=True):
    """A request as it came, each member as JSON text; what is absent has the text that is echoed for it."""

    action: Raw = Raw(b"null")
    headers: Raw = _EMPTY
    body: Raw = _EMPTY

    @property
    def echo(self) -> Echo:
        """What the reply begins with: the request."""
        return (_ECHO, self.action, _ECHO_BODY, self.body, _ECHO_HEADERS, self.headers, _ECHO_END)

    @property
    def around(self) -> tuple[bytes, bytes]:
        """What is before and behind the body in that."""
        return b"".join((_ECHO, self.action, _ECHO_BODY)), b"".join((_ECHO_HEADERS, self.headers, _ECHO_END))


NO_ENVELOPE = Envelope()
"""Echoed where there is nothing to echo."""


class Answer(Struct, frozen=True, gc=False):
    """The status and the body of a reply; the body is a value, or JSON text in pieces to be joined (:data:`Text`)."""

    status: int
    body: Any


Text = tuple[bytes, ...]
"""No value is a tuple, and one is made in a fifth of the time that one of a class of its own takes."""


# -- frames ------------------------------------------------------------------------------------------------------------


def _status(status: int) -> bytes:
    """The end of a reply."""
    return b',"headers":{"status":%d}}' % status


_STATUS = {status: _status(status) for status in (200, 201, 204)}

_decode_envelope = msgspec.json.Decoder(Envelope).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def open_frame(payload: bytes, is_binary: bool) -> Envelope:
    """Read a frame.

    :raises EnvelopeError: it is not one JSON or MessagePack document that JSON can hold, or not a map.
    """
    try:
        text = _unpack(payload) if is_binary else payload
        documents.check(text)
        return _decode_envelope(text)
    except BadBody as error:
        raise _undecodable(is_binary, str(error)) from None
    except msgspec.ValidationError:
        pass
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _undecodable(is_binary, _reason(error)) from None
    # A scalar or an array is told apart from what is no document at all by reading it to its end.
    try:
        document = _decode_any(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _undecodable(is_binary, _reason(error)) from None
    kind = "an array" if isinstance(document, list) else "a scalar"
    raise EnvelopeError(f"Unexpected body type. Expected dict, which is an object or a map, got {kind}.")


def close_frame(echo: Echo, answer: Answer, is_binary: bool) -> bytes:
    """Write the reply to a request, in the encoding of the request."""
    body = answer.body
    text = b"".join(
        (
            *echo,
            *(body if type(body) is tuple else (_encode(body),)),
            _STATUS.get(answer.status) or _status(answer.status),
        )
    )
    return msgspec.msgpack.encode(_decode_any(text)) if is_binary else text


def _undecodable(is_binary: bool, reason: str) -> EnvelopeError:
    form = "binary (MessagePack)" if is_binary else "text (JSON)"
    reason = reason.removeprefix("Request body could not be parsed: ")
    return EnvelopeError(f"Can't decode {form} request: {reason}")


def _reason(error: Exception) -> str:
    try:
        documents.refuse(error)
    except BadBody as told_error:
        return str(told_error)


# -- MessagePack -------------------------------------------------------------------------------------------------------


class _Unfit(Exception):
    """A value that JSON has no form for; ``path`` grows on the way out."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str] = []


def _unpack(payload: bytes) -> bytes:
    """MessagePack to JSON text with the separators ``", "`` and ``": "``, in which sizes are counted.

    :raises BadBody: it is not one document, or not one that JSON can hold.
    """
    try:
        document = msgspec.msgpack.decode(payload)
    except RecursionError:
        raise BadBody(f"it is nested deeper than {documents.DEPTH_MAX} levels.") from None
    except (msgspec.MsgspecError, ValueError, OverflowError, TypeError) as error:
        if isinstance(error, UnicodeDecodeError) or "UTF-8" in str(error):  # as msgspec has it before 0.23, and since
            raise BadBody("a string is not UTF-8.") from None
        raise BadBody(str(error).removeprefix("MessagePack data is malformed: ") + ".") from None
    try:
        _check_fit(document, documents.DEPTH_MAX)
    except _Unfit as unfit:
        where = "".join(reversed(unfit.path)).lstrip(".")
        raise BadBody(f"{where or 'the document'} {unfit}") from None
    return json.dumps(document, ensure_ascii=False).encode()


def _check_fit(value: Any, depth: int) -> None:
    """:raises _Unfit: the value, or one inside it, has no form in JSON."""
    if isinstance(value, dict):
        if not depth:
            raise _Unfit(f"is nested deeper than {documents.DEPTH_MAX} levels.")
        for key, item in value.items():
            if type(key) is not str:
                raise _Unfit("has a key that is not a string; the keys of maps have to be strings.")
            if type(item) is not str:
                try:
                    _check_fit(item, depth - 1)
                except _Unfit as unfit:
                    unfit.path.append(f".{repeated(key)}")
                    raise
    elif isinstance(value, list):
        if not depth:
            raise _Unfit(f"is nested deeper than {documents.DEPTH_MAX} levels.")
        for number, item in enumerate(value):
            if type(item) is not str:
                try:
                    _check_fit(item, depth - 1)
                except _Unfit as unfit:
                    unfit.path.append(f"[{number}]")
                    raise
    elif isinstance(value, float):
        if not isfinite(value):
            raise _Unfit("is NaN or infinite; it has to be a finite number.")
    elif isinstance(value, bytes):
        raise _Unfit("is a byte string; it has to be a string.")
    elif not (value is None or isinstance(value, str | int)):  # the range of integers is looked at in the JSON text
        raise _Unfit("is of an extension type; it has to be of a type that JSON has.")


# -- the schema of a request -------------------------------------------------------------------------------------------

_OptionalStr = str | UnsetType


class _NodeHeaders(Struct, frozen=True, kw_only=True):
    """The headers of the node actions, which need none.  The spelling is exact everywhere.

    What belongs to a signature may be of any type: a wrong one is a signature that fails, not a violation of the schema.
    Roles and user, which are no members of the schema, may be so too: a wrong one says nothing.
    """

    client: _OptionalStr = field(name="Client-ID", default=UNSET)
    project: _OptionalStr = field(name="X-Project-ID", default=UNSET)
    user_agent: _OptionalStr = field(name="User-Agent", default=UNSET)
    date: _OptionalStr = field(name="Date", default=UNSET)
    accept: _OptionalStr = field(name="Accept", default=UNSET)
    token: _OptionalStr = field(name="X-Auth-Token", default=UNSET)
    url_signature: Any = field(name="URL-Signature", default=UNSET)
    url_expires: Any = field(name="URL-Expires", default=UNSET)
    url_methods: Any = field(name="URL-Methods", default=UNSET)
    url_paths: Any = field(name="URL-Paths", default=UNSET)
    roles: Any = field(name="X-ROLES", default=UNSET)
    user: Any = field(name="X-USER-ID", default=UNSET)


class Headers(_NodeHeaders, frozen=True, kw_only=True):
    """The headers of every action that has an operation."""

    client: str = field(name="Client-ID")
    project: str = field(name="X-Project-ID")


class AuthenticateHeaders(_NodeHeaders, frozen=True, kw_only=True):
    """The headers of the action that shows a token."""

    project: str = field(name="X-Project-ID")
    token: str = field(name="X-Auth-Token")


class _AnyBody(Struct, frozen=True):
    """A body of which no field is looked at."""


_DONE = Answer(204, (b"{}",))
_NO_CLAIM = b',"claim_id":null'

WHOLE = {"messages": (ord("["), "an array"), "metadata": (ord("{"), "an object"), "options": (ord("{"), "an object")}
"""Fields that stay JSON text: how such a text has to begin, and the name of that."""


@frozen
class Action:
    """What a frame can ask for.

    :ivar operation: the row of the registry; ``None`` where the action is answered without one.
    :ivar alone: see :class:`~zaqar_gateway.operations.registry.Frame`; ``reads``, ``at_once`` and ``varies`` likewise.
    :ivar answer: what is answered, from the fields and the result of the operation.
    :ivar audit: tells of requests; ``None``: nobody does.
    """

    name: str
    operation: Operation | None
    alone: bool
    answer: Callable[[Any, Any], Answer]
    _headers: msgspec.json.Decoder[Any]
    _body: msgspec.json.Decoder[Any]
    _whole: tuple[str, ...] = ()
    audit: Audit | None = None
    _listener: str = ""  # the field that is the connection itself
    _member: msgspec.json.Decoder[Any] | None = None
    reads: bool = False
    at_once: tuple[str, str] | None = None
    varies: tuple[str, ...] = ()

    def headers(self, envelope: Envelope) -> Any:
        """The headers that the action has; :class:`Headers` where it has an operation.

        :raises EnvelopeError: they violate the schema.
        """
        try:
            return documents.decode(self._headers.decode, envelope.headers)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _violated("headers", error) from None

    def fields(self, text: bytes | Raw, listener: IListener | None) -> msgspec.Struct:
        """The fields of the operation.

        :param text: the body.
        :param listener: the connection.
        :raises EnvelopeError: the body violates the schema.
        """
        try:
            body = documents.decode(self._body.decode, text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _violated("body", error) from None
        for name in self._whole:
            value = getattr(body, name)
            if value is not UNSET and memoryview(value)[0] != WHOLE[name][0]:
                raise _violation(f"body.{name} has to be {WHOLE[name][1]}.")
        if self._listener and self.operation is not None:
            return self.operation.fields(**{**msgspec.structs.asdict(body), self._listener: listener})
        return body  # type: ignore[no-any-return]

    def fields_at_once(self, text: bytes, like: msgspec.Struct) -> msgspec.Struct:
        """The same, of a body that is like another one but for the member that can be decoded by itself.

        :param text: what it has for that.
        :param like: the fields of the other one.
        :raises EnvelopeError: that violates the schema.
        """
        assert self.at_once is not None and self._member is not None
        try:
            value = self._member.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise _violated("body", error) from None
        return with_others(like, self.at_once[1], value, "size", len(text))


def with_others(like: msgspec.Struct, name: str, value: Any, other: str = "", other_value: Any = None) -> msgspec.Struct:
    """A structure like another one but for one field or two.

    ``msgspec.structs.replace`` takes four times as long where the names of the fields are not written in the call.
    """
    found: msgspec.Struct = like.__copy__()  # type: ignore[attr-defined]
    force_setattr(found, name, value)
    if other:
        force_setattr(found, other, other_value)
    return found


def _violation(why: str) -> EnvelopeError:
    return EnvelopeError(f"Schema validation failed. {why}")


def _violated(where: str, error: Exception) -> EnvelopeError:
    text = documents.explain(error) if isinstance(error, msgspec.ValidationError) else str(error)
    whole = text.removeprefix("The document")
    return _violation(f"{where}.{text}" if whole == text else where + whole)


class Actions:
    """All that frames can ask for, made from the registry.

    :param operations: the rows; those without a ``frame`` are left out.
    :param alone: names of rows that make several steps, besides those that always do.
    :raises KeyError: a row has no line in the table of answers.
    """

    def __init__(self, operations: Iterable[Operation], alone: frozenset[str] = frozenset()) -> None:
        headers, nothing = msgspec.json.Decoder(Headers), msgspec.json.Decoder(_AnyBody)
        self._by_name: dict[str, Action] = {}
        for operation in operations:
            if operation.frame is not None:
                body = body_type(operation, operation.frame)
                self._by_name[operation.name] = Action(
                    operation.name,
                    operation,
                    operation.frame.alone or operation.name in alone,
                    ANSWERS[operation.name],
                    headers,
                    msgspec.json.Decoder(body),
                    tuple(name for name in body.__struct_fields__ if name in WHOLE),
                    audit_of(operation, "websocket"),
                    operation.frame.listener,
                    _decoder_at_once(operation, operation.frame),
                    operation.frame.reads,
                    operation.frame.at_once,
                    operation.frame.varies,
                )
        for name in NOT_IMPLEMENTED - self._by_name.keys():
            decoder: msgspec.json.Decoder[Any] = headers
            if name in _NODE_ACTIONS:
                decoder = msgspec.json.Decoder(_NodeHeaders)
            self._by_name[name] = Action(name, None, False, _no_answer, decoder, nothing)
        self._by_name[AUTHENTICATE] = Action(
            AUTHENTICATE, None, False, _no_answer, msgspec.json.Decoder(AuthenticateHeaders), nothing
        )
        self._by_text = {_encode(name): action for name, action in self._by_name.items()}

    @property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._by_name)

    def find(self, envelope: Envelope) -> Action:
        """:raises EnvelopeError: there is no such action."""
        found = self._by_text.get(bytes(envelope.action))
        if found is not None:
            return found
        name = _decode_any(envelope.action)  # a name may be written with escapes
        if isinstance(name, str) and name in self._by_name:
            return self._by_name[name]
        if not isinstance(name, str):
            name = "None" if name is None else bytes(envelope.action).decode()
        raise EnvelopeError(f"{repeated(name)} is not a valid action")


def _decoder_at_once(operation: Operation, frame: Frame) -> msgspec.json.Decoder[Any] | None:
    if frame.at_once is None:
        return None
    kinds = get_args(get_type_hints(operation.fields)[frame.at_once[1]])
    return msgspec.json.Decoder(next(kind for kind in kinds if kind is not UnsetType))


def body_type(operation: Operation, frame: Frame) -> type[Struct]:
    """The fields that a row has on WebSocket, as a struct; those that frames do not have are attributes of it all the same, with
    their defaults, so that it is to the operation what its own fields are."""
    if not frame.only and not frame.needed:
        return operation.fields
    types = {**get_type_hints(operation.fields), **frame.types}
    only = frame.only or operation.fields.__struct_fields__
    needed: list[Any] = []
    others: list[Any] = []
    fixed: dict[str, Any] = {}
    for known in msgspec.structs.fields(operation.fields):
        if known.name not in only:
            fixed[known.name] = known.default if known.default_factory is NODEFAULT else known.default_factory()
            continue
        if known.name in frame.needed or known.required:
            kinds = get_args(types[known.name])
            if UnsetType in kinds:
                needed.append((known.name, Union[tuple(kind for kind in kinds if kind is not UnsetType)]))  # noqa: UP007
            else:
                needed.append((known.name, types[known.name]))
        else:
            others.append((known.name, types[known.name], field(default=known.default)))
    return msgspec.defstruct(f"{operation.fields.__name__}Frame", needed + others, namespace=fixed, frozen=True)


def _no_answer(asked: Any, result: Any) -> Answer:
    raise AssertionError("no operation has a result here")


# -- answers -----------------------------------------------------------------------------------------------------------


class FailingShown(Struct):
    """A queue or a topic with deliveries that were given up."""

    project: str
    count: int
    queue: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET


class Popped(Struct):
    """A message that was removed as it was read."""

    id: str
    ttl: int
    age: int
    body: Raw
    claim_count: int
    claim_id: None = None


class QueueShown(Struct):
    """A queue in a listing; detailed: with its metadata."""

    name: str
    metadata: Raw | UnsetType = UNSET


class Edge(Struct):
    """The oldest or the newest message."""

    id: str
    age: int
    created: str


class Stats(Struct):
    """How many messages there are; the edges where there is any."""

    claimed: int
    free: int
    total: int
    oldest: Edge | UnsetType = UNSET
    newest: Edge | UnsetType = UNSET


def _listed(messages: Sequence[model.Message]) -> Answer:
    return Answer(200, (b'{"messages":[', b"".join(spliced(messages, tail=_NO_CLAIM)), b"]}"))


def _claimed(begin: bytes, claim: model.Claim) -> Text:
    return begin, b"".join(spliced(claim.messages, tail=b',"claim_id":"%b"' % claim.id.encode())), b"]}"


def _popped(messages: Iterable[model.Message]) -> list[Popped]:
    return [Popped(one.id, one.ttl_s, one.age_s, Raw(one.body), one.claim_count) for one in messages]


def _edge(edge: model.StatsEdge | None) -> Edge | UnsetType:
    if edge is None:
        return UNSET
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(edge.created_ms // 1000))
    return Edge(edge.id, edge.age_s, created)


def _queue_list(asked: Any, result: Any) -> Answer:
    return Answer(
        200,
        {"queues": [QueueShown(queue.name, shown.unescaped(queue.metadata) if asked.detailed else UNSET) for queue in result.queues]},
    )


def _queue_stats(asked: Any, stats: model.QueueStats | None) -> Answer:
    if stats is None:
        return Answer(404, {"messages": Stats(0, 0, 0)})
    shown = Stats(stats.claimed, stats.free, stats.total, _edge(stats.oldest), _edge(stats.newest))
    return Answer(200, {"messages": shown})


def _deleted_many(asked: Any, popped: list[model.Message] | None) -> Answer:
    return _DONE if popped is None else Answer(200, {"messages": _popped(popped)})


def _posted(asked: Any, ids: list[str]) -> Answer:
    if isinstance(ids, model.Replayed):
        return Answer(201, {"message_ids": ids, "replayed": True})
    return Answer(201, (b'{"message_ids":["%b"]}' % '","'.join(ids).encode(),))


def _claim_created(asked: Any, claim: model.Claim | None) -> Answer:
    if claim is None:
        return Answer(204, {"claim_id": None})
    return Answer(201, _claimed(b'{"claim_id":"%b","messages":[' % claim.id.encode(), claim))


def _subscribed(asked: Any, subscribed: Subscribed) -> Answer:
    if not subscribed.placed.is_new:
        return Answer(409, f"Subscription {asked.queue_name} not created.")
    message = f"Subscription {asked.queue_name} created."
    answered = {"subscription_id": subscribed.placed.id, "message": message}
    if subscribed.begun is not None:
        return Answer(201, {**answered, "live": subscribed.begun})
    return Answer(201, answered)


def _failing(failing: model.Failing) -> FailingShown:
    place = failing.place
    if place.is_topic:
        return FailingShown(place.project, failing.count, topic=place.name)
    return FailingShown(place.project, failing.count, queue=place.name)


ANSWERS: Mapping[str, Callable[[Any, Any], Answer]] = {
    "queue_list": _queue_list,
    "queue_create": lambda asked, created: Answer(201 if created else 204, f"Queue {asked.queue_name} created."),
    "queue_get": lambda asked, stored: Answer(200, shown.unescaped(stored or b"{}")),
    "queue_delete": lambda asked, _: Answer(204, f"Queue {asked.queue_name} removed."),
    "queue_get_stats": _queue_stats,
    "queue_purge": lambda asked, _: Answer(204, {}),
    "message_post": _posted,
    "message_list": lambda asked, page: _listed(page.messages),
    "message_get": lambda asked, message: Answer(
        200, (b'{"messages":', *spliced([message], tail=_NO_CLAIM), b"}")
    ),
    "message_get_many": lambda asked, found: _listed(found),
    "message_delete": lambda asked, _: _DONE,
    "message_delete_many": _deleted_many,
    "claim_create": _claim_created,
    "claim_get": lambda asked, claim: Answer(
        200, _claimed(b'{"age":%d,"ttl":%d,"messages":[' % (claim.age_s, claim.ttl_s), claim)
    ),
    "claim_update": lambda asked, _: Answer(204, f"Claim {asked.claim_id} updated."),
    "claim_delete": lambda asked, _: Answer(204, f"Claim {asked.claim_id} deleted."),
    "dead_letter_list": lambda asked, page: Answer(200, {"dead_letters": [shown.dead_letter(one) for one in page]}),
    "dead_letter_return": lambda asked, sent: Answer(200, {"returned": sent.number, "remaining": sent.remaining}),
    "subscription_create": _subscribed,
    "subscription_list": lambda asked, page: Answer(
        200, {"subscriptions": [shown.subscription(asked.queue_name, one) for one in page]}
    ),
    "subscription_get": lambda asked, found: Answer(200, shown.subscription(asked.queue_name, found)),
    "subscription_delete": lambda asked, _: Answer(204, f"Subscription {asked.subscription_id} removed."),
    "message_acknowledge": lambda asked, count: Answer(200, {"acknowledged": count}),
    "message_refuse": lambda asked, count: Answer(200, {"refused": count}),
    "message_extend": lambda asked, count: Answer(200, {"extended": count}),
    "subscription_window": lambda asked, _: Answer(200, {"window": asked.window}),
    "durable_list": lambda asked, names: Answer(200, {"durables": [shown.durable(one) for one in names]}),
    "durable_delete": lambda asked, _: Answer(204, {}),
    "pool_list": lambda asked, page: Answer(200, {"pools": [shown.pool(one, detailed=asked.detailed) for one in page]}),
    "pool_get": lambda asked, found: Answer(200, shown.pool(found, detailed=asked.detailed)),
    "pool_create": lambda asked, _: Answer(201, f"Pool {asked.pool_name} created."),
    "pool_update": lambda asked, changed: Answer(200, shown.pool(changed)),
    "pool_delete": lambda asked, _: Answer(204, f"Pool {asked.pool_name} removed."),
    "flavor_list": lambda asked, page: Answer(
        200, {"flavors": [shown.flavor(one, detailed=asked.detailed) for one in page]}
    ),
    "flavor_get": lambda asked, found: Answer(200, shown.flavor(found, detailed=True)),
    "flavor_create": lambda asked, _: Answer(201, f"Flavor {asked.flavor_name} created."),
    "flavor_update": lambda asked, changed: Answer(200, shown.flavor(changed, detailed=True)),
    "flavor_delete": lambda asked, _: Answer(204, f"Flavor {asked.flavor_name} removed."),
    "delivery_overview": lambda asked, places: Answer(200, {"deliveries": [_failing(one) for one in places]}),
    "delivery_list": lambda asked, page: Answer(200, {"deliveries": [shown.delivery(one) for one in page]}),
    "delivery_resend": lambda asked, count: Answer(200, {"count": count}),
}
"""Name of an operation to what its answer is, from its fields and its result (API reference, "Actions")."""

NOT_AUTHENTIFIED = "Not authentified."
NOT_AUTHENTICATED = "Not authenticated."
AUTHENTICATION_FAILED = Answer(401, {"error": "Authentication failed."})
AUTHENTICATED = Answer(200, {"message": "Authentified."})


@implementer(IPushed)
@frozen
class Expiring:
    """Word to a client that its token ends soon; it is told from answers as notifications are, by having no ``request``.

    :ivar left_s: seconds until then.
    """

    left_s: int

    @property
    def text(self) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IPushed`."""
        return msgspec.json.encode(self._document)

    @property
    def packed(self) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IPushed`."""
        return msgspec.msgpack.encode(self._document)

    @property
    def _document(self) -> dict[str, object]:
        return {"Message_Type": "AuthenticationExpires", "expires_in": self.left_s}

"""The spellings are those of the API reference, "Authentication"."""


def refusal(error: EnvelopeError) -> Answer:
    """What is answered to a frame that reaches no operation."""
    return Answer(400, {"error": str(error)})


def describe(error: GatewayError | None) -> Answer:
    """What is answered where an operation failed; ``None``: for a reason that nobody foresaw."""
    if error is None:
        return Answer(500, {"exception": _UNEXPECTED, "error": _UNEXPECTED})
    if isinstance(error, Unauthorized):  # an error of the envelope (API reference, "Envelope errors")
        return Answer(told(error).websocket, {"error": str(error)})
    status = told(error).websocket
    text = text_of(error, status)
    return Answer(status, {"exception": text, "error": text})
