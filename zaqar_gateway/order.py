"""Which requests have to take effect in the order in which they came: those of one connection.

What came of different connections at about the same time, and has no answer yet, has no order that anybody could know of.  So a
store may have requests overtake each other that came in the same turn of the reactor, as long as no two of them can be of one
connection: requests of one kind then go together, whatever came between them.
"""

from __future__ import annotations


class Order:
    """What the transports tell of that, and a store asks.

    :ivar several: connections that have more than one request under way; as long as there is one, nothing overtakes.
    """

    def __init__(self) -> None:
        self.several: set[object] = set()
