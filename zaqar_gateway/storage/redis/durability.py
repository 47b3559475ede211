"""What the configuration of a Redis can keep, said in words when it is found."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from zaqar_gateway.storage.redis.commands import Commands, Refused

_SETTINGS = ("appendonly", "appendfsync", "maxmemory-policy", "maxmemory", "min-replicas-to-write")
_CONNECTED = "connected_slaves"
_REPLICAS = (
    (_CONNECTED, "{} replicas follow this Redis now: what stores something is answered with 503 until enough do"),
    ("min-replicas-to-write", "min-replicas-to-write is {}: set it to as much, so that Redis refuses at once what would not be kept"),
)


@frozen
class Durability:
    """:ivar kept: what an acknowledged message survives.

    :ivar warnings: where that is less than what was asked for.
    """

    kept: str
    warnings: tuple[str, ...] = ()


def judge(
    settings: dict[str, str], wanted: str, *, replicas: int = 0, is_synchronised: bool = False, fails_over: bool = False
) -> Durability:
    """What these settings of Redis keep.

    :param settings: as CONFIG GET answers, and how many replicas follow.
    :param wanted: ``memory``, ``fsync`` or ``replicated``.
    :param replicas: how many have it before an answer, where that is wanted.
    :param is_synchronised: whether the append-only file is brought to the disk each second by the gateway.
    :param fails_over: whether a replica becomes the master by itself.
    """
    log, sync = settings.get("appendonly"), settings.get("appendfsync")
    warnings = []
    if log is None:
        kept = "the end of any gateway; more is not known, since Redis does not tell its configuration"
    elif log != "yes":
        kept = "the end of any gateway; a restart of Redis loses everything"
        warnings.append("appendonly is off: set it to yes, or acknowledged messages are lost when Redis restarts")
    elif sync == "always":
        kept = "a crash of the machine: every answer comes after the append-only file is on disk"
    elif sync == "everysec":
        # Redis answers, and writes later, while the disk is busy with what it wrote before: see "appendonly".
        kept = "a crash of the gateway; one of Redis while its disk is slow, or of the machine, loses at most the last two seconds"
    elif is_synchronised:
        kept = "a crash of Redis; a crash of the machine loses at most the last second or two"
    else:
        kept = "a crash of Redis; what a crash of the machine loses is up to the operating system"
    if wanted == "fsync" and (log, sync) != ("yes", "always"):
        warnings.append('storage.durability is "fsync", and this Redis does not have appendfsync always: set it there')
    if wanted == "replicated":
        for name, what in _REPLICAS:
            found = int(settings.get(name, replicas))
            if found < replicas:
                warnings.append(f"storage.replicas is {replicas}, and {what.format(found)}")
        kept = f"the loss of this Redis, since {replicas} of its replicas had it before the answer; and {kept}"
    elif fails_over:
        warnings.append(
            'a failover may lose what was acknowledged shortly before: set storage.durability to "replicated", and'
            " min-replicas-to-write in Redis"
        )
    policy = settings.get("maxmemory-policy", "noeviction")
    if policy != "noeviction" and settings.get("maxmemory", "0") != "0":
        warnings.append(f"maxmemory-policy is {policy}: Redis may evict messages; set it to noeviction")
    return Durability(kept, tuple(warnings))


async def durability_of(redis: Commands, wanted: str, **more: Any) -> Durability:
    """Ask a Redis for its settings and judge them.

    :param more: as in :func:`judge`.
    :raises StoreUnavailable: Redis is away.
    """
    settings: dict[str, str] = {}
    try:
        for name in _SETTINGS:
            answer = await redis.execute_command("CONFIG", "GET", name)
            if answer:
                settings[answer[0].decode()] = answer[1].decode()
    except Refused:  # CONFIG is forbidden on many hosted services
        settings.clear()
    if redis.replicas is not None:
        settings[_CONNECTED] = str(redis.replicas)
    return judge(settings, wanted, **more)
