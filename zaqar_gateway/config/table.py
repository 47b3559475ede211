"""The table of all settings, and the files that are written from it."""

from __future__ import annotations

import json
import re
import textwrap
from typing import Any

from attrs import fields, frozen

from zaqar_gateway import plugins
from zaqar_gateway.config.kinds import BOOLEAN, PIPELINE, PORT, TEXT, URI, Kind
from zaqar_gateway.config.settings import (
    Bounds,
    Cors,
    Http,
    KeystoneAuthtoken,
    Listen,
    Live,
    Log,
    Messages,
    Notification,
    OsloPolicy,
    Quotas,
    Rates,
    Settings,
    SignedUrl,
    Storage,
    Tls,
    Transport,
    Trustee,
    Web,
    WebSocket,
)

ENVIRONMENT_PREFIX = "ZAQAR_GATEWAY_"
FILE_VARIABLE = "ZAQAR_GATEWAY_CONFIG"

MASK = "***"
"""What is shown of a secret."""


@frozen
class Option:
    """One setting.

    :ivar section: the table that it stands in, empty at the top of the file.
    :ivar text: what it is, in sentences.
    :ivar secret: whether its value may hold a password.
    """

    section: str
    key: str
    kind: Kind
    default: object
    text: str
    secret: bool = False

    @property
    def name(self) -> str:
        """How it is named to people."""
        return f"[{self.section}] {self.key}" if self.section else self.key

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        section = re.sub("[^a-z]", "_", self.section) + "_" if self.section else ""
        return f"{ENVIRONMENT_PREFIX}{section}{self.key}".upper()


SECTIONS: dict[str, type[Any]] = {
    "": Settings,
    "listen": Listen,
    "tls": Tls,
    "cors": Cors,
    "storage": Storage,
    "transport": Transport,
    "http": Http,
    "websocket": WebSocket,
    "web": Web,
    "bounds": Bounds,
    "live": Live,
    "messages": Messages,
    "rates": Rates,
    "quotas": Quotas,
    "signed_url": SignedUrl,
    "notification": Notification,
    "keystone_authtoken": KeystoneAuthtoken,
    "trustee": Trustee,
    "log": Log,
    "oslo_policy": OsloPolicy,
}

OPTIONS = tuple(
    Option(section, each.name, default=each.default, **each.metadata)
    for section, class_ in SECTIONS.items()
    for each in fields(class_)
    if "kind" in each.metadata
)

REFERENCE_LISTENERS = {"http": "drivers:transport:wsgi", "websocket": "drivers:transport:websocket"}
REFERENCE_STORE = "drivers:message_store:redis"

ALIASES = (
    *(
        option
        for key, section in REFERENCE_LISTENERS.items()
        for option in (
            Option(section, "bind", TEXT, "127.0.0.1", f"With port, another spelling of [listen] {key}."),
            Option(section, "port", PORT, {"http": 8888, "websocket": 9000}[key], "See bind."),
        )
    ),
    Option(REFERENCE_STORE, "uri", URI, "", "Another spelling of [storage] uri.", secret=True),
    Option("pooling:catalog", "enable_virtual_pool", BOOLEAN, False, "Another spelling of enable_virtual_pool."),
    Option("storage", "message_pipeline", PIPELINE, (), "Another spelling of message_filters."),
)
"""Spellings of the reference for settings that have another one here."""

KNOWN = {(option.section, option.key): option for option in (*OPTIONS, *ALIASES)}
VARIABLES = {option.variable: option for option in KNOWN.values()}


TABLES = {"filter": plugins.FILTERS, "notifier": plugins.NOTIFIERS}
"""Sections that have a table for each plug-in of a group, whose keys are its own."""


def to_toml(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(to_toml(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {to_toml(item)}" for key, item in value.items()) + "}"
    # What TOML writes for texts, numbers and truth is what JSON writes.
    return json.dumps(value, ensure_ascii=False, default=str)


def sample() -> str:
    """A file with every setting, its meaning and its default, all commented out."""
    lines = [
        "# Settings of zaqar-gateway, each with its default.  Take away a '#' to change one.",
        "# Each can be given by the environment variable named with it instead; that wins over this file, and an option",
        "# of the command line wins over both.  An unknown or ill-typed setting is refused at start.  This file itself is",
        f"# named by --config or by {FILE_VARIABLE}.",
        "# 'zaqar-gateway check-config' says whether a file is right and what is in effect.",
    ]
    section = ""
    for option in OPTIONS:
        if option.section != section:
            section = option.section
            lines += ["", "", f"[{section}]"]
        form = f"{option.variable}: {option.kind.accepts}."
        lines += ["", *(f"# {line}" for text in (option.text, form) for line in textwrap.wrap(text, 117)), _commented(option)]
    lines += ["", "", "# Spellings of OpenStack Zaqar, each in place of the setting above that says the same."]
    # TOML has each section once.
    lines += [f"# {option.name} (in that section above): {option.text}" for option in ALIASES if option.section in SECTIONS]
    for option in ALIASES:
        if option.section in SECTIONS:
            continue
        if option.section != section:
            section = option.section
            lines += ["", f'["{section}"]']
        lines += [f"# {option.text}", _commented(option)]
    return "\n".join(lines) + "\n"


def _commented(option: Option) -> str:
    return f"#{option.key} = {to_toml(option.default)}"


def effective(settings: Settings) -> str:
    """The settings as a TOML file, without secrets."""
    lines: list[str] = []
    section = ""
    for option in OPTIONS:
        if option.section != section:
            section = option.section
            lines += ["", f"[{section}]"]
        value = getattr(getattr(settings, section) if section else settings, option.key)
        if option.secret:
            value = _masked(option, settings, value)
        lines.append(f"{option.key} = {to_toml(value)}")
    for section, tables in (("filter", settings.filter_tables), ("notifier", settings.notifier_tables)):
        for name, table in tables.items():
            # Which of them are secret is known to the plug-in alone.
            lines += ["", f"[{section}.{json.dumps(name)}]", *(f"{json.dumps(key)} = {to_toml(MASK)}" for key in table)]
    return "\n".join(lines) + "\n"


def _masked(option: Option, settings: Settings, value: Any) -> object:
    if option.section == "storage":
        if settings.redis:
            return settings.redis.masked()
        return value if settings.store in ("embedded", "memory") else f"{settings.store}:{MASK}"
    if isinstance(value, str):
        return MASK if value else value
    return [MASK] * len(value)
