"""One socket's conversation: what each frame asks for and what is answered.  No I/O, no Autobahn.

Who asks is decided here, for each frame, after the schema and before the operation, as the API reference, "Envelope
errors", orders it: a signature in the frame in :meth:`Session.signed`, all else in :meth:`Session.caller`.  That is whoever
has authenticated on the socket, or, without a strategy, what the frame says of itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
from attrs import define, field
from msgspec.structs import replace
from twisted.logger import Logger

from zaqar_gateway import instants
from zaqar_gateway.errors import BadBody, NotSupported, Overloaded, Unauthorized
from zaqar_gateway.interfaces import IAsker, IListener, IUrlSigner
from zaqar_gateway.limits import NAME_LENGTH_MAX, PROJECT_LENGTH_MAX, ClientIds, valid_name
from zaqar_gateway.meters import NO_OPERATION
from zaqar_gateway.model import NO_ROLES, Caller, Context, SignedUrl, roles_of
from zaqar_gateway.operations.registry import MESSAGES, Operation, dispatch
from zaqar_gateway.operations.subscriptions import Subscribed
from zaqar_gateway.transport.replies import explained
from zaqar_gateway.transport.status import INTERNAL
from zaqar_gateway.transport.websocket import codec
from zaqar_gateway.transport.websocket.access import Access
from zaqar_gateway.transport.websocket.alike import Alike, alike, closely_alike
from zaqar_gateway.transport.websocket.authentication import Authentication
from zaqar_gateway.transport.websocket.codec import Action, Actions, Answer, Echo, Envelope, EnvelopeError
from zaqar_gateway.transport.websocket.projects import Projects

_log = Logger()

_KNOWN_SIZE_MAX = 2048
"""Bytes of headers that are remembered."""

_ALIKE_MAX = 4
"""Forms of frames that are remembered."""

_SAME_MAX, _SAME_SIZE_MAX = 8, 512
"""Frames that are remembered whole, and the bytes of the longest: who claims, pops or polls says the very same again and again."""

_NAMED_SIZE_MAX = 1024
"""Bytes of a frame that is not looked at for a name that is too long."""


class Request(msgspec.Struct, eq=False):
    """One frame, read.  Nothing has happened yet: :meth:`reply` is what makes it take effect.

    :ivar alone: whether no other request of the socket may run at the same time.
    :ivar reads: whether what changes something, and comes later, has to wait for it.
    :ivar aside: whether the replies to later requests do not wait for this one's.
    :ivar size: bytes of its payload.
    """

    alone: bool
    _session: Session
    _is_binary: bool
    _echo: Echo
    _answer: Answer | None = None
    _action: Action | None = None
    _headers: codec.Headers | None = None
    _asked: msgspec.Struct | None = None
    aside: bool = False
    reads: bool = False
    size: int = 0

    async def reply(self) -> bytes:
        """Do what is asked.

        :return: the payload of the reply, in the encoding of the request.
        """
        action, asked, context = self._action, self._asked, None
        if self._answer is not None:
            return codec.close_frame(self._echo, self._answer, self._is_binary)
        assert action is not None and self._headers is not None and asked is not None
        try:
            if self.aside:
                self._answer = await self._authenticate(self._headers)
            else:
                operation, context = self._session.admit(action, self._headers, asked)
                result = await dispatch(operation, context, self)
                if type(result) is Subscribed and result.listens:
                    self._session.pushes_binary, self._session.is_subscribed = self._is_binary, True
                self._answer = action.answer(asked, result)
        except Exception as error:
            self._answer = explained(error, codec.describe)
        if action.audit is not None and context is not None:
            action.audit.record(context, self._answer.status, partial(getattr, asked), self._session.peer())
        return codec.close_frame(self._echo, self._answer, self._is_binary)

    def outcome(self) -> tuple[str, int, bool]:
        """The operation, :data:`.NO_OPERATION` where it asks for none that there is, the status of the reply, and whether it may have
        had to wait for messages; once there is a reply."""
        action, asked = self._action, self._asked
        status = INTERNAL.http if self._answer is None else self._answer.status
        operation = None if action is None else action.operation
        if operation is None:
            return action.name if action is not None and self.aside else NO_OPERATION, status, False
        return operation.name, status, asked is not None and _waits(operation, asked)

    def fields(self, operation: Operation) -> msgspec.Struct:
        """The fields of the operation, as :func:`~zaqar_gateway.operations.registry.dispatch` asks for them."""
        assert self._asked is not None
        return self._asked

    async def _authenticate(self, headers: codec.Headers) -> Answer:
        if not self._session.is_subscribed:
            self._session.pushes_binary = self._is_binary
        return await self._session.authenticate(headers)


def _with_short_name(asked: msgspec.Struct) -> msgspec.Struct:
    """The same, with a name of a queue that is too long cut, though not to one that there may be: stores remember names, whole."""
    name: object = getattr(asked, "queue_name", "")
    if not isinstance(name, str) or len(name) <= NAME_LENGTH_MAX:
        return asked
    return replace(asked, queue_name=name[: NAME_LENGTH_MAX + 1])


def _is_given(asked: msgspec.Struct, name: str) -> bool:
    return getattr(asked, name) is not msgspec.UNSET


def _waits(operation: Operation | None, asked: msgspec.Struct) -> bool:
    """Whether a request may have to wait for messages; what is behind it does not wait to take effect."""
    return operation is not None and operation.waits and bool(asked.wait)  # type: ignore[attr-defined]  # what waits has it


def signed_request(
    operation: Operation | None, headers: codec.Headers, asked: msgspec.Struct
) -> tuple[SignedUrl, str, str] | None:
    """What a pre-signed frame brings, and the method and path that it needs (API reference, "Pre-signed frames").

    :return: ``None``: it is no action on messages, or a member is missing or of the wrong type.
    """
    if operation is None or operation.http is None or not operation.http.path.startswith(MESSAGES):
        return None
    queue: str = asked.queue_name  # type: ignore[attr-defined]  # what is at such a path has it
    methods, paths = _texts(headers.url_methods), _texts(headers.url_paths)
    expires, signature = headers.url_expires, headers.url_signature
    if methods is None or paths is None or not isinstance(expires, str) or not isinstance(signature, str):
        return None
    if not valid_name(queue):  # a slash in it would make a path below another one
        return None
    given = SignedUrl(paths, methods, headers.project, expires, signature)
    return given, operation.http.method, MESSAGES.format(queue_name=queue)


def _texts(value: object) -> tuple[str, ...] | None:
    return tuple(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else None


@define(eq=False)
class Session:
    """The conversation with one client.

    :param client_ids: how a ``Client-ID`` has to look, for the operations that check it.
    :param signer: of pre-signed URLs; ``None``: none is accepted.
    :param listener: the connection, for the operations that subscribe it.
    :param authentication: who has authenticated; ``None``: nobody has to.
    :param projects: counts the sockets of projects; ``None``: nobody does.
    :param asker: the connection, for the operations that wait; ``None``: it is always there.
    :param peer: gives where the client is (:func:`zaqar_gateway.transport.audit.peer_of`).
    :ivar pushes_binary: whether pushes are MessagePack: as the request was that last subscribed the connection, or
        authenticated where none has.
    :ivar is_subscribed: whether one has subscribed it.
    """

    _actions: Actions
    _client_ids: ClientIds
    _signer: IUrlSigner | None = None
    _listener: IListener | None = None
    _authentication: Authentication | None = None
    _projects: Projects | None = None
    asker: IAsker | None = field(default=None, kw_only=True)
    peer: Callable[[], str] = field(default=str, kw_only=True)
    pushes_binary: bool = field(init=False, default=False)
    is_subscribed: bool = field(init=False, default=False)
    _project: str | None = field(init=False, default=None)
    _known_text: bytes = field(init=False, default=b"")  # the headers of the last frame, as they came
    _known: codec.Headers | None = field(init=False, default=None)  # and read
    _known_contexts: dict[bool, Context] = field(init=False, factory=dict)  # who asks with them, with the client checked or not
    _alike: list[Alike] = field(init=False, factory=list)  # frames with these headers
    _learning: Action | None = field(init=False, default=None)  # of which one has come that says little of the others
    _same: dict[bytes, tuple[Action, Echo, msgspec.Struct]] = field(init=False, factory=dict)  # whole frames with these headers

    def receive(self, payload: bytes, is_binary: bool) -> Request:
        """Read a frame.  Whatever is in it, there is a request, and its reply says what was wrong.

        :param payload: of a text frame, UTF-8.
        """
        if self._authentication is not None:
            self._authentication.count()
        if not is_binary:
            size = len(payload)
            if size <= _SAME_SIZE_MAX and (same := self._same.get(payload)) is not None:
                action, echo, asked = same
                return self._request(action, False, echo, self._known, asked, size)
            for one in self._alike:
                if payload.startswith(one.before):
                    try:
                        found = one.read(payload, self._listener)
                    except (BadBody, EnvelopeError):
                        continue  # what is wrong with it is said where it is read anew
                    if found is not None:
                        asked, echo = found
                        if one.like is None and size <= _SAME_SIZE_MAX:
                            if len(self._same) >= _SAME_MAX:
                                self._same.clear()
                            self._same[payload] = one.action, echo, asked
                        return self._request(one.action, False, echo, self._known, asked, size)
        envelope, reached = codec.NO_ENVELOPE, None
        try:
            envelope = codec.open_frame(payload, is_binary)
            action = self._actions.find(envelope)
            headers = self._headers(action, envelope)
            reached = action
            asked = action.fields(envelope.body, self._listener)
        except EnvelopeError as error:
            return Request(False, self, is_binary, envelope.echo, codec.refusal(error), reached)
        except Exception:
            _log.failure("a frame could not be read")
            return Request(False, self, is_binary, envelope.echo, codec.describe(None))
        if action.name == codec.AUTHENTICATE:
            # Without a strategy everybody is who they say; the token is not echoed.
            envelope = Envelope(action=envelope.action)
            if self._authentication is None:
                return Request(False, self, is_binary, envelope.echo, codec.AUTHENTICATED)
            if self._authentication.running:
                refused = codec.describe(Unauthorized(codec.NOT_AUTHENTIFIED))
                return Request(False, self, is_binary, envelope.echo, refused)
            # It waits for what came before, which belongs to whoever has spoken until now.
            return Request(True, self, is_binary, envelope.echo, None, action, headers, asked, aside=True)
        if not is_binary and headers is self._known:
            self._learn(payload, envelope, action, asked)
        return self._request(action, is_binary, envelope.echo, headers, asked, len(payload))

    def _request(
        self, action: Action, is_binary: bool, echo: Echo, headers: codec.Headers | None, asked: msgspec.Struct, size: int
    ) -> Request:
        if size > _NAMED_SIZE_MAX:
            asked = _with_short_name(asked)
        reads = action.reads and not _waits(action.operation, asked)
        return Request(action.alone, self, is_binary, echo, None, action, headers, asked, reads=reads, size=size)

    def _learn(self, payload: bytes, envelope: Envelope, action: Action, asked: msgspec.Struct) -> None:
        """Note what frames are like one whose headers have come before, and that was like none: first those that share most."""
        known = [one.like is None for one in self._alike if one.action is action]
        if True in known:
            return
        found = None if known else closely_alike(payload, envelope, action, asked, self._listener)
        if found is None and not known and self._learning is not action and action.varies:
            self._learning = action  # the first page has no marker; the next one may have
            return
        found = found or alike(payload, envelope, action)
        if found is not None:
            self._alike = [*self._alike[1 - _ALIKE_MAX :], found]

    def _headers(self, action: Action, envelope: Envelope) -> codec.Headers:
        """The headers of a frame.  A client sends the same ones again and again."""
        if action.operation is None:
            return action.headers(envelope)  # type: ignore[no-any-return]
        text, known = bytes(envelope.headers), self._known
        if known is None or text != self._known_text:
            known = action.headers(envelope)
            if len(text) <= _KNOWN_SIZE_MAX:
                self._known, self._known_text = known, text
                self._known_contexts, self._alike, self._same = {}, [], {}
        return known

    async def authenticate(self, headers: codec.Headers) -> Answer:
        """Have the owner of the token in some headers speak from now on."""
        assert self._authentication is not None and isinstance(headers.token, str)
        return await self._authentication.authenticate(headers.token)

    def end(self) -> None:
        """The connection is gone."""
        if self._authentication is not None:
            self._authentication.stop()
        if self._project is not None and self._projects is not None:
            self._projects.leave(self._project)
        self._project, self._projects = None, None

    def admit(self, action: Action, headers: codec.Headers, asked: msgspec.Struct) -> tuple[Operation, Context]:
        """The operation of a frame, and who asks for it.

        :raises GatewayError: whoever it is may not, or not here.
        """
        operation = action.operation
        is_signed = headers.url_signature is not msgspec.UNSET and self.signed(operation, headers, asked)
        caller = self.caller(headers, is_signed)
        if operation is None:
            raise NotSupported(f"{action.name} is not available here.")
        context = self.context(operation, headers, caller, is_signed, asked)
        if _waits(operation, asked):
            asker = self.asker
            if asker is not None and is_signed:
                asker = Access(asker, instants.parse(headers.url_expires))
            elif asker is not None and self._authentication is not None:
                asker = self._authentication.access(asker)
            context = replace(context, asker=asker)
        if context.project != self._project:
            if len(context.project) > PROJECT_LENGTH_MAX:  # there is nothing in it, nor in one that begins so
                context = replace(context, project=context.project[: PROJECT_LENGTH_MAX + 1])
            self.work_for(context.project)
        return operation, context

    def work_for(self, project: str) -> None:
        """Count the socket for the project of a request; close it where the project has too many.

        :raises Overloaded: it has.
        """
        if self._projects is None:
            return
        if not self._projects.move(self._project, project):
            reason = f"The project has {self._projects.sockets_max} WebSockets here, as many as it may have."
            if self._listener is not None:
                self._listener.fail(reason)
            raise Overloaded(reason)
        self._project = project

    def signed(self, operation: Operation | None, headers: codec.Headers, asked: msgspec.Struct) -> bool:
        """Whether a frame carries a signature, which is good then.

        It does not authenticate the socket, and gives no role.

        :raises Unauthorized: the signature does not give what is asked for.
        """
        if headers.url_signature is msgspec.UNSET:
            return False
        if self._authentication is not None and self._authentication.running:
            raise Unauthorized(codec.NOT_AUTHENTIFIED)
        needed = signed_request(operation, headers, asked)
        if needed is None or self._signer is None or not self._signer.allows(*needed):
            raise Unauthorized(codec.NOT_AUTHENTIFIED)
        if self._authentication is not None:
            self._authentication.vouched()
        return True

    def caller(self, headers: codec.Headers, is_signed: bool) -> Caller | None:
        """Who has authenticated and asks now; ``None``: nobody need have.

        :raises Unauthorized: somebody has to, and has not, or not for this project.
        """
        if is_signed or self._authentication is None:
            return None
        return self._authentication.caller(headers.project)

    def context(
        self,
        operation: Operation,
        headers: codec.Headers,
        caller: Caller | None = None,
        is_signed: bool = False,
        asked: msgspec.Struct | None = None,
    ) -> Context:
        """Who asks, and in which project.

        :param is_signed: what the frame says of roles and user is not covered by a signature, and so is not looked at.
        :param asked: the fields.
        :raises BadClientId: the operation compares clients and the id is not of the form that this gateway accepts.
        """
        frame = operation.frame
        checks = frame is not None and frame.checks_client
        if frame is not None and frame.checks_client_with and asked is not None:
            checks = checks or _is_given(asked, frame.checks_client_with)
        is_known = headers is self._known and caller is None and not is_signed
        if is_known and (known := self._known_contexts.get(checks)) is not None:
            return known
        client = self._client_ids.canonical(headers.client) if checks else b""
        if caller is not None:
            assert self._authentication is not None
            return Context(caller.project, client, caller.roles, caller.user, self._authentication.token)
        roles, user = NO_ROLES, ""
        if not is_signed:
            # Without authentication a client is believed, as on HTTP (API reference, "Request headers").
            if isinstance(headers.roles, str):
                roles = roles_of(headers.roles)
            if isinstance(headers.user, str):
                user = headers.user
        found = Context(headers.project, client, roles, user, headers.token or "")
        if is_known:
            self._known_contexts[checks] = found
        return found
