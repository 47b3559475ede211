"""What the parts of the store ask, be it one Redis or a cluster of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from zaqar_gateway.storage.redis.commands import Argument, Commands, Growing
from zaqar_gateway.storage.redis.scripts import Script


class IConnection(Interface):
    """A connection that is made again when it is lost."""

    ready: bool = Attribute("Whether there is one now.")

    def start() -> None:
        """Connect, and stay connected until :meth:`stop`."""

    async def stop() -> None:
        """Close the connection; what is under way then has an unknown outcome."""

    def follow(place: tuple[str, int], electable: int) -> None:
        """Be connected to a place, or on the way there.

        :param electable: how many replicas of it may take its part.
        """

    def when_ready() -> Deferred[None]:
        """Fires when there is a connection.  It may be cancelled."""

    async def ping() -> None:
        """See :meth:`IRedis.ping`."""


class IRedis(Interface):
    """Commands and scripts, each on keys of one slot.  What concerns one slot takes effect in the order in which it is asked for."""

    async def ping() -> None:
        """Find out whether it answers.

        :raises StoreError: it does not.
        """

    async def command(*args: Argument) -> Any:
        """Run a command, whose second word is the key.

        :return: bytes, integers, lists of them, or ``None``, as Redis answers.
        :raises StoreError: it did not run, or nobody knows whether it did.
        """

    async def script(script: Script, keys: Sequence[bytes], args: Sequence[Argument]) -> Any:
        """Run a script; the same answers and errors as :meth:`command`."""

    def run(script: Script, count: int, *packed: bytes) -> Deferred[Any]:
        """Run a script whose keys and arguments are packed (:mod:`.packing`), which takes a fifth of the time.

        It is sent at once, not when it is awaited.

        :param count: how many keys and arguments.
        :param packed: the first one has the keys.
        """

    def growing(kind: Any, overtakes: bool = True) -> Growing | None:
        """The last command of a kind that is not sent yet, where a request may be added to it: it is the last of all, or order does
        not matter now.

        :param kind: a tuple that begins with the keys, packed, or :class:`.reading.Asking`.
        :param overtakes: whether it does not matter for this request.
        """

    def send(sent: Growing, kind: Any) -> None:
        """Send a command when this turn of the reactor ends, with what is added to it until then; errors as of :meth:`run`.

        :param kind: what :meth:`growing` finds it by.
        """

    async def transaction(key: bytes, number: int, *packed: bytes, script: Script | None = None) -> list[Any]:
        """Run several packed commands with nothing between them: all take effect, or none.

        :param key: one of those that they are about.
        :param number: how many.
        :param script: that one of them runs, if one does: its ``by_sum`` is a piece of its own.  Where Redis has forgotten it, all
            are sent again with its text, so what the others do must not change when it is done twice.
        :return: their answers; errors as of :meth:`command`, for the first.
        """

    async def in_order(*steps: Coroutine[Any, Any, Any]) -> list[Any]:
        """The answers of several commands or scripts that take effect in this order, in whatever slots their keys are.

        :raises Exception: of the first that failed.  Those behind it may have taken effect, or not.
        """

    def parts() -> Sequence[IRedis]:
        """All that have keys, each of which can be asked for those by SCAN."""

    def beside(
        make: Callable[[Any, float, int], Commands], greet: Callable[[Commands], Awaitable[None]], name: str
    ) -> IConnection:
        """Another connection to the same Redis, or to a node of the cluster, without scripts, not started yet.

        :param make: makes its protocol: (clock, seconds for an answer, bound) to protocol.
        :param greet: what is done on each connection before anybody else may use it.
        :param name: what is at the other end, for the log.
        """

    def when_ready(key: bytes | None = None) -> Deferred[None]:
        """Fires when it is connected.  It may be cancelled.

        :param key: what is to be asked then is about it alone.
        """

    def pause(seconds: float) -> Deferred[None]:
        """Fires after some time, for work that lets others go first."""
