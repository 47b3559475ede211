"""Whether what a Redis holds has the form that this version reads and writes.

The form has a number, which is kept beside the data.  Where it is another one the Redis cannot be used, and the log says so: to read
what one cannot read, or to write what others cannot, would be found out request by request.
"""

from __future__ import annotations

import re

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.commands import Commands, Refused, is_elsewhere
from zaqar_gateway.storage.redis.keys import Keys

LAYOUT = 3
"""The number of the form that ``scripts/common.lua`` describes; another form has another number."""

_THIS = b"%d" % LAYOUT
_READ = (b"2",)
"""Earlier forms that can be read as they are.  What is written into them is not read by the versions that they come from."""
_SCANNED = 10_000
_BEGINS = re.compile(rb"[0-9]+\+? ", re.DOTALL)
"""How an entry begins since form 2, the first whose number is kept."""


async def check_layout(keys: Keys, redis: Commands) -> None:
    """Look whether the data can be read.  Where none is kept, and none is needed, or that of an earlier one that can be read, the
    number of this version is from here on.

    :raises StoreUnavailable: they have another form.
    """
    try:
        kept = await redis.execute_command(b"GET", keys.layout)
    except Refused as error:
        if is_elsewhere(str(error)):
            return  # it is looked at where it is
        raise
    number = await _found(keys, redis) if kept is None else kept
    if number != _THIS and number not in _READ:
        raise StoreUnavailable(
            f"Its messages have form {number.decode(errors='replace')}, and this version of the gateway reads form {LAYOUT}. Have the"
            " version that stored them serve until they are consumed, or begin with an empty Redis or data directory."
        )
    if kept != _THIS:
        try:
            await redis.execute_command(b"SET", keys.layout, _THIS, b"NX" if kept is None else b"XX")
        except Refused:
            pass  # it takes no writes now; the next connection notes it


async def _found(keys: Keys, redis: Commands) -> bytes:
    """The form of the messages that there are, by one of them; that of this version where there are none."""
    cursor = b""
    while cursor != b"0":
        scan = b"SCAN", cursor or b"0", b"MATCH", keys.any_main, b"COUNT", _SCANNED, b"TYPE", b"stream"
        cursor, found = await redis.execute_command(*scan)
        for stream in keys.main(found):
            for _, fields in await redis.execute_command(b"XRANGE", stream, b"-", b"+", b"COUNT", 1):
                return _THIS if _BEGINS.match(fields[0]) else b"1"
    return _THIS
