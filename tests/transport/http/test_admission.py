"""The checks of headers."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import CLIENT, OTHER_CLIENT, RecordedRequest, build_operations
from zaqar_gateway.errors import BadClientId
from zaqar_gateway.identity.anonymous import Anonymous
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.model import Context
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.http.admission import Admission, admits_json
from zaqar_gateway.transport.http.events import identified_by_query
from zaqar_gateway.transport.http.request import Fields


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


class RepeatedTests(SynchronousTestCase):
    """Header lines that a connection brings again and again."""

    def setUp(self) -> None:
        self.site = build_operations(MemoryStorage(Clock())).site()

    def ask(self, fields: Fields, method: bytes = b"GET", path: bytes = b"/v2/queues", body: bytes = b"") -> int:
        """The status of the answer to a request with these fields."""
        request = RecordedRequest.to(method, path, {})
        request.headers, request.body, request.has_body = fields, body, bool(body)
        self.site.handle(request)
        return request.responses[0].status

    def test_admitted_again(self) -> None:
        """What they say of who asks holds again, and each request is still looked at."""
        fields = Fields({b"client-id": CLIENT.encode(), b"x-project-id": b"p"})
        for _ in range(2):
            self.assertEqual(self.ask(fields), 200)
            self.assertEqual(self.ask(fields, path=b"/v2/nowhere"), 404)
            self.assertEqual(self.ask(fields, b"PATCH"), 405)
            self.assertEqual(self.ask(fields, b"PUT", b"/v2/queues/a%2Fb"), 404)
            self.assertEqual(self.ask(fields, b"PUT", b"/v2/queues/%24"), 400)
        self.assertEqual(fields.admitted, Context("p", ClientIds().canonical(CLIENT)))

    def test_refused_again(self) -> None:
        """What is refused is refused again."""
        for refused in (
            {b"client-id": b"x", b"x-project-id": b"p"},
            {b"client-id": CLIENT.encode(), b"x-project-id": b""},
            {b"client-id": CLIENT.encode(), b"x-project-id": b"p", b"accept": b"text/html"},
        ):
            fields = Fields(refused)
            statuses = [self.ask(fields) for _ in range(2)]
            self.assertIn(statuses, ([400, 400], [406, 406]))

    def test_shared(self) -> None:
        """Nobody changes what other requests are judged by, nor does what a query says of who asks for a stream."""
        fields = Fields({b"accept": b"*/*"})
        for change in (
            lambda: fields.update({b"x": b"y"}),
            lambda: fields.setdefault(b"x", b"y"),
            lambda: fields.pop(b"accept"),
            fields.clear,
        ):
            self.assertRaises(TypeError, change)
        query = f"client_id={CLIENT}&project_id=p".encode()
        request = RecordedRequest.to(b"GET", b"/v2/queues/q/events?" + query, {})
        request.headers = fields
        identified_by_query(request)
        self.assertEqual(request.headers[b"x-project-id"], b"p")
        self.assertEqual(fields, {b"accept": b"*/*"})

    def test_depends_on_more(self) -> None:
        """A form is refused where there is a body, though it was passed over where there was none."""
        form = b"application/x-www-form-urlencoded"
        fields = Fields({b"client-id": CLIENT.encode(), b"x-project-id": b"p", b"content-type": form})
        self.assertEqual(self.ask(fields, b"PUT", b"/v2/queues/q"), 201)
        self.assertEqual(self.ask(fields, b"PUT", b"/v2/queues/q", b"{}"), 400)


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

    def test_long_values(self) -> None:
        """A client may say much of itself, but not for an id; it is not remembered then."""
        roles = ",".join(f"role{number}" for number in range(2000))
        self.assertEqual(len(self.caller(ClientIds(), client_id=CLIENT, x_project_id="p", x_roles=roles).roles), 2000)
        admission = Admission(Anonymous().identify, ClientIds())
        headers = {b"client-id": CLIENT.encode(), b"x-project-id": b"p", b"x-roles": roles.encode()}
        for _ in range(2):
            self.assertEqual(len(admission.caller(headers).roles), 2000)
        self.assertEqual(admission._known.cache_info().currsize, 0)
        self.assertRaises(BadClientId, self.caller, ClientIds(), client_id=CLIENT + "-" * 256, x_project_id="p")

    def test_free_client_ids(self) -> None:
        """In the free mode any text of an accepted length is a client."""
        free = ClientIds(strict=False)
        for client in ("1234567890", "1" * 35, "ж" * 18):
            self.assertEqual(self.caller(free, client_id=client, x_project_id="p").client, b"s" + client.encode())
        for client in ("", "123456789", "1" * 37):
            self.assertRaises(BadClientId, self.caller, free, client_id=client, x_project_id="p")
