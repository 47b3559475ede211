"""What the cases of Autobahn|Testsuite find of the gateway's WebSockets."""

from __future__ import annotations

CASES = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1, "12": 90, "13": 126}
"""How many cases there are, by group."""

NON_STRICT = frozenset(("6.4.1", "6.4.2", "6.4.3", "6.4.4"))
"""Text that is not UTF-8 is refused when its message is complete, not at its first wrong octet: RFC 6455, section
8.1, asks
for no more, and to look at each octet by itself costs more than all the rest of a frame."""

INFORMATIONAL = frozenset(("7.1.6", "7.13.1", "7.13.2"))
"""What the RFC leaves open: data sent after a close, and close codes of 5000 and above."""


def is_timed(name: str) -> bool:
    """Whether a case works rather than waits, so that it should not run beside others."""
    return name.partition(".")[0] in ("9", "12", "13")


def expected(name: str) -> tuple[str, str]:
    """The verdict on what comes back, and on the end of the connection."""
    if name in INFORMATIONAL:
        return "INFORMATIONAL", "INFORMATIONAL"
    return ("NON-STRICT" if name in NON_STRICT else "OK"), "OK"
