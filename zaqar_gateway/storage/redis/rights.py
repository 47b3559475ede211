"""Whether the user that a gateway is to its Redis may do all that it does there (ACL, Redis 6).

A script that is refused a command has done what comes before that, and a right that few requests need is missed late.  So all
commands are tried when a gateway connects, in a transaction that is thrown away: Redis looks at the rights when a command is queued.
"""

from __future__ import annotations

from twisted.internet.defer import DeferredList

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.commands import Commands, Refused, is_denied
from zaqar_gateway.storage.redis.keys import Keys

_ON_A_KEY = """
    DEL: EXISTS: EXPIRE 1: GET: HDEL f: HEXISTS f: HGET f: HGETALL: HINCRBY f 1: HKEYS: HLEN: HMGET f: HSET f v: HSTRLEN f: INCR: PEXPIRE 1:
    PTTL: SADD m: SET v: SRANDMEMBER: SREM m: SSCAN 0: UNLINK: XADD * f v: XDEL 1-1: XLEN: XRANGE - +: XREVRANGE + -: XTRIM MAXLEN 1: ZADD 0 m:
    ZCARD: ZCOUNT 0 0: ZMSCORE m: ZRANGE 0 0: ZREM m: ZREMRANGEBYSCORE 0 0: ZSCAN 0: ZSCORE m
"""
"""Commands whose first argument is a key, with the others."""


def samples(keys: Keys) -> list[list[bytes]]:
    """Each command that the store needs, once, with arguments that Redis takes."""
    key = keys.layout + b":!"
    on_a_key = [each.encode().split() for each in _ON_A_KEY.split(":")]
    script = b"return 1", b"1", key
    others: list[list[bytes]] = [
        [b"EVAL", *script],
        [b"EVALSHA", b"0" * 40, b"1", key],
        [b"PING"],
        [b"PUBLISH", key, b""],
        [b"SCAN", b"0"],
        [b"TIME"],
        [b"XINFO", b"STREAM", key],
    ]
    return [[name, key, *more] for name, *more in on_a_key] + others


async def check_rights(keys: Keys, redis: Commands) -> None:
    """Look whether the user of a connection may do what is needed.

    :param keys: of a store that is in no cluster: a node refuses keys of others, which would be taken there.
    :raises StoreUnavailable: that is not so; the text names the commands.
    """
    redis.is_tried = True
    try:
        await _try_all(keys, redis)
    finally:
        redis.is_tried = False


async def _try_all(keys: Keys, redis: Commands) -> None:
    try:
        await redis.execute_command(b"MULTI")
    except Refused as error:
        if is_denied(str(error)):
            raise _lacking([("MULTI", str(error))]) from None
        return  # nothing can be tried without harm
    tried = [*samples(keys), [b"DISCARD"]]
    answers = await DeferredList([redis.execute_command(*each) for each in tried], consumeErrors=True)
    denied = []
    for (name, *_), (is_good, answer) in zip(tried, answers, strict=True):
        if is_good:
            continue
        if answer.check(Refused) is None:
            answer.raiseException()
        if is_denied(text := answer.getErrorMessage()):
            denied.append((name.decode(), text))
    if denied:
        raise _lacking(denied)


def _lacking(denied: list[tuple[str, str]]) -> StoreUnavailable:
    names = ", ".join(sorted({name for name, _ in denied}))
    return StoreUnavailable(f'It does not permit its user what the gateway needs: {names} ("{denied[0][1]}").')
