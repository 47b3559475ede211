"""Posts to one queue that come in the same turn of the reactor, in one script.

A script costs Redis some ten microseconds before it does anything, and the gateway as much; of many who post to one queue that is
most of what a post takes.  Nothing changes in what is done, nor in its order: only the command that was sent last, and has not
left yet, takes more posts in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zaqar_gateway.direct import Answer
from zaqar_gateway.model import NewPost
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.connection import Growing, Redis
from zaqar_gateway.storage.redis.packing import number

POSTS_MAX = 16
SIZE_MAX = 65536
"""Of the posts of one script, in bytes: others wait for it."""


class _Posts(Growing):
    """Posts of one kind.

    :param kind: what they have in common: the keys and the third to fifth argument of ``scripts/post.lua``, packed, and whether a queue is created.
    :param before: its first two arguments, packed.
    """

    def __init__(self, kind: tuple[bytes, bytes, bool], before: bytes) -> None:
        super().__init__(scripts.POST)
        self._kind = kind
        self._before = before
        self._size = 0
        self._answers: list[Answer] = []
        self._given: list[bytes] = []
        self._messages = 0

    def takes(self, kind: tuple[bytes, bytes, bool], size: int) -> bool:
        """Whether a post may be added."""
        return not self.command and self._kind == kind and self._size + size <= SIZE_MAX and len(self._answers) < POSTS_MAX

    def add(self, author: bytes, count: int, messages: bytes, size: int) -> Answer:
        """Add one.

        :param author: client and size, packed.
        """
        self._size += size
        self._messages += count
        self._given += [author, number(count), messages]
        answer = Answer()
        self._answers.append(answer)
        return answer

    def pack(self) -> bytes:
        place, terms, _ = self._kind
        count = 7 + 3 * (len(self._answers) + self._messages)
        given = b"".join(self._given)
        return b"".join((b"*%d\r\n" % (count + 3), scripts.POST.by_sum, place, self._before, terms, given))

    def give(self, value: Any) -> None:
        for answer, one in zip(self._answers, value, strict=True):
            answer.give(one)

    def fail(self, error: Exception) -> None:
        for answer in self._answers:
            answer.fail(error)


def post(
    redis: Redis,
    kind: tuple[bytes, bytes, bool],
    before: Callable[[NewPost], bytes],
    author: bytes,
    new: NewPost,
    messages: bytes,
) -> Answer:
    """Post, sent when this turn of the reactor ends.

    :param kind: what posts have in common that go together: the keys and the third to fifth argument of ``scripts/post.lua``,
        packed, and whether a queue is created.
    :param before: makes its first two arguments, packed.
    :param author: client and size, packed.
    :param messages: those of the post, packed.
    :return: the answer of ``scripts/post.lua``, or the error of :meth:`.Redis.run`.
    """
    last = redis.unsent
    if isinstance(last, _Posts) and last.takes(kind, new.size):
        return last.add(author, len(new.messages), messages, new.size)
    posts = _Posts(kind, before(new))
    answer = posts.add(author, len(new.messages), messages, new.size)
    redis.send(posts)
    return answer
