"""Large documents are judged as small ones are."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.errors import BadBody
from zaqar_gateway.operations import documents

_texts = st.lists(st.text('ab"\\\n[{0e+9é', max_size=12), max_size=6)
_PADS = st.sampled_from(("", "x" * 5000, 'x"\\' * 3000))
_MANY = [""] * 600  # more strings than are looked at one by one

_WRONG = ("9" * 19, "-" + "9" * 19, "9223372036854775808", "1e400", "-1E+999", "[" * 201 + "]" * 201, '{"a":' * 201 + "1" + "}" * 201)
_RIGHT = ("9223372036854775807", "-9223372036854775808", "1e300", "[" * 190 + "]" * 190, "1e-999", "0.1234567890123456789012")


class CheckTests(SynchronousTestCase):
    """What JSON allows and this API does not."""

    def document(self, texts: list[str], pad: str, many: bool, value: str) -> bytes:
        """A document with a value in it, and with strings around that."""
        strings = json.dumps([*texts, pad, *(_MANY if many else [])], ensure_ascii=False)
        return f'{{"before":{strings},"value":{value},"behind":{strings}}}'.encode()

    @given(_texts, _PADS, st.booleans(), st.sampled_from(_WRONG))
    @settings(deadline=None)
    def test_wrong(self, texts: list[str], pad: str, many: bool, value: str) -> None:
        """A number that not every reader can hold, or too many levels, are refused whatever strings there are around it."""
        self.assertRaises(BadBody, documents.check, self.document(texts, pad, many, value))

    @given(_texts, _PADS, st.booleans(), st.sampled_from(_RIGHT + _WRONG))
    @settings(deadline=None)
    def test_right(self, texts: list[str], pad: str, many: bool, value: str) -> None:
        """What is in a string is no number and no level, and neither is what is not too large."""
        if value in _WRONG:
            value = json.dumps(value)
        documents.check(self.document(texts, pad, many, value))

    def test_ids(self) -> None:
        """An id that looks like a large number costs nothing: it is in a string, and the document is not taken apart."""

        def loads(*_: object, **__: object) -> None:
            raise AssertionError("the document is taken apart")

        self.patch(json, "loads", loads)
        for one in ("06449e1234b2001234567890", "1" * 24, '\\"' + "1" * 24):
            documents.check(json.dumps({"message_ids": [one] * 20, "limit": 10}).encode())

    def test_not_utf8(self) -> None:
        """Bytes that are no UTF-8 are refused with their place, in a long string, too."""
        text = b'{"a":"' + b"x" * 5000 + b'\xff"}'
        error = self.assertRaises(BadBody, documents.check, text)
        self.assertIn("byte 5006", str(error))
