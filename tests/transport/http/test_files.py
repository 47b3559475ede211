"""Rooms of files."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import KEYSTONE, HttpApi
from tests.tokens import StubTokens
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.http.files import Files, read


class FileTests(SynchronousTestCase):
    """A folder that is served at /js/."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        (self.folder / "deep").mkdir()
        for name, text in (("a.js", "one"), ("a.css", "two"), ("deep/b.svg", "three"), ("secret.py", "four"), ("no", "5")):
            (self.folder / name).write_text(text)
        room = Files(read(self.folder, "/js/"), ((b"X-Own", b"1"),))
        self.api = HttpApi(MemoryStorage(Clock()), rooms={b"js": room})

    def test_found(self) -> None:
        """A file has its type, a tag, and the headers of the room; it needs neither client nor project."""
        for path, kind, content in (
            ("/js/a.js", "text/javascript; charset=utf-8", b"one"),
            ("/js/a.js?version=1", "text/javascript; charset=utf-8", b"one"),
            ("/js/a.css", "text/css; charset=utf-8", b"two"),
            ("/js/deep/b.svg", "image/svg+xml", b"three"),
        ):
            found = self.api("GET", path, bare=True)
            self.assertEqual((found.status, found.header("Content-Type"), found.body), (200, kind, content))
            self.assertEqual((found.header("Cache-Control"), found.header("X-Own")), ("no-cache", "1"))
            self.assertRegex(found.header("ETag") or "", '^"[0-9a-f]{32}"$')

    def test_head(self) -> None:
        """HEAD has the headers of GET; the connection leaves the body out, and tells its length."""
        self.assertEqual(self.api("HEAD", "/js/a.js", bare=True), self.api("GET", "/js/a.js", bare=True))

    def test_not_modified(self) -> None:
        """Who has the newest is told so, however the tag is given."""
        tag = self.api("GET", "/js/a.js", bare=True).header("ETag")
        for condition in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            found = self.api("GET", "/js/a.js", headers={"If-None-Match": condition}, bare=True)
            self.assertEqual((found.status, found.header("ETag"), found.body), (304, tag, b""))
        for condition in ('"other"', "", "nonsense"):
            self.assertEqual(self.api("GET", "/js/a.js", headers={"If-None-Match": condition}, bare=True).status, 200)

    def test_packed(self) -> None:
        """Who takes gzip gets it, under a tag of its own; caches are told that it depends on that."""
        plain = self.api("GET", "/js/a.js", bare=True)
        self.assertEqual(plain.header("Vary"), "Accept-Encoding")
        for accepted in ("gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1.0"):
            found = self.api("GET", "/js/a.js", headers={"Accept-Encoding": accepted}, bare=True)
            self.assertEqual((found.header("Content-Encoding"), gzip.decompress(found.body)), ("gzip", b"one"))
            self.assertNotEqual(found.header("ETag"), plain.header("ETag"))
            conditional = {"Accept-Encoding": accepted, "If-None-Match": found.header("ETag")}
            self.assertEqual(self.api("GET", "/js/a.js", headers=conditional, bare=True).status, 304)
        for accepted in ("", "br", "gzip;q=0", "gzip; q=0.000", "xgzip"):
            self.assertEqual(self.api("GET", "/js/a.js", headers={"Accept-Encoding": accepted}, bare=True), plain)

    def test_missing(self) -> None:
        """Nothing else is there: no folder, no other kind of file, and nothing outside, in any spelling."""
        for path in (
            *("/js", "/js/", "/js/deep", "/js/deep/", "/js/secret.py", "/js/no", "/js/b.js", "/js//a.js", "/js/A.js"),
            *("/js/../js/a.js", "/js/deep/../a.js", "/js/%61.js", "/js/..%2fa.js", "/js/%2e%2e/setup.py", "/js/a.js/"),
            *("/js/../../etc/passwd", "/js/a.js%00", "/js/a.js\\"),
        ):
            found = self.api("GET", path, bare=True)
            self.assertEqual((found.status, found.json), (404, {"title": "404 Not Found"}), path)

    def test_methods(self) -> None:
        """There is nothing to do but to read."""
        for method in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
            found = self.api(method, "/js/a.js", b"x", bare=True)
            self.assertEqual((found.status, found.header("Allow")), (405, "GET, HEAD, OPTIONS"))
        self.assertEqual(self.api("OPTIONS", "/js/a.js", bare=True).header("Allow"), "GET, HEAD, OPTIONS")
        self.assertEqual(self.api("OPTIONS", "/js/none", bare=True).status, 200)

    def test_beside_the_api(self) -> None:
        """Authentication is for the API; a room without a name is none."""
        api = HttpApi(
            MemoryStorage(Clock()), tokens=StubTokens(), rooms={b"js": Files(read(self.folder, "/js/"))}
        )
        self.assertEqual(api("GET", "/js/a.js", bare=True).status, 200)
        for path in ("/v2/queues", "/jsx", "/", "/v2/js/a.js"):
            found = api("GET", path, bare=True)
            self.assertNotEqual(found.status, 200)
        self.assertIn(KEYSTONE, api("GET", "/jsx", bare=True).header("WWW-Authenticate") or "")
