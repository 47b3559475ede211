"""Reading the fields of operations."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, quote_plus

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import RecordedRequest, build_operations
from zaqar_gateway.errors import BadParameter, BadRequest, RuleBroken
from zaqar_gateway.limits import Limits
from zaqar_gateway.operations.registry import Operation, field_of
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.http.answers import Refused
from zaqar_gateway.transport.http.arguments import Arguments, Asked, Plan, parameters, text

OPERATIONS = {row.name: row for row in build_operations(MemoryStorage(Clock())).operations}
examples = settings(deadline=None, max_examples=60)
TRUE = ("true", "True", "t", "yes", "y", "1", "on")
FALSE = ("false", "False", "f", "no", "n", "0", "off")
PATH = {"queue_name": "q", "message_id": "m", "claim_id": "c", "subscription_id": "s", "durable": "phone"}


def asked(name: str, query: str = "", body: bytes = b"") -> tuple[Any, dict[str, Any]]:
    """The fields of an operation for a request, and the known parameters."""
    operation: Operation = OPERATIONS[name]
    assert operation.http is not None
    request = RecordedRequest.to(operation.http.method.encode(), b"/?" + query.encode(), {})
    request.body, request.has_body = body, bool(body)
    path = {field: PATH[field] for field in map(field_of, re.findall("{(.*?)}", operation.http.path))}
    arguments = Arguments(operation, operation.http, Limits())
    ask = Asked(Plan(arguments, path, parameters(request.query) if request.query else []), request)
    return ask.fields(operation), ask.given


class QueryTests(SynchronousTestCase):
    """Queries."""

    @examples
    @given(st.integers(-(10**18) + 1, 10**18 - 1), st.sampled_from(("", "0", "000")))
    def test_integers(self, number: int, zeros: str) -> None:
        """Any integer in decimal is read, with or without a sign."""
        sign = "-" if number < 0 else "%2B"
        for spelled in (str(number), f"{sign}{zeros}{abs(number)}"):
            fields, given = asked("message_list", f"limit={spelled}")
            self.assertEqual((fields.limit, given), (number, {"limit": number}))

    @examples
    @given(st.text(min_size=1))
    def test_what_is_no_integer(self, value: str) -> None:
        """Whatever else is given is refused with the name of the parameter, in few words."""
        if value.lstrip("+-").isascii() and value.lstrip("+-").isdigit():
            return
        error = self.assertRaises(BadParameter, asked, "message_list", f"limit={quote(value, safe='')}")
        self.assertTrue(str(error).startswith("limit is "))
        self.assertLess(len(str(error)), 500)

    @examples
    @given(st.text(min_size=1, max_size=6))
    def test_booleans(self, value: str) -> None:
        """Exactly the listed spellings are booleans."""
        try:
            fields, _ = asked("message_list", f"echo={quote(value, safe='')}")
        except BadParameter:
            self.assertNotIn(value, TRUE + FALSE)
        else:
            self.assertIn(value, TRUE if fields.echo else FALSE)

    def test_boolean_spellings(self) -> None:
        """All the listed spellings are read."""
        for spellings, value in ((TRUE, True), (FALSE, False)):
            for spelling in spellings:
                self.assertIs(asked("message_list", f"include_claimed={spelling}")[0].include_claimed, value)

    @examples
    @given(st.lists(st.text(st.characters(exclude_characters=",", exclude_categories=["Cs"]), min_size=1), min_size=1))
    def test_lists(self, ids: list[str]) -> None:
        """A list is the same with commas, encoded commas, repetition and blanks between."""
        spelled = [quote_plus(one, safe="") for one in ids]
        for query in (
            "ids=" + ",".join(spelled),
            "ids=" + "%2C".join(spelled),
            "&".join(f"ids={one}" for one in spelled),
            "ids=,&" + "&ids=&".join(f"ids=,{one},," for one in spelled),
        ):
            self.assertEqual(asked("message_get_many", query)[0].message_ids, ids)

    @examples
    @given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
    def test_strings(self, value: str) -> None:
        """A text is what was encoded, commas included."""
        self.assertEqual(asked("message_list", f"marker={quote(value, safe='')}")[0].marker, value)
        self.assertEqual(asked("message_list", f"marker={quote_plus(value, safe='')}")[0].marker, value)

    @settings(deadline=None, max_examples=300)
    @given(
        st.text(st.sampled_from("&=,%+;aelimtrk0129 \x00é"), max_size=30),
        st.sampled_from(sorted(name for name, row in OPERATIONS.items() if row.http and "get_many" not in name)),
    )
    def test_any_query(self, query: str, name: str) -> None:
        """Whatever a query is, it is read or refused as a bad request."""
        try:
            fields, _ = asked(name, query)
        except (BadRequest, Refused):
            pass
        else:
            self.assertIsInstance(fields, OPERATIONS[name].fields)

    def test_far_out(self) -> None:
        """A number beyond all ranges is out of range, and told as it came."""
        limits = Limits()
        for value in ("9" * 30, "-" + "9" * 30, "1" + "0" * 18):
            limit = asked("message_list", f"limit={value}")[0].limit
            error = self.assertRaises(RuleBroken, limits.page, limit, 20)
            self.assertEqual(str(error), f"limit is {value}; it has to be from 1 to 20.")
        far = asked("message_list", "limit=%2B" + "7" * 5000)[0].limit
        self.assertIn("limit is +777", str(self.assertRaises(RuleBroken, limits.page, far, 20)))

    def test_last_value_counts(self) -> None:
        """Of several values of a scalar the last that is not blank counts."""
        for query in ("limit=1&limit=2", "limit=1,2", "limit=2,", "limit=x&limit=2&limit=", "limit=9&limit=,,2,"):
            self.assertEqual(asked("message_list", query)[0].limit, 2)
        self.assertEqual(asked("message_list", "marker=a,b&marker=c%2Cd")[0].marker, "c,d")

    def test_blank(self) -> None:
        """Blank parameters are absent."""
        for query in ("", "limit=&echo&marker=", "=", "&&", "=x", "limit=,"):
            self.assertEqual(asked("message_list", query), asked("message_list"))
            self.assertEqual(asked("message_list", query)[1], {})

    def test_unknown(self) -> None:
        """Unknown parameters are ignored, or are filters."""
        self.assertEqual(asked("message_list", "detailed=x&limi%74=3")[1], {"limit": 3})
        fields, given = asked("queue_list", "a%20b=c%26,d&x.y=1&limit=3&empty=")
        self.assertEqual((fields.filters, given), ({"a b": "c&,d", "x.y": "1"}, {"limit": 3}))
        error = self.assertRaises(BadParameter, asked, "queue_list", "node=1&node=2")
        self.assertIn("'node'", str(error))


class BodyTests(SynchronousTestCase):
    """Bodies."""

    def test_members(self) -> None:
        """An object gives the fields that path and query do not."""
        body = b'{"ttl": 70, "limit": 1, "queue_name": "x", "other": [1, {}]}'
        fields, _ = asked("claim_create", "limit=5", body)
        self.assertEqual((fields.queue_name, fields.limit, fields.ttl, fields.grace), ("q", 5, 70, msgspec.UNSET))

    def test_what_http_sets(self) -> None:
        """A body cannot set what HTTP sets itself."""
        body = b'{"messages": [], "size": 1, "delays": false, "queue_name": "x"}'
        fields, _ = asked("message_post", "", body)
        self.assertEqual((fields.size, fields.delays, fields.queue_name), (len(body), True, "q"))
        fields, _ = asked("queue_purge", "", b'{"resource_types": [], "strict": false}')
        self.assertIs(fields.strict, True)

    def test_whole(self) -> None:
        """A body that is one field is passed on as it is."""
        fields, _ = asked("queue_create", "", b" {not json")
        self.assertEqual(bytes(fields.metadata), b" {not json")
        self.assertIs(asked("queue_create")[0].metadata, msgspec.UNSET)

    def test_last_of_equal_keys(self) -> None:
        """Of equal keys the last counts."""
        self.assertEqual(asked("claim_update", "", b'{"ttl": 70, "ttl": 80}')[0].ttl, 80)

    def test_errors_name_the_field(self) -> None:
        """A refusal names the member, what it is and what it has to be."""
        error = self.assertRaises(BadRequest, asked, "claim_create", "", b'{"ttl": "x"}')
        self.assertEqual(str(error), "ttl has to be an integer, not a string.")


class TextTests(SynchronousTestCase):
    """Bytes to text."""

    def test_encodings(self) -> None:
        """UTF-8 where it is, ISO-8859-1 where it is not."""
        self.assertEqual(text("ж".encode()), "ж")
        self.assertEqual(text(b"\xe4"), "ä")
