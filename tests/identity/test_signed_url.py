"""What a signature is, and what it gives."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import hypothesis
import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.clocks import SetClock
from zaqar_gateway import instants
from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.identity.signed_url import UrlSigner, covers, signed_text
from zaqar_gateway.interfaces import IUrlSigner
from zaqar_gateway.model import SignedUrl

examples = hypothesis.settings(derandomize=True, deadline=None)

KEY = "s3cr3t"
VECTOR = "ea2a7a24981df04d764aecbc709a10eec31abfc94570de4951f04bccbe4d859a"
CLAIMS, MESSAGES = "/v2/queues/shq/claims", "/v2/queues/shq/messages"
EXPIRES = "2026-11-24T09:52:36"
EXPIRES_S = 1795513956

parts = st.text(st.characters(codec="utf-8", exclude_characters="\\"), min_size=1, max_size=12)
listed = st.lists(parts, min_size=1, max_size=3)


def signer(*keys: str, now_s: float = EXPIRES_S - 1000.0) -> UrlSigner:
    """A signer at some instant."""
    return UrlSigner(keys, SetClock(now_s))


class VectorTests(SynchronousTestCase):
    """The vector of the API reference, "Pre-signed URLs"."""

    def test_text(self) -> None:
        r"""The parts are sorted and separated by a backslash and an n."""
        self.assertEqual(
            signed_text([MESSAGES, CLAIMS], ["POST", "GET"], "p1", EXPIRES),
            rf"/v2/queues/shq/claims,/v2/queues/shq/messages\nGET,POST\np1\n{EXPIRES}",
        )

    def test_signature(self) -> None:
        """The signature is the one that every server gives."""
        signed = signer(KEY).sign("p1", [MESSAGES, CLAIMS], ["POST", "GET"], EXPIRES_S)
        self.assertEqual(signed, SignedUrl((CLAIMS, MESSAGES), ("GET", "POST"), "p1", EXPIRES, VECTOR))

    def test_interface(self) -> None:
        """A signer is what the transports need."""
        verifyObject(IUrlSigner, signer(KEY))


class AllowsTests(SynchronousTestCase):
    """What is allowed."""

    def setUp(self) -> None:
        self.signed = signer(KEY).sign("p1", [CLAIMS, MESSAGES], ["GET", "POST"], EXPIRES_S)

    def allows(self, method: str = "GET", path: str = MESSAGES, by: UrlSigner | None = None, **changed: Any) -> bool:
        return (by or signer(KEY)).allows(msgspec.structs.replace(self.signed, **changed), method, path)

    def test_as_signed(self) -> None:
        """Each method on each path is allowed, in whatever order the lists are brought."""
        for method in ("GET", "POST"):
            for path in (CLAIMS, MESSAGES):
                self.assertTrue(self.allows(method, path))
                self.assertTrue(self.allows(method, path, paths=(MESSAGES, CLAIMS), methods=("POST", "GET")))

    def test_methods(self) -> None:
        """Another method is not, even where somebody adds it to the list."""
        for method in ("DELETE", "PUT", "get", "GET,POST", ""):
            self.assertFalse(self.allows(method))
            self.assertFalse(self.allows(method, methods=("GET", "POST", method)))

    def test_paths(self) -> None:
        """What is below a signed path is allowed, nothing else is."""
        for path in (f"{MESSAGES}/id", f"{CLAIMS}/a/b", f"{MESSAGES}/"):
            self.assertTrue(self.allows(path=path), path)
        for path in (
            "", "/", "/v2", "/v2/queues", "/v2/queues/shq", "/v2/queues/shq/", f"{MESSAGES}X", f"{MESSAGES}%2Fid",
            "/v2/queues/shq//messages", "/v2/queues/shq/stats", "/v2/queues/other/messages", f"x{MESSAGES}",
            "/v2/queues/shq/message", MESSAGES.upper(), MESSAGES[1:], f"/v2/queues/x{MESSAGES}", f"{MESSAGES}?",
            "/v2/queues/shq/../shq/messages",
        ):  # fmt: skip
            self.assertFalse(self.allows(path=path), path)

    def test_cover(self) -> None:
        """A path is literal, and an empty one covers nothing."""
        for paths, path in (
            (("",), "/v2"), ((), "/v2"), (("/",), "/v2"), (("/v2/.*",), "/v2/queues"), (("/v2/",), "/v2/queues"),
            (("/v2/queues/a.b",), "/v2/queues/aXb"), (("queues",), "/v2/queues"),
        ):  # fmt: skip
            self.assertFalse(covers(paths, path), paths)
        self.assertTrue(covers(("", "/v2"), "/v2/queues"))

    def test_signed_empty_path(self) -> None:
        """A signature over an empty path gives nothing."""
        self.signed = signer(KEY).sign("p1", [""], ["GET"], EXPIRES_S)
        for path in ("", "/", MESSAGES):
            self.assertFalse(self.allows(path=path))

    def test_expiry(self) -> None:
        """It ends in the second of its expiry."""
        self.assertTrue(self.allows(by=signer(KEY, now_s=EXPIRES_S - 0.001)))
        for now_s in (EXPIRES_S, EXPIRES_S + 0.5, EXPIRES_S + 1e9):
            self.assertFalse(self.allows(by=signer(KEY, now_s=now_s)))

    def test_expiry_in_other_words(self) -> None:
        """The same second in any form of ISO 8601 is the same expiry; no text of one, and another second, is not."""
        for text in (f"{EXPIRES}Z", "2026-11-24T11:52:36.5+02:00", "20261124T095236", "2026-11-24 09:52:36"):
            self.assertTrue(self.allows(expires=text), text)
        for text in ("", "never", "2026-11-24T09:52:37", f"{EXPIRES}+01:00", str(EXPIRES_S), "2036-11-24T09:52:36"):
            self.assertFalse(self.allows(expires=text), text)

    def test_signature_is_64_hex_digits(self) -> None:
        """A signature of any other form is none, however near it is."""
        good = self.signed.signature
        for text in ("", good[:-1], f"{good}0", good.upper(), f" {good}", f"{good}\n", "0" * 64, good[::-1], "é" * 64):
            self.assertFalse(self.allows(signature=text), text)

    def test_no_key(self) -> None:
        """Without a key nothing can be signed, and nothing is allowed, not even what an empty key would give."""
        self.assertFalse(signer().enabled)
        self.assertTrue(signer(KEY).enabled)
        self.assertRaises(RuleBroken, signer().sign, "p1", [MESSAGES], ["GET"], EXPIRES_S)
        text = signed_text(self.signed.paths, self.signed.methods, "p1", EXPIRES)
        empty = hmac.new(b"", text.encode(), hashlib.sha256).hexdigest()
        for signature in (self.signed.signature, empty):
            self.assertFalse(self.allows(by=signer(), signature=signature))

    def test_no_project(self) -> None:
        """The empty project has no signed URLs."""
        self.signed = signer(KEY).sign("", [MESSAGES], ["GET"], EXPIRES_S)
        self.assertFalse(self.allows())

    def test_rotation(self) -> None:
        """While a key is replaced the new one signs and both are accepted; later the old one is not."""
        both, new = signer("new", KEY), signer("new")
        self.assertTrue(self.allows(by=both))
        self.assertFalse(self.allows(by=new))
        self.signed = both.sign("p1", [MESSAGES], ["GET"], EXPIRES_S)
        self.assertTrue(self.allows(by=both))
        self.assertTrue(self.allows(by=new))
        self.assertFalse(self.allows())

    def test_key_is_not_shown(self) -> None:
        """A signer does not show its keys."""
        self.assertNotIn(KEY, repr(signer(KEY)) + str(signer(KEY)))

    def test_separator(self) -> None:
        """What would move a part into another one cannot be signed, and is not believed."""
        by = signer(KEY)
        for project, paths, methods in (
            ("p1", [MESSAGES], [r"A,/v2/queues/z\nDELETE"]),
            ("p1", [MESSAGES + r"\nA", "/v2/queues/z"], ["DELETE"]),
            (r"GET\np1", [MESSAGES], ["GET"]),
        ):
            self.assertRaises(RuleBroken, by.sign, project, paths, methods, EXPIRES_S)
        # As a server signs that does not look at methods: the text of DELETE on a queue.
        text = rf"{MESSAGES}\nA,/v2/queues/z\nDELETE\np1\n{EXPIRES}"
        forged = SignedUrl(
            (MESSAGES + r"\nA", "/v2/queues/z"),
            ("DELETE",),
            "p1",
            EXPIRES,
            hmac.new(KEY.encode(), text.encode(), hashlib.sha256).hexdigest(),
        )
        self.assertFalse(by.allows(forged, "DELETE", "/v2/queues/z"))

    @examples
    @given(listed, listed, parts, st.integers(1_000_000, instants.END_S), st.data())
    def test_any_change_fails(
        self, paths: list[str], methods: list[str], project: str, expires_s: int, data: st.DataObject
    ) -> None:
        """What was signed is allowed, by the key that signed; with any part of it changed it is not."""
        by = signer(KEY, now_s=0)
        signed = by.sign(project, paths, methods, expires_s)
        path, method = data.draw(st.sampled_from(paths)), data.draw(st.sampled_from(methods))
        self.assertTrue(by.allows(signed, method, path))
        self.assertFalse(signer(KEY + "x", now_s=0).allows(signed, method, path))
        other_s = data.draw(st.integers(1_000_000, instants.END_S).filter(lambda one: one != expires_s))
        digit = data.draw(st.integers(0, 63))
        old = signed.signature[digit]
        new = data.draw(st.sampled_from([one for one in "0123456789abcdefABCDEFg" if one != old]))
        for changed in (
            {"paths": (*signed.paths, data.draw(parts))},
            {"methods": (*signed.methods, data.draw(parts))},
            {"project": data.draw(parts.filter(lambda one: one != project))},
            {"expires": instants.text_of(other_s)},
            {"signature": signed.signature[:digit] + new + signed.signature[digit + 1 :]},
        ):
            altered = msgspec.structs.replace(signed, **changed)
            self.assertFalse(by.allows(altered, method, path), changed)

    @examples
    @given(st.text(), st.text(), st.text(), st.text(), st.text(), st.text(), st.text())
    def test_whatever_is_brought(
        self, path: str, method: str, project: str, expires: str, signature: str, asked: str, at: str
    ) -> None:
        """Nothing that anybody brings raises, or is allowed without the key."""
        for given_expires, given_signature in ((expires, signature), (EXPIRES, "0" * 64)):
            given_url = SignedUrl((path, at), (method, asked), project, given_expires, given_signature)
            self.assertFalse(signer(KEY).allows(given_url, asked, at))
