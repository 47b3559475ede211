"""How many requests, and bytes of requests, a project may send in a time through all gateways together.

The buckets of tokens are in the store.  Asking them within the step of an operation is not possible: they belong to a
project and live in another slot than its queues, and a step sent in front of the operation's could not keep that from
taking effect.  So a gateway draws tokens in batches, ahead and beside the requests, and spends them without asking
anybody; what it does not use it gives back.  While it waits for the answer of the store it lends up to a batch, or ten
tokens where that is more, which the next draw takes in any case.

So in every time of t seconds all gateways together let in at most burst + per_s * t, and what each of them has lent: a
batch is a tenth of the burst.  What is lent is missing afterwards, and so the rate holds exactly in the long run.  A
gateway may refuse while others hold tokens that they have not spent: one batch each, for some seconds.  A request is let
in while there is any token left for its bytes, so that one larger than the burst is no exception.
"""

from __future__ import annotations

from math import ceil, inf

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from zaqar_gateway.errors import StoreError, StoreFault, TooManyRequests
from zaqar_gateway.interfaces import IRates
from zaqar_gateway.model import Draw
from zaqar_gateway.operations.refusals import Refusals

IDLE_S = 2.0
"""After what time, at the least, what an idle project has not spent is given back; at the most after twice that."""

_LENT_MIN = 10

_log = Logger()


@frozen
class Rate:
    """A bucket.

    :ivar per_s: tokens a second.
    :ivar burst: the most tokens in it.
    """

    per_s: float
    burst: int
    batch: int = field(init=False)
    lent: int = field(init=False)
    enough: int = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "batch", max(1, self.burst // 10))
        # Requests that need nothing of the store are answered faster than it is asked for tokens.
        object.__setattr__(self, "lent", max(self.batch, min(self.burst, _LENT_MIN)))
        # A project at its limit makes a gateway ask for more ten times a second, and not for each request.
        object.__setattr__(self, "enough", max(1, min(self.batch, ceil(self.per_s / 10))))

    def draw(self, have: float) -> Draw:
        """What fills up to a batch."""
        owed = max(0, -int(have))
        return Draw(self.per_s, self.burst, owed, max(0, self.batch - max(0, int(have))), self.enough)

    def give_back(self, have: float) -> Draw:
        """What leaves nothing, and no debt."""
        return Draw(self.per_s, self.burst, -int(have), 0, self.enough)


class _Share:
    """What this process has of the tokens of a project.

    :ivar requests: tokens for requests; below 0: lent.  Infinite where they are not counted.
    :ivar bytes: the same for bytes.
    :ivar dry_until_s: until when there is not enough in the store, as it said.
    :ivar is_drawing: whether its answer is awaited.
    :ivar is_used: whether there was a request since the last look.
    """

    __slots__ = ("bytes", "dry_until_s", "is_drawing", "is_used", "requests")

    def __init__(self, requests: float, size: float) -> None:
        self.requests = requests
        self.bytes = size
        self.dry_until_s = 0.0
        self.is_drawing = False
        self.is_used = True


@define(eq=False)
class Rates:
    """The rates of all projects, as this process holds them.

    :param requests: ``None``: any number.
    :param size: of bytes; ``None``: any number.
    """

    _store: IRates
    _requests: Rate | None
    _size: Rate | None
    _clock: IReactorTime
    _refusals: Refusals
    _shares: dict[str, _Share] = field(init=False, factory=dict)
    _ticking: IDelayedCall | None = field(init=False, default=None)
    _low_requests: float = field(init=False)
    _low_bytes: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._low_requests, self._low_bytes = (
            max(1.0, rate.batch / 2) if rate is not None else -inf for rate in (self._requests, self._size)
        )

    def spend(self, project: str, size: int) -> None:
        """Let a request in; it never waits.

        :param size: its bytes.
        :raises TooManyRequests: the project has to wait.
        """
        share = self._shares.get(project)
        if share is None:
            share = self._begin(project)
        if share.requests < self._low_requests or share.bytes < self._low_bytes:
            self._look(project, share)
        share.requests -= 1
        share.bytes -= size
        share.is_used = True

    async def stop(self) -> None:
        """Give back what was not spent."""
        if self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        shares, self._shares = self._shares, {}
        await gatherResults([Deferred.fromCoroutine(self._give_back(*each)) for each in shares.items()])

    def _begin(self, project: str) -> _Share:
        share = self._shares[project] = _Share(
            inf if self._requests is None else 0, inf if self._size is None else 0
        )
        if self._ticking is None:
            self._ticking = self._clock.callLater(IDLE_S, self._tick)
        return share

    def _look(self, project: str, share: _Share) -> None:
        """:raises TooManyRequests: there are no tokens left, nor may any be lent."""
        now_s = self._clock.seconds()
        is_dry = now_s < share.dry_until_s
        if not is_dry and not share.is_drawing:
            share.is_drawing = True
            Deferred.fromCoroutine(self._draw(project, share)).addErrback(
                lambda failure: _log.failure("tokens were not drawn", failure)
            )
            is_dry = now_s < share.dry_until_s  # a store in memory has answered by now
        for rate, have, name in (
            (self._requests, share.requests, "rates.requests_per_s"),
            (self._size, share.bytes, "rates.bytes_per_s"),
        ):
            if rate is not None and have <= (0 if is_dry or not share.is_drawing else -rate.lent):
                self._refusals.note(name, project)
                wait_s = max(1, ceil(share.dry_until_s - now_s))
                what = "requests" if rate is self._requests else "bytes of requests"
                raise TooManyRequests(
                    f"The project may send {rate.per_s:g} {what} a second; the next is accepted in {wait_s} s.", wait_s
                )

    async def _draw(self, project: str, share: _Share) -> None:
        rates = [
            (rate, name) for rate, name in ((self._requests, "requests"), (self._size, "bytes")) if rate is not None
        ]
        draws = [rate.draw(getattr(share, name)) for rate, name in rates]
        try:
            drawn = await self._store.draw(project, draws)
        except StoreError as error:
            # The requests themselves will fail as long as the store does, and say so better.
            _tell(error)
            for draw, (_, name) in zip(draws, rates, strict=True):
                setattr(share, name, getattr(share, name) + draw.owed + draw.wanted)
        else:
            for draw, got, (_, name) in zip(draws, drawn, rates, strict=True):
                setattr(share, name, getattr(share, name) + draw.owed + got.granted)
            wait_ms = max(got.wait_ms for got in drawn)
            if wait_ms:
                share.dry_until_s = self._clock.seconds() + wait_ms / 1000
        finally:
            share.is_drawing = False

    # -- what is not spent -------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        self._ticking = None
        now_s = self._clock.seconds()
        for project, share in list(self._shares.items()):
            if share.is_used or share.is_drawing or now_s < share.dry_until_s:
                share.is_used = False
                continue
            del self._shares[project]
            Deferred.fromCoroutine(self._give_back(project, share)).addErrback(
                lambda failure: _log.failure("tokens were not given back", failure)
            )
        if self._shares:
            self._ticking = self._clock.callLater(IDLE_S, self._tick)

    async def _give_back(self, project: str, share: _Share) -> None:
        pairs = ((self._requests, share.requests), (self._size, share.bytes))
        try:
            await self._store.draw(project, [rate.give_back(have) for rate, have in pairs if rate is not None])
        except StoreError as error:
            _tell(error)  # they fill up by themselves


def _tell(error: StoreError) -> None:
    if isinstance(error, StoreFault):
        _log.error("rates of projects are not held: {why}", why=error.cause or str(error))
    else:
        _log.debug("rates of projects are not held: {why}", why=str(error))
