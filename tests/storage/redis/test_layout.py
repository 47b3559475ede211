"""The form of the data: what a gateway does with a Redis that has another one."""

from __future__ import annotations

from functools import partial

from tests.redis_server import connect, shared_server, storage_at
from tests.storage.redis.test_store import OnRedis
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.model import NewMessage, NewPost
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.layout import LAYOUT, check_layout

_NOW = b"%d" % LAYOUT


class LayoutTests(OnRedis):
    """What is found when a gateway connects."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.joining = {space: connect(shared_server(), partial(check_layout, Keys(space))) for space in ("", "a")}

    async def join(self, space: str = "") -> bytes | None:
        """Connect as a gateway does.

        :return: the number that is kept then.
        """
        await self.joining[space].once("PING")
        found: bytes | None = await self.redis.command(b"GET", Keys(space).layout)
        return found

    async def post_old(self, space: str = "") -> None:
        """A message as it was stored before numbers were kept."""
        key = Keys(space).queue("p", "q") + b":m"
        await self.redis.command(b"XADD", key, b"1000000000000000", b"t", b"60", b"c", b"client", b"b", b"{}")

    async def refused(self, space: str = "") -> str:
        """Why one cannot connect."""
        with self.assertRaises(StoreUnavailable) as caught:
            await self.join(space)
        return str(caught.exception)

    async def test_empty(self) -> None:
        """An empty Redis gets the number of this version, and keeps it."""
        self.assertEqual([await self.join(), await self.join()], [_NOW, _NOW])

    async def test_without_number(self) -> None:
        """Messages of this form that came without it are recognized, short ones and long ones, in queues and in topics."""
        for topics in (False, True):
            for apart_from in (1, 100):
                await self.redis.command("FLUSHALL")
                store = storage_at(self.redis, self.clock, apart_from=apart_from)
                messages = store.topic_messages if topics else store.messages
                new = NewPost(b"c", [NewMessage(b"{}")], size=2, ttl_default_s=60, size_max=10)
                await messages.post("p", "q", new)
                self.assertEqual(await self.join(), _NOW)

    async def test_old(self) -> None:
        """Messages of an earlier form keep the gateway from using the Redis, which is told with what to do."""
        await self.post_old()
        why = await self.refused()
        self.assertIn("Its messages have form 1, and this version of the gateway reads form 3.", why)
        self.assertIn("an empty Redis or data directory", why)
        self.assertIsNone(await self.redis.command(b"GET", Keys().layout))

    async def test_later(self) -> None:
        """So does the number of another form, whatever there is."""
        await self.redis.command(b"SET", Keys().layout, b"4")
        self.assertIn("form 4", await self.refused())

    async def test_read_as_it_is(self) -> None:
        """Form 2 is part of this one, and is of this one from here on: an earlier version is told so when it connects."""
        await self.redis.command(b"SET", Keys().layout, b"2")
        self.assertEqual(await self.join(), _NOW)

    async def test_spaces(self) -> None:
        """Each space on a shared Redis has its own."""
        await self.post_old("a")
        self.assertEqual(await self.join(), _NOW)
        self.assertIn("form 1", await self.refused("a"))

    async def test_no_writes(self) -> None:
        """A Redis that takes no writes can be read all the same; the number is kept later."""
        await self.redis.command("CONFIG", "SET", "maxmemory", 1)
        try:
            self.assertIsNone(await self.join())
        finally:
            await self.redis.command("CONFIG", "SET", "maxmemory", 0)
        self.assertEqual(await self.join(), _NOW)
