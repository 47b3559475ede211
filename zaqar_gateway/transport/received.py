"""What comes of a long body or frame in many pieces, until it is whole.  Pure."""

from __future__ import annotations

_PIECE_MIN = 4096


def keep(kept: list[bytes], piece: bytes) -> None:
    """Keep a piece behind the others; small ones are joined, for many of them would take more memory than all of it."""
    if kept and len(kept[-1]) < _PIECE_MIN:
        kept[-1] += piece
    else:
        kept.append(piece)
