"""Why the embedded Redis is not there."""

from __future__ import annotations


class EmbeddedRedisError(Exception):
    """The embedded Redis cannot be started; the text says why and what to do."""


class DataDirInUse(EmbeddedRedisError):
    """Another gateway holds the data directory."""


class NoRedisServer(EmbeddedRedisError):
    """There is no program to start, or none that can read the data."""


class StartFailed(EmbeddedRedisError):
    """The program ended, or did not answer, before it was ready."""
