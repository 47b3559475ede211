"""JSON documents of clients: what is accepted, and what is said about the rest (API reference, "JSON bodies").

:func:`check` looks at what msgspec leaves open, without decoding anything: msgspec proves the syntax of a
:class:`msgspec.Raw`, but neither its UTF-8 nor the size of its numbers nor its depth.  The fast tests run at the speed of
``bytes`` methods; only a document that they suspect is taken apart.  (Not of ``in``: that asks first whether it is given a
number, for which Python makes and drops an exception.)
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NoReturn, TypeVar

import msgspec

from zaqar_gateway.errors import BadBody, repeated

T = TypeVar("T")

DEPTH_MAX = 200
"""Levels of nesting; clients may count on 128."""

_LARGE = 4096  # bytes
_FEW = 256  # strings

_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_SAME_DIGITS = bytes.maketrans(b"123456789E", b"000000000e")
_BACKSLASH = ord("\\")
_BRACKETS = b"[]{}"
_STEPS = bytes.maketrans(_BRACKETS, b"\x01\xff\x01\xff")
_NO_BRACKETS = bytes(set(range(256)) - set(_BRACKETS))


def unparsable(why: str) -> BadBody:
    """The error for a body that is no JSON document."""
    return BadBody(f"Request body could not be parsed: {why}.")


def check(text: bytes, around: int = 0, is_utf8: bool = False) -> None:
    """Refuse what JSON allows and this API does not.  The syntax is checked when the text is decoded.

    :param around: levels of the document that this is a part of.
    :param is_utf8: whether that is known of the text.
    :raises BadBody: the text is not UTF-8, nests too deep, or has a number that not every reader can hold.
    """
    if not is_utf8 and not text.isascii():
        try:
            text.decode()
        except UnicodeDecodeError as error:
            raise unparsable(f"it is not UTF-8 at byte {error.start}") from None
    seen = text if len(text) < _LARGE else _outside_strings(text)
    # Ids are hexadecimal digits, of which some look like such a number; they are in strings.
    if _has_large_number(seen) and _has_large_number(_all_outside_strings(text)):
        _check_numbers(text)
    # What opens has to be closed, too.
    depth_max = DEPTH_MAX - around
    if len(seen) > 2 * depth_max and seen.count(b"[") + seen.count(b"{") > depth_max:
        _check_depth(text, depth_max)


def _has_large_number(text: bytes) -> bool:
    """Whether it may have an integer beyond 64 bits, which has 19 digits or more, or a float beyond a double, which has those or a
    long exponent."""
    uniform = text.translate(_SAME_DIGITS, b"+")
    return uniform.find(b"0000000000000000000") >= 0 or uniform.find(b"0e000") >= 0


def _all_outside_strings(text: bytes) -> bytes:
    """What a document has besides the contents of its strings; one without an end is none."""
    pieces = _without_escapes(text).split(b'"')
    outside = pieces[::2]
    if len(pieces) % 2 == 0:
        outside.append(pieces[-1])
    return b'"'.join(outside)


def _without_escapes(text: bytes) -> bytes:
    """A document of which each quotation mark begins or ends a string."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if _BACKSLASH in text else text


def _outside_strings(text: bytes) -> bytes:
    """What a document has besides the contents of its strings, where these are few; else all of it.

    A large one mostly is one long string, and to look through 254 KiB takes half a millisecond.
    """
    text = _without_escapes(text)
    outside, at = [], 0
    for _ in range(_FEW):
        begins = text.find(b'"', at)
        ends = text.find(b'"', begins + 1) if begins >= 0 else -1
        if ends < 0:
            outside.append(text[at:] if begins < 0 else text[at:begins])  # a string without an end holds the rest
            return b'"'.join(outside)
        outside.append(text[at:begins])
        at = ends + 1
    return text


def _check_numbers(text: bytes) -> None:
    def integer(digits: str) -> int:
        # The length first: Python refuses to read numbers of thousands of digits.
        value = int(digits) if len(digits) <= 20 else _INT_MAX + 1
        if not _INT_MIN <= value <= _INT_MAX:
            raise BadBody(f"The integer {repeated(digits)} is out of range; it has to fit into 64 bits with a sign.")
        return value

    def real(digits: str) -> float:
        value = float(digits)
        if value in (float("inf"), float("-inf")):
            raise BadBody(f"The number {repeated(digits)} is out of range; it has to fit into a double.")
        return value

    try:
        json.loads(text, parse_int=integer, parse_float=real)
    except (ValueError, RecursionError):
        pass  # a fault of syntax or of depth: found, and described better, by what follows


def _check_depth(text: bytes, depth_max: int) -> None:
    steps = _all_outside_strings(text).translate(_STEPS, _NO_BRACKETS)
    # One step is a signed byte, up or down; the sums are the depths.  A pass over 1 MiB takes some 30 ms.
    if max(accumulate(array("b", steps)), default=0) > depth_max:
        raise unparsable(f"it is nested deeper than {DEPTH_MAX} levels")


_NAMES = {
    "int": "an integer",
    "float": "a number with a fraction or an exponent",
    "str": "a string",
    "bool": "a boolean",
    "null": "null",
    "object": "an object",
    "array": "an array",
}
_TYPES = {int: "int", float: "float", str: "str", bool: "bool", type(None): "null", dict: "object", list: "array"}
_WANTED = {**_NAMES, "float": "a number"}
_EXPECTED = re.compile(r"Expected `([^`]*)`, got `([^`]*)`(?: - at `\$\.?(.*)`)?", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `([^`]*)`(?: - at `\$\.?(.*)`)?", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`(?: - at `\$\.?(.*)`)?", re.DOTALL)


def decode(read: Callable[[Any], T], text: Any) -> T:
    """Decode a checked text into a type.

    Of a member that comes twice the last counts, whatever the first is; msgspec judges each as it comes.  So what it
    refuses is read once more without duplicates, which also finds faults of syntax further on.

    :param read: a decoder of msgspec.
    :raises msgspec.MsgspecError: the text is no JSON, or not of the type.
    """
    try:
        return read(text)
    except msgspec.ValidationError:
        return read(msgspec.json.encode(msgspec.json.decode(text)))


def explain(error: msgspec.ValidationError, where: str = "") -> str:
    """A sentence that names the field, what was wrong with it and what would be right.

    :param where: what the decoded text is a member of.
    """
    text = str(error)
    if found := _EXPECTED.match(text):
        wanted = " or ".join(_WANTED.get(part, part) for part in found[1].split(" | "))
        return f"{where + (found[3] or '') or 'The document'} has to be {wanted}, not {_NAMES.get(found[2], found[2])}."
    if found := _MISSING.match(text):
        return f"{where + found[2] + '.' if found[2] else ''}{found[1]} is missing."
    if found := _UNKNOWN.match(text):
        name = repeated(found[1])
        return f"{where + found[2] + '.' if found[2] else ''}{name} is not known here; leave it out, or correct its name."
    return text


def refuse(error: Exception) -> NoReturn:
    """Turn what msgspec raised for a checked text into ours.

    :raises BadBody: always.
    """
    if isinstance(error, msgspec.ValidationError):
        found = _EXPECTED.match(str(error))
        if found and not found[3] and found[2] not in ("object", "array"):
            raise unparsable("it has to be an object or an array") from None
        raise BadBody(explain(error)) from None
    if isinstance(error, RecursionError):
        raise unparsable(f"it is nested deeper than {DEPTH_MAX} levels") from None
    why = str(error).removeprefix("JSON is malformed: ")
    if why == "Input data was truncated":  # which msgspec says of a surrogate at the end of a string, too
        why = "it ends too early, or a string ends with half of a surrogate pair"
    raise unparsable(why) from None


def name_of(value: Any) -> str:
    """What a decoded value is, in words."""
    return _NAMES[_TYPES[type(value)]]


def value_of(text: msgspec.Raw) -> Any:
    """Decode a member of a checked document.

    :raises BadBody: it is not JSON.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        refuse(error)


def load(text: bytes) -> Any:
    """Decode a document whole.

    :raises BadBody: it is not an acceptable JSON object or array.
    """
    check(text)
    try:
        value = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        refuse(error)
    if not isinstance(value, dict | list):
        raise unparsable("it has to be an object or an array")
    return value


def load_object(text: bytes | None) -> dict[str, Any]:
    """Decode a document that has to be an object.

    :raises BadBody: it is absent, or anything else.
    """
    if not text:
        raise BadBody("The request needs a body: a JSON object.")
    value = load(text)
    if not isinstance(value, dict):
        raise BadBody("The document has to be an object, not an array.")
    return value
