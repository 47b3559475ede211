"""The checks of headers."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import CLIENT, OTHER_CLIENT
from zaqar_gateway.errors import BadClientId
from zaqar_gateway.identity.anonymous import Anonymous
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.model import Context
from zaqar_gateway.transport.http.admission import Admission, admits_json


class AcceptTests(SynchronousTestCase):
    """``Accept``."""

    def test_admitted(self) -> None:
        """A member with a q above 0 that covers JSON lets the reply be JSON."""
        for accept in (
            b"",
            b"  ",
            b"*/*",
            b"application/*",
            b"application/json",
            b"Application/JSON",
            b"application/json; charset=utf-8",
            b"application/json;q=0.001",
            b"text/html, application/xhtml+xml, */*;q=0.8",
            b"application/xml,application/json",
            b"application/json; q = 0.5",
            b"application/json;q=x",
        ):
            self.assertTrue(admits_json(accept), accept)

    def test_not_admitted(self) -> None:
        """Other types, and JSON with a q of 0, do not."""
        for accept in (
            b"application/xml",
            b"application/json-home",
            b"text/*",
            b"json",
            b"application/json;q=0",
            b"application/json;v=1;q=0.0",
            b"*/*;q=0, text/html",
            b",",
        ):
            self.assertFalse(admits_json(accept), accept)


class CallerTests(SynchronousTestCase):
    """Who asks."""

    def caller(self, client_ids: ClientIds | None = None, **headers: str) -> Context:
        """The caller by headers, underscores for hyphens."""
        given = {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
        return Admission(Anonymous().identify, client_ids or ClientIds()).caller(given)

    def test_context(self) -> None:
        """Project, client, roles and user are taken from the headers."""
        self.assertEqual(
            self.caller(client_id=CLIENT, x_project_id="p", x_roles="Admin, member ,", x_user_id="u"),
            Context("p", bytes.fromhex(CLIENT.replace("-", "")), frozenset(("admin", "member")), "u"),
        )

    def test_one_is_not_taken_for_another(self) -> None:
        """What is remembered of one caller is not given to one that differs in a single header."""
        admission = Admission(Anonymous().identify, ClientIds())
        base = {b"client-id": CLIENT.encode(), b"x-project-id": b"p"}
        changes: tuple[dict[bytes, bytes], ...] = (
            {},
            {b"client-id": OTHER_CLIENT.encode()},
            {b"x-project-id": b"q"},
            {b"x-roles": b"admin"},
            {b"x-user-id": b"u"},
            {b"x-roles": b"u"},
        )
        first = [admission.caller({**base, **change}) for change in changes]
        again = [admission.caller({**base, **change}) for change in changes]
        self.assertEqual(first, again)
        self.assertEqual(len(set(first)), len(changes))
        self.assertEqual(admission.caller({**base, b"x-tenant-id": b"q"}), first[0])

    def test_free_client_ids(self) -> None:
        """In the free mode any text of an accepted length is a client."""
        free = ClientIds(strict=False)
        for client in ("1234567890", "1" * 35, "ж" * 18):
            self.assertEqual(self.caller(free, client_id=client, x_project_id="p").client, b"s" + client.encode())
        for client in ("", "123456789", "1" * 37):
            self.assertRaises(BadClientId, self.caller, free, client_id=client, x_project_id="p")
