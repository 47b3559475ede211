"""What a user of Redis has to be permitted, and what a gateway does that is one without."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint

from tests.redis_server import shared_server
from tests.storage.redis.test_store import OnRedis
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.rights import check_rights, samples

_DOCS = Path(__file__).parents[3] / "docs/operating.rst"
_NAMES_IN_SCRIPTS = re.compile(rb"call\('([A-Z]+)'")
_BY_NODES = {b"SPUBLISH"}  # of clusters, which are not looked at


def documented() -> list[str]:
    """The rights that the documentation gives a user, as Redis takes them."""
    (found,) = re.findall(r"ACL SETUSER zaqar (.*?)\n\n", _DOCS.read_text("utf-8"), re.DOTALL)
    return [each for each in found.replace("\\\n", " ").split() if each[0] not in ">o"]


class RightsTests(OnRedis):
    """A user with what the documentation says, and with less."""

    async def rights(self, *changes: str) -> None:
        """Give the user what is documented, and what is said here."""
        await self.redis.command("ACL", "SETUSER", "zaqar", "reset", "on", ">secret", *documented(), *changes)
        self.addCleanup(self.redis.once, "ACL", "DELUSER", "zaqar")

    async def connect(self) -> None:
        """Connect as that user, as a gateway does, and do nothing more."""
        endpoint = UNIXClientEndpoint(reactor, str(shared_server().path))
        greet = partial(check_rights, Keys())
        await Redis(endpoint, reactor, scripts=scripts.ALL, greet=greet, username="zaqar", password="secret").once("PING")

    async def refused(self) -> str:
        """Why it cannot."""
        with self.assertRaises(StoreUnavailable) as caught:
            await self.connect()
        return str(caught.exception)

    async def test_documented(self) -> None:
        """What the documentation says is enough, and nothing is left of the trial."""
        await self.rights()
        await self.connect()
        self.assertEqual(await self.redis.command("DBSIZE"), 0)

    async def test_default(self) -> None:
        """Whoever may do everything may connect."""
        await self.rights("allkeys", "allchannels", "allcommands")
        await self.connect()

    async def test_one_less(self) -> None:
        """Without any one of the commands that are tried the Redis cannot be used, and the log names it."""
        for name in (*(each[0].decode() for each in samples(Keys())), "MULTI", "DISCARD"):
            await self.rights(f"-{name.lower()}")
            self.assertIn(f"what the gateway needs: {name} (", await self.refused(), name)

    async def test_keys_and_channels(self) -> None:
        """Without the keys, or the channels, it cannot be used."""
        await self.rights("resetchannels")
        self.assertIn("what the gateway needs: PUBLISH (", await self.refused())
        await self.rights("resetkeys")
        self.assertIn("what the gateway needs: DEL, EVAL, EVALSHA, EXISTS,", await self.refused())

    async def test_other_refusals(self) -> None:
        """What a Redis refuses for other causes is not looked at here."""
        self.addCleanup(self.redis.once, "CONFIG", "SET", "maxmemory", "0")
        await self.rights()
        await self.redis.command("CONFIG", "SET", "maxmemory", "1")
        await self.connect()

    def test_all_are_tried(self) -> None:
        """Each command of a script is."""
        used = {name for script in scripts.ALL for name in _NAMES_IN_SCRIPTS.findall(script.text)}
        self.assertGreater(len(used), 30)
        self.assertEqual(used - {name for name, *_ in samples(Keys())} - _BY_NODES, set())
