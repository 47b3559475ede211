"""What scripts nearly always do, against the general way: the same answers, and the same in Redis, with what stands together written out."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec

from tests.storage.redis.test_store import OnRedis
from zaqar_gateway.storage.ids import parse_ids
from zaqar_gateway.storage.redis import scripts, values
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.scripts import Script
from zaqar_gateway.testing.base import StoreContract, numbered

_USUAL, _GENERAL = b"zg:{p/usual}", b"zg:{p/general}"
_INCARNATION = "0123456789"
_CLIENTS = ("me", "you")
_RULES = {"delay": "0", "dead": "nowhere", "dead_letters": "1"}


def in_text(answer: Any) -> Any:
    """An answer with its numbers as text, as which the store takes them too."""
    if isinstance(answer, list):
        return [in_text(each) for each in answer]
    return b"%d" % answer if isinstance(answer, int) else answer


def unpacked(packed: bytes) -> list[Any]:
    """Values that a script has packed, one behind the other: those of a claim, those of a state, and these with what a run is."""
    for number in (4, 5, 6):
        try:
            return msgspec.msgpack.decode(b"%c" % (0x90 | number) + packed, type=list[Any])
        except msgspec.DecodeError:
            continue
    raise AssertionError(packed)


class UsualTests(OnRedis):
    """Two queues to which the same is done.  One has rules and a mark that change nothing of it, but that it goes the general way."""

    async def asked(self, script: Script, *args: str | int) -> Any:
        """The answer of a script to both."""
        now_ms = round(self.clock.seconds() * 1000)
        answers: list[Any] = [
            await self.redis.script(script, [key, b"zg:{p}:queues"][: 1 + (script is not scripts.DELETE)], [now_ms, *args])
            for key in (_USUAL, _GENERAL)
        ]
        if script is scripts.CLAIM:  # one by one, or those that are alike in a shorter form
            answers = [[values.claimed(claim, None) for claim in answer] for answer in answers]
        self.assertEqual(in_text(answers[0]), in_text(answers[1]), (script.name, args))
        await self.look()
        return answers[0]

    async def held_in(self, key: bytes) -> dict[str, Any]:
        """All that is kept of a queue, by the last part of its key."""
        found: dict[str, Any] = {}
        for name in ("", ":s", ":c", ":n"):
            pairs = await self.redis.command("HGETALL", key + name.encode())
            found[name] = dict(zip(pairs[::2], pairs[1::2], strict=True))
        for name in (":s", ":c"):
            found[name] = {each: unpacked(packed) for each, packed in found[name].items()}
        for name in (":a", ":f", ":h", ":r"):
            pairs = await self.redis.command("ZRANGE", key + name.encode(), 0, -1, "WITHSCORES")
            found[name] = dict(zip(pairs[::2], pairs[1::2], strict=True))
        found[":m"] = await self.redis.command("XRANGE", key + b":m", "-", "+")
        return found

    def write_out(self, found: dict[str, Any]) -> None:
        """Say of each message what is said of the run that it is of, as ``scripts/common.lua`` describes it."""
        firsts, more = {}, 0
        for rank, said in [*found[":s"].items()]:
            claim, _, *_, run = said if len(said) == 6 else (*said, None)
            del said[5:]
            if isinstance(run, list):
                ranks = [each.encode() for each in run]
                self.assertEqual((found[":c"][claim.encode()][3], len(ranks) > 1), ([run[0]], True))
                firsts[rank], more = rank, more + len(ranks) - 1
                found[":s"].update(dict.fromkeys(ranks, said))
                found[":h"].update(dict.fromkeys(ranks, found[":h"][rank]))
                found[":c"][claim.encode()][3] = run
                self.assertIsNone(found[":n"].setdefault(claim.encode(), None))
                found[":n"][claim.encode()] = b"%d" % len(ranks)
            elif run is not None:
                self.assertEqual((run, found[":c"][claim.encode()][3]), (1, [rank.decode()]))
        self.assertEqual((found.pop(":r"), int(found[""].pop(b"in_runs", 0))), (firsts, more))

    async def look(self) -> None:
        """What is kept of both is the same."""
        usual, general = await self.held_in(_USUAL), await self.held_in(_GENERAL)
        for found in (usual, general):
            found[""].pop(b"pieces", None)
            self.write_out(found)
        for name in _RULES:
            general[""].pop(name.encode())
        for name in general:
            self.assertEqual(usual[name], general[name], name)

    async def walk(self, seed: int, steps: int) -> None:
        """One random sequence; now and then the clock is set back."""
        draw = Random(seed)
        await self.redis.command("FLUSHALL")
        for name, value in _RULES.items():
            await self.redis.command("HSET", _GENERAL, name, value)
        claims: dict[str, list[str]] = {}
        for step in range(steps):
            is_calm = step < steps // 2  # so long nothing is given back, which most claims begin with then
            self.clock.advance(draw.choice((0, 0.001, 0.01) if is_calm else (0, 0.001, 0.5, 20, -0.002)))
            kind = draw.randrange(8 if is_calm else 10)
            recent = [*claims][-8:]
            if kind < 3:
                posts: list[str | int] = []
                for _ in range(draw.choice((1, 1, 3))):
                    number = draw.choice((1, 2, 9, 30)) if draw.random() < 0.98 else 1001
                    posts += [draw.choice(_CLIENTS), draw.choice((5, 5, 11)), number]
                    for n in range(number):
                        posts += [draw.choice(("", "3600", "3600", "70")), "", f"{step}.{n}"]
                await self.asked(scripts.POST, _INCARNATION, 10, 3600, "", *posts)
            elif kind < 6:
                asked: list[str | int] = []
                for nth in range(draw.choice((1, 1, 3))):
                    asked += [f"claim-{step}-{nth}", draw.choice((1, 2, 10, 20))]
                answers = await self.asked(scripts.CLAIM, _INCARNATION, "", draw.choice((60, 60, 90)), 60, *asked)
                for claim, (messages, _) in zip(asked[::2], answers, strict=True):
                    if of_them := parse_ids([message.id for message in messages]):
                        claims[str(claim)] = [*map(str, of_them[1])]
            elif kind < 8 and recent:
                number = draw.choice((1, 1, 3))
                is_in_order = draw.random() < 0.5
                chosen = [*claims][:number] if is_in_order else draw.sample(recent, min(len(recent), number))
                wanted: list[str | int] = []
                for claim in chosen:
                    ranks = claims[claim] if draw.random() < 0.8 else draw.sample(claims[claim], len(claims[claim]) // 2)
                    wanted += [1 + len(ranks), _INCARNATION, *ranks]
                    if is_in_order and len(claims) > 1:
                        del claims[claim]
                await self.asked(scripts.DELETE, "any", *wanted)
            elif kind < 9 and recent:
                one_by_one: list[str | int] = []
                for _ in range(draw.choice((1, 3, 8))):
                    claim = draw.choice(recent)
                    given = claim if draw.random() < 0.9 else draw.choice(("", "another", recent[0]))
                    one_by_one += [given, _INCARNATION, draw.choice(claims[claim])]
                await self.asked(scripts.DELETE, "one", *one_by_one)
            elif recent and draw.random() < 0.3:
                await self.asked(scripts.CLAIM_UPDATE, draw.choice(recent), 90, 60)
            elif recent and draw.random() < 0.3:
                await self.asked(scripts.CLAIM_RELEASE, draw.choice(recent))
            elif recent and draw.random() < 0.3:
                await self.asked(scripts.POP, draw.choice((1, 10)), 0)
            elif recent:
                under = draw.choice(recent)
                ranks = claims[under] if draw.random() < 0.5 else draw.sample(claims[under], len(claims[under]) // 2)
                await self.asked(scripts.DELETE, "under", 1, under, _INCARNATION, *ranks)
            if claims and draw.random() < 0.15:
                await self.read(draw, claims[draw.choice([*claims])], draw.choice([*claims]))

    async def read(self, draw: Random, ranks: list[str], claim: str) -> None:
        """What is shown of both is the same, whatever way things went."""
        await self.asked(scripts.GET, _INCARNATION, *ranks)
        await self.asked(scripts.LIST, draw.choice(("", *ranks)), _INCARNATION, draw.choice((5, 40)), 0, "", draw.choice((0, 1)), 0)
        await self.asked(scripts.CLAIM_GET, claim)
        await self.asked(scripts.STATS)
        await self.asked(scripts.VOLUME)
        await self.asked(scripts.DUE)
        await self.asked(scripts.SWEEP)

    async def test_walks(self) -> None:
        """Posts, claims and deletions, some in one script, among renewals, releases and lapses."""
        await self.redis.command("CONFIG", "RESETSTAT")
        for seed in range(10):
            await self.walk(seed, 80)
        stats = await self.redis.command("INFO", "commandstats")
        self.assertIn(b"cmdstat_xtrim", stats)


class RunTests(StoreContract, OnRedis):
    """Claims that have one entry."""

    async def claim_three(self) -> tuple[list[str], bool]:
        """Claim three messages: their ids, and whether there is a run then."""
        ids = [message.id for message in (await self.claim(3)).messages]
        return ids, bool(await self.redis.command("EXISTS", Keys().queue("p", "q") + b":r"))

    async def test_pieces(self) -> None:
        """After a part of a run was touched claims are none for a while, and are runs again when enough of them went as a whole."""
        await self.put(*numbered(80))
        ids, is_run = await self.claim_three()
        runs = [is_run]
        await self.storage.messages.delete_many("p", "q", ids[1:], None)
        for _ in range(18):
            ids, is_run = await self.claim_three()
            runs.append(is_run)
            await self.storage.messages.delete_many("p", "q", ids, None)
        self.assertEqual(runs, [True] + [False] * 16 + [True] * 2)
