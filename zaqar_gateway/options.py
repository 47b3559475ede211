"""Options of ``twistd zaqar-gateway`` and ``zaqar-gateway run``."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from twisted.python import usage

import zaqar_gateway
from zaqar_gateway import config


class Options(usage.Options):
    """The main settings; all others stand in the file or in the environment.

    :ivar loaded: the settings, once the command line has been parsed.
    """

    synopsis = "[options]"
    longdesc = "Serves the OpenStack Messaging API v2 (Zaqar) over HTTP and WebSocket."
    optFlags = [["show", None, "After the start, make a few requests and print them with their answers."]]
    optParameters = [
        ["config", "c", None, f"File with settings, TOML; {config.FILE_VARIABLE} names it too."],
        ["storage", None, None, "The store: memory:, redis:, rediss:, unix: or a plug-in's; default: embedded Redis."],
        ["data-dir", None, None, "Directory of the embedded Redis."],
        ["workers", None, None, "Processes that serve, sharing the listeners; 0: one for each core; default: 1."],
    ]

    loaded: config.Settings

    def __init__(self) -> None:
        super().__init__()
        self._listeners: dict[str, list[str]] = {}

    def opt_http(self, endpoint: str) -> None:
        """Listen for HTTP and WebSocket here, a Twisted endpoint such as tcp:8888:interface=127.0.0.1; repeatable."""
        self._listeners.setdefault("listen.http", []).append(endpoint)

    def opt_websocket(self, endpoint: str) -> None:
        """Listen for WebSocket alone here; repeatable."""
        self._listeners.setdefault("listen.websocket", []).append(endpoint)

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"zaqar-gateway {zaqar_gateway.__version__}")
        sys.exit(0)

    def postOptions(self) -> None:
        """Read all settings.

        :raises usage.UsageError: something is wrong with them.
        """
        self.loaded = self.settings(os.environ)

    def settings(self, environ: Mapping[str, str]) -> config.Settings:
        """The settings from the options, an environment and the file.

        :raises usage.UsageError: something is wrong with them; all of it is told.
        """
        overrides: dict[str, Any] = dict(self._listeners)
        for option, name in (("storage", "storage.uri"), ("data-dir", "storage.data_dir"), ("workers", "listen.workers")):
            if self[option] is not None:
                overrides[name] = self[option]
        try:
            return config.load(self["config"], environ, overrides)
        except config.ConfigError as error:
            raise usage.UsageError(f"the settings cannot be used:\n{error}") from None
