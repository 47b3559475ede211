"""The scenarios: what one operation is, what has to be in the queue before, and what its replies must show."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.api import Api, expect
from bench.load.engine import Operation, Unexpected
from bench.results import IDENTITY

LISTED = 10_000  # messages in the queue that list10 reads
GOTTEN = 1_000  # messages that get asks for in turn
PAGE = 10


class Workload(ABC):
    """One scenario on one queue of one server."""

    stock = 0  # messages that are in the queue before the first operation
    takes = 0  # messages that an operation uses up, to be posted beforehand, outside of the measured time

    def __init__(self, api: Api) -> None:
        self.api = api

    def stocked(self, ids: Sequence[bytes]) -> None:  # noqa: B027, most have no use for it
        """The stock is there; these are its ids, in order."""

    @abstractmethod
    def begin(self) -> Operation:
        """The next operation."""


class Post(Workload):
    """Post messages in one request."""

    def __init__(self, api: Api, count: int) -> None:
        super().__init__(api)
        self._count = count
        self._request = api.post(count)

    def begin(self) -> Operation:
        self.api.posted((yield self._request), self._count)


class Cycle(Workload):
    """Post a message, claim one, delete it with the id of its claim."""

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self._post, self._claim = api.post(1), api.claim(1)

    def begin(self) -> Operation:
        api = self.api
        api.posted((yield self._post), 1)
        claim, ids = api.claimed((yield self._claim), 1)
        expect((yield api.delete(ids[0], claim)), 204)


class ClaimMany(Workload):
    """Claim messages, then delete them in one request by their ids."""

    def __init__(self, api: Api, count: int) -> None:
        super().__init__(api)
        self.takes = self._count = count
        self._claim = api.claim(count)

    def begin(self) -> Operation:
        _, ids = self.api.claimed((yield self._claim), self._count)
        expect((yield self.api.delete_many(ids)), 204)


class Pop(Workload):
    """Take messages out of the queue."""

    def __init__(self, api: Api, count: int) -> None:
        super().__init__(api)
        self.takes = self._count = count
        self._request = api.pop(count)

    def begin(self) -> Operation:
        self.api.messages((yield self._request), self._count)


class Get(Workload):
    """Get one message by its id."""

    stock = GOTTEN
    _ids: deque[bytes]

    def stocked(self, ids: Sequence[bytes]) -> None:
        self._ids = deque(ids)

    def begin(self) -> Operation:
        wanted = self._ids[0]
        self._ids.rotate(-1)
        if self.api.messages((yield self.api.get(wanted)), 1) != [wanted]:
            raise Unexpected("got another message than asked for")


class ListPages(Workload):
    """List a page of a long queue, and follow its marker to the next one.

    Several readers walk the queue, each from another page; at its end they start again.  Every page has to hold just
    the messages that are next in the order of posting.
    """

    stock = LISTED
    _ids: list[bytes]

    def __init__(self, api: Api) -> None:
        super().__init__(api)
        self._readers: deque[tuple[int, bytes]] = deque()
        self._started = 0

    def stocked(self, ids: Sequence[bytes]) -> None:
        self._ids = list(ids)

    def _reader(self) -> tuple[int, bytes]:
        """A new reader: the number of its page, and the cursor of it."""
        page = self._started * 61 % (len(self._ids) // PAGE)
        self._started += 1
        return page, self.api.cursor_after(self._ids[page * PAGE - 1], PAGE) if page else b""

    def begin(self) -> Operation:
        page, cursor = self._readers.popleft() if self._readers else self._reader()
        reply = yield self.api.page(PAGE, cursor)
        ids = self.api.messages(reply, PAGE)
        start = page * PAGE
        if ids != self._ids[start : start + PAGE]:
            raise Unexpected(f"page {page} has not the messages that were posted there")
        page += 1
        if page * PAGE < len(self._ids):
            self._readers.append((page, self.api.next_cursor(reply, ids)))
        else:
            self._readers.append((0, b""))


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario by name."""

    name: str
    about: str
    unit: str  # what an operation is called
    make: Callable[[Api], Workload]


SCENARIOS = {
    each.name: each
    for each in (
        Scenario("post1", "post one message", "requests", lambda api: Post(api, 1)),
        Scenario("post10", "post ten messages in one request", "requests", lambda api: Post(api, 10)),
        Scenario("cycle", "post one, claim one, delete it with its claim id", "cycles", Cycle),
        Scenario("claim20", "claim twenty, delete those twenty by ids", "cycles", lambda api: ClaimMany(api, 20)),
        Scenario("list10", f"list ten of {LISTED:,}, page after page", "requests", ListPages),
        Scenario("get", "get one message by id", "requests", Get),
        Scenario(
            IDENTITY, "post one message without identity, and with a token and a policy", "requests", lambda api: Post(api, 1)
        ),
        Scenario("pop10", "pop ten messages", "requests", lambda api: Pop(api, 10)),
    )
}
BACKLOG = "backlog"
