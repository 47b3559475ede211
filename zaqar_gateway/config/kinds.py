"""What a setting can accept."""

from __future__ import annotations

import base64
import binascii
import json
import re
import string
import tomllib
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from zaqar_gateway import address, plugins
from zaqar_gateway.config import endpoints
from zaqar_gateway.limits import TTL_MIN_S
from zaqar_gateway.model import DURATION_MAX_S

SIZE_MAX = 2**28
_PAGE_MAX = 1000


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


def _number(convert: Callable[[str], object]) -> Callable[[str], object]:
    """The same for a number: Python takes the digits of every script, TOML those of ASCII."""

    def read(text: str) -> object:
        if not text.isascii():
            raise ValueError
        return convert(text)

    return _reader(read)


def whole(low: int, high: int) -> Kind:
    def check(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return value

    return Kind(f"a whole number from {low} to {high}", check, _number(int))


def seconds(low: float = 0.01, high: float = 86400) -> Kind:
    def check(value: object) -> float:
        if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError
        return float(value)

    return Kind(f"a number of seconds from {low} to {high}", check, _number(float))


def choice(*values: str, later: Sequence[str] = ()) -> Kind:
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
        endpoints.check(item)
    return tuple(value)


def _read_list(text: str) -> object:
    return tomllib.loads(f"list = {text}")["list"] if text.startswith("[") else text.split()


def _storage_uri(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError
    if value in ("", "memory:"):
        return value
    name = scheme(value)
    if name in address.SCHEMES:
        address.parse(value)
        return value
    names = plugins.installed(plugins.STORAGE)
    if name == "memory" or name not in names:
        # Its scheme is not quoted: what stands there may be half of a password.
        listed = plugins.listed(names)
        raise ValueError(f"there is no backend for its scheme; those of plug-ins that are installed are: {listed}")
    return _text(value)


def scheme(uri: str) -> str:
    """What stands before the first colon of a URI."""
    return uri.partition(":")[0]


def _filters(value: object) -> tuple[str, ...]:
    names = _keys(value)
    known = plugins.installed(plugins.FILTERS)
    for name in names:
        if name not in known:
            raise ValueError(f"{json.dumps(name)} is not installed; installed are: {plugins.listed(known)}")
        if names.count(name) > 1:
            raise ValueError(f"{json.dumps(name)} is there twice")
    return names


def _pipeline(value: object) -> tuple[str, ...]:
    """The filters in a pipeline of the reference, in which notifications are a stage; here they need none."""
    return _filters([name for name in _keys(value) if name != "zaqar.notification.notifier"])


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


def _networks(value: object) -> tuple[str, ...]:
    found = _keys(value)
    for item in found:
        try:
            ip_network(item, strict=False)
        except ValueError:
            raise ValueError(f"{json.dumps(item)} is no network") from None
    return found


def _base_url(*schemes: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        url = _text(value)
        parts = urlsplit(url)
        # A port that is none raises ValueError when it is asked for.
        if url and (parts.scheme not in schemes or not parts.hostname or parts.port == 0 or re.search("[ ?#@]", url)):
            raise ValueError
        return url

    return check


_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


def _origins(value: object) -> tuple[str, ...]:
    found = _keys(value)
    for item in found:
        parts = urlsplit(item)
        usual = {"http": 80, "https": 443}.get(parts.scheme, 0)
        # A port that is none raises ValueError when it is asked for.
        if not parts.hostname or parts.port == usual or not re.fullmatch(r"[a-z0-9+.-]+://[a-z0-9.:\[\]_-]+", item):
            raise ValueError
    return found


_ORIGIN_PATTERN = re.compile(r"(?:[A-Za-z0-9+.*?-]+://|[*])[^/\s]*")  # there is no path in an origin


def _origin_patterns(value: object) -> tuple[str, ...]:
    found = _keys(value)
    for item in found:
        if not _ORIGIN_PATTERN.fullmatch(item):
            raise ValueError(f"{json.dumps(item)} is the origin of no page")
    return found


def _tokens(value: object) -> tuple[str, ...]:
    found = _keys(value)
    for item in found:
        if not _TOKEN.fullmatch(item):
            raise ValueError
    return found


_MAIL_ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")


def _mail_address(value: object) -> str:
    if not isinstance(value, str) or value and not _MAIL_ADDRESS.fullmatch(value):
        raise ValueError
    return value


def webhook_key(secret: str) -> bytes:
    """The key that a secret for webhooks means (Standard Webhooks, "Signature scheme").

    :raises ValueError: it begins with ``whsec_``, and what follows is not base64.
    """
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("what follows whsec_ is not base64")
    return key


def _webhook_secret(value: object) -> str:
    secret = _text(value)
    webhook_key(secret)
    return secret


def _webhook_secrets(value: object) -> tuple[str, ...]:
    return tuple(map(_webhook_secret, _keys(value)))


_TEMPLATE_KEYS = ("topic", "body", "sender")


def _template(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not set(value) <= set(_TEMPLATE_KEYS):
        raise ValueError
    if not all(isinstance(item, str) for item in value.values()):
        raise ValueError
    _text(value.get("topic", ""))
    _mail_address(value.get("sender", ""))
    try:
        parts = [part[1:] for part in string.Formatter().parse(value.get("body", ""))]
    except ValueError as error:
        raise ValueError(f"in the body, {error}") from None
    if not {part for part in parts if part[0] is not None} <= {(number, "", None) for number in "012"}:
        raise ValueError("the body has other braces than {0}, {1} and {2}; those that mean themselves are doubled")
    return dict(value)


def _read_template(text: str) -> object:
    return tomllib.loads(f"map = {text}")["map"]


BOOLEAN = Kind("true or false", _boolean, _read_boolean)
TEXT = Kind("text without control characters", _text)
ENDPOINTS, OPERATORS_ENDPOINTS = (
    Kind(f"a list of Twisted server endpoint strings, such as {example}, with tls: before them or not", _endpoints, _read_list)
    for example in ('["tcp:8888:interface=127.0.0.1", "unix:/run/zaqar.sock"]', '["tcp:9464", "unix:/run/zaqar-admin.sock:mode=660"]')
)
KEYS = Kind(
    'a list of texts without control characters, none of them empty, such as ["key"]', _keys, _reader(_read_list)
)
NETWORKS = Kind('a list of IP networks, such as ["10.0.0.0/8", "fd00::/8"]', _networks, _reader(_read_list))
ORIGINS = Kind(
    'a list of origins as browsers write them, scheme, host and a port that is not the usual one, in lower case, such as'
    ' ["https://console.example.org"]',
    _origins,
    _reader(_read_list),
)
ORIGIN_PATTERNS = Kind(
    "a list of origins, scheme, host and a port that is not the usual one, in which * stands for any characters, such as"
    ' ["https://app.example.org", "https://*.example.com"]',
    _origin_patterns,
    _reader(_read_list),
)
TOKENS = Kind('a list of names such as ["X-Project-ID"]', _tokens, _reader(_read_list))
BASE_URL = Kind('"" or an http:// or https:// URL without user, query and fragment', _base_url("http", "https"))
WEBSOCKET_BASE_URL = Kind('"" or a ws:// or wss:// URL without user, query and fragment', _base_url("ws", "wss"))
MAIL_ADDRESS = Kind('"" or a mail address, such as zaqar@example.org', _mail_address)
WEBHOOK_SECRET = Kind("text without control characters, or whsec_ followed by base64", _webhook_secret)
WEBHOOK_SECRETS = Kind(
    "a list of texts without control characters, none of them empty, or whsec_ followed by base64",
    _webhook_secrets,
    _reader(_read_list),
)
ALGORITHM = Kind('"AES256"', _algorithm)
TEMPLATE = Kind(
    'a table of texts with some of the keys topic, body and sender, such as {topic = "Hello"}',
    _template,
    _reader(_read_template),
)
URI = Kind(
    '"" (embedded Redis), "memory:", a redis://, rediss:// or unix:// URI, or one of an installed backend', _storage_uri
)
FILTERS = Kind(
    'a list of names of installed message filters, each once, such as ["redact"]', _filters, _reader(_read_list)
)
PIPELINE = Kind(
    'a list of names of installed message filters, each once, and of "zaqar.notification.notifier"',
    _pipeline,
    _reader(_read_list),
)
PORT = whole(1, endpoints.PORT_MAX)
PAGE = whole(1, _PAGE_MAX)
TTL = whole(TTL_MIN_S, DURATION_MAX_S)
DELAY = whole(0, DURATION_MAX_S)
COUNT = whole(0, 1_000_000)
AMOUNT = whole(0, 2**50)
