"""A room of files: what comes with the package and is served as it is.

The files are read once and found by their whole path, so that no request reaches the file system.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterable, Iterator
from importlib.resources.abc import Traversable
from typing import NamedTuple

from attrs import frozen

from zaqar_gateway.transport.http.answers import OK, Refused, Reply, describe
from zaqar_gateway.transport.http.request import Headers, Request

TYPES = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "ts": b"text/plain; charset=utf-8",
    "svg": b"image/svg+xml",
}
"""What is served, by the ending of its name; files with other endings are not."""

ANY_ORIGIN: Headers = ((b"Access-Control-Allow-Origin", b"*"), (b"Cross-Origin-Resource-Policy", b"cross-origin"))
"""For files that pages of any origin may use (Fetch, "CORS protocol" and "Cross-Origin-Resource-Policy header")."""

_ALLOW = (b"Allow", b"GET, HEAD, OPTIONS")
# A browser asks each time whether it has the newest, so that what it shows never mixes two versions.
_CACHED = ((b"Cache-Control", b"no-cache"), (b"Vary", b"Accept-Encoding"))
_PACKED = (b"Content-Encoding", b"gzip")


class File(NamedTuple):
    """A file.

    :ivar tag: its entity tag (RFC 9110, section 8.8.3).
    :ivar packed: its content as gzip has it, and the tag of that.
    """

    kind: bytes
    content: bytes
    tag: bytes
    packed: tuple[bytes, bytes]


@frozen
class Files:
    """Serves files.

    :param files: by their path, such as ``b"/console/main.js"``.
    :param headers: of the answers that have a file, besides those that say what it is.
    """

    _files: dict[bytes, File]
    _headers: Headers = ()

    def body_limit(self, request: Request) -> int:
        """See :class:`~zaqar_gateway.transport.http.site.IRoom`; no request has a body that matters."""
        return 0

    def handle(self, request: Request) -> None:
        """See :class:`~zaqar_gateway.transport.http.site.IRoom`."""
        self._answer(request).send(request)

    def _answer(self, request: Request) -> Reply:
        found = self._files.get(request.path)
        if found is None:
            # What is wrong with an OPTIONS request is never told (API reference, "Methods").
            return describe(Refused(404)) if request.method != b"OPTIONS" else OK
        if request.method == b"OPTIONS":
            return Reply(200, (_ALLOW,))
        if request.method not in (b"GET", b"HEAD"):
            return describe(Refused(405, headers=(_ALLOW,)))
        is_packed = _takes_gzip(request.headers.get(b"accept-encoding", b""))
        content, tag = found.packed if is_packed else (found.content, found.tag)
        headers = ((b"ETag", tag), *_CACHED, *self._headers)
        if _matches(request.headers.get(b"if-none-match", b""), tag):
            return Reply(304, headers)
        encoding = (_PACKED,) if is_packed else ()
        return Reply(200, ((b"Content-Type", found.kind), *encoding, *headers), content)


def read(folder: Traversable, prefix: str) -> dict[bytes, File]:
    """The files of a folder, and of those in it, by the path that each is served under.

    :param prefix: what stands before their names, such as ``/console/``.
    """
    return {path.encode(): _file(found) for path, found in _walk(folder.iterdir(), prefix)}


def _walk(found: Iterable[Traversable], prefix: str) -> Iterator[tuple[str, Traversable]]:
    for each in found:
        if each.is_dir():
            yield from _walk(each.iterdir(), f"{prefix}{each.name}/")
        elif _ending(each) in TYPES:
            yield prefix + each.name, each


def _ending(file: Traversable) -> str:
    return file.name.rpartition(".")[2]


def _file(found: Traversable) -> File:
    content = found.read_bytes()
    digest = hashlib.sha256(content).hexdigest()[:32]
    packed = gzip.compress(content, mtime=0), f'"{digest}-gzip"'.encode()
    return File(TYPES[_ending(found)], content, f'"{digest}"'.encode(), packed)


def _takes_gzip(accepted: bytes) -> bool:
    """Whether ``Accept-Encoding`` names gzip, and not as what is not wanted (RFC 9110, section 12.5.3)."""
    for part in accepted.lower().split(b","):
        coding, _, weight = part.partition(b";")
        if coding.strip() == b"gzip":
            return weight.replace(b" ", b"").rstrip(b"0") not in (b"q=", b"q=0.")
    return False


def _matches(condition: bytes, tag: bytes) -> bool:
    """Whether ``If-None-Match`` names a tag; weak ones count (RFC 9110, section 13.1.2)."""
    wanted = (part.strip().removeprefix(b"W/") for part in condition.split(b","))
    return condition.strip() == b"*" or tag in wanted
