"""A gateway of several processes: what clients see of it, what becomes of it where processes end, and what it leaves."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.certificates import Authority, write
from tests.system.gateway import (
    CLIENT,
    CONSOLE,
    TWISTD,
    Gateway,
    Http,
    Process,
    RedisProcess,
    Socket,
    environment,
    new_directory,
    until,
)
from tests.system.receiver import Receiver
from tests.system.test_admin import Operator, value
from tests.system.test_crash import CrashTestCase, Load
from tests.system.test_launch import LISTENERS, SYSTEMD, LaunchTestCase, listens
from zaqar_gateway.admin.catalogue import METRICS, PREFIX

ADMIN = r"metrics and health on (\S+?)/?$"

PATIENCE_S = 120.0
"""How long anything may take on a machine that is busy with tests."""

PROJECT = "workers"


def children(pid: int) -> dict[int, list[str]]:
    """The processes that a process has started, with their arguments."""
    found: dict[int, list[str]] = {}
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                found[int(child)] = Path(f"/proc/{child}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    return found


def exists(pid: int) -> bool:
    """Whether there is a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workers_of(pid: int) -> dict[int, int]:
    """The processes of the workers that a keeper has, by their numbers."""
    found = {}
    for child, words in children(pid).items():
        what, _, number = words[-1].rpartition(" ")
        if what == "zaqar-gateway worker":
            found[int(number)] = child
    return found


class WorkersTestCase(LaunchTestCase):
    """Gateways with two workers."""

    def gateway(self, *arguments: str, **options: object) -> Gateway:
        """One that is ready."""
        gateway = super().gateway("--workers", "2", *arguments, start_s=PATIENCE_S, **options)
        self.addCleanup(self.end_all, {gateway.pid, *children(gateway.pid)})
        return gateway

    def end_all(self, pids: set[int]) -> None:
        """End what a failed test leaves."""
        for pid in pids:
            with contextlib.suppress(OSError):
                if b"zaqar" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    @contextmanager
    def only(self, gateway: Gateway, number: int) -> Iterator[None]:
        """Have one worker alone take connections."""
        others = [pid for each, pid in workers_of(gateway.pid).items() if each != number]
        for pid in others:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in others:
                os.kill(pid, signal.SIGCONT)

    def http(self, gateway: Gateway, number: int, project: str = PROJECT) -> Http:
        """A connection to one worker, which is kept alive."""
        http = Http(gateway.http, project, timeout_s=PATIENCE_S)
        self.addCleanup(http.close)
        with self.only(gateway, number):
            self.assertEqual(http("GET", "/v2/queues").status, 200)
        return http

    def socket(self, gateway: Gateway, number: int) -> Socket:
        """A WebSocket to one worker."""
        with self.only(gateway, number):
            made = Socket(gateway.websocket, PROJECT, timeout_s=PATIENCE_S)
        self.addCleanup(made.close)
        return made

    def replaced(self, gateway: Gateway, number: int, pid: int) -> int:
        """Wait until a worker has another process, which serves."""
        found: list[int] = []

        def is_there() -> bool:
            found[:] = [each for each in [workers_of(gateway.pid).get(number, pid)] if each != pid]
            return bool(found) and f"worker {number} serves, process {found[0]}\n" in gateway.output

        until(is_there, PATIENCE_S, f"another worker {number}")
        self.addCleanup(self.end_all, {found[0]})
        return found[0]

    def check_gone(self, *pids: int) -> None:
        """No process is left."""
        until(lambda: not any(map(exists, pids)), PATIENCE_S, f"the end of {pids}")


class ServingTests(WorkersTestCase):
    """What all workers do together."""

    def test_serves(self) -> None:
        """Each worker serves each listener, be it of TCP, TLS, in the file system, or behind a proxy; the log has what is to be known once, the
        banner tells how many there are, and secrets are neither in arguments nor in environments."""
        directory = new_directory()
        authority = Authority()
        certificate, key = authority.issue("test", "127.0.0.1")
        files = write(directory, cert=certificate, key=key)
        path = directory / "s"
        gateway = self.gateway(
            *("--http", "tls:0:interface=127.0.0.1", "--http", f"unix:{path}:mode=600", "--http", "haproxy:tcp:0:interface=127.0.0.1"),
            "--show",
            settings={"TLS_CERTIFICATE_FILE": files["cert"], "TLS_PRIVATE_KEY_FILE": files["key"], "SIGNED_URL_SECRET_KEY": "s3cr3t"},
        )
        gateway.wait_for(r"^It works\.", PATIENCE_S)
        over_tls = gateway.wait_for(r"HTTP and WebSocket on (https://\S+)/$", PATIENCE_S)[1]
        behind = gateway.wait_for(rf"{path}\n  HTTP and WebSocket on (http://\S+)/$", PATIENCE_S)[1]
        trust = ssl.create_default_context(cadata=authority.certificate.decode())
        posted = 0
        for number, pid in workers_of(gateway.pid).items():
            with self.only(gateway, number):
                for each in (Http(gateway.http, PROJECT), Http(over_tls, PROJECT, tls=trust)):
                    with closing(each):
                        self.assertEqual(each.post("work", number).status, 201)
                        posted += 1
                with closing(Socket(gateway.websocket, PROJECT)) as worker, closing(Socket(gateway.http, PROJECT)) as other:
                    for ws in (worker, other):
                        self.assertEqual(ws("message_post", queue_name="work", messages=[{"body": number}]).status, 201)
                        posted += 1
                self.assertTrue(self.asked(str(path)).startswith(b"HTTP/1.1 300 "))
                self.assertTrue(self.asked(behind, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").startswith(b"HTTP/1.1 300 "))
            seen = b"".join(Path(f"/proc/{pid}/{each}").read_bytes() for each in ("cmdline", "environ"))
            self.assertNotIn(b"s3cr3t", seen)
        self.assertEqual(posted, 8)
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        with closing(Http(gateway.http, PROJECT)) as http:
            self.assertEqual(len(http.all_messages("work")), posted)
        for once in ("is ready.\n", "  2 workers serve\n", "there is no message_encryption_key"):
            self.assertEqual(gateway.output.count(once), 1, once)
        self.assertRegex(gateway.output, r"worker 1: an acknowledged message survives")
        pids = [*children(gateway.pid)]
        self.assertEqual(len(pids), 3)
        gateway.stop()
        self.check_gone(*pids)
        self.assertEqual((path.exists(), path.with_name("s.lock").is_symlink()), (False, False))
        self.assertFalse(listens(gateway.http) or listens(gateway.websocket) or listens(over_tls))
        self.assertNotIn("s3cr3t", gateway.output)

    def test_operators(self) -> None:
        """One admin listener tells of all workers: what each has answered, that one hangs or is started again, and what is the keeper's."""
        gateway = self.gateway(settings={"LISTEN_ADMIN": "tcp:0"})
        operator = Operator(gateway.wait_for(ADMIN, PATIENCE_S)[1])
        self.assertEqual(operator("/ready").status, 204)
        for number, posts in ((1, 2), (2, 3)):
            http = self.http(gateway, number)
            for _ in range(posts):
                self.assertEqual(http.post("work", 1).status, 201)
        found = operator.scrape()
        for worker, posts in (("1", 2), ("2", 3)):
            asked = {"operation": "message_post", "transport": "http", "status": "201", "worker": worker}
            self.assertEqual(value(found, "requests_total", **asked), posts)
            self.assertEqual((value(found, "worker_up", worker=worker), value(found, "worker_starts_total", worker=worker)), (1, 1))
        self.assertEqual(
            {dict(labels)["worker"] for name, labels in found if name == "process_open_fds"}, {"1", "2", "keeper"}
        )
        shown = {line.split()[2] for line in operator("/metrics").body.decode().splitlines() if line.startswith(f"# TYPE {PREFIX}")}
        self.assertEqual(shown, {each.shown for each in METRICS.values() if not each.when or "workers" in each.when})
        document = operator.health()
        self.assertEqual((document["status"], document["ready"], [*document["workers"]]), ("ok", True, ["1", "2"]))
        self.assertEqual(document["listeners"]["http"], [f"{gateway.http}/"])
        self.assertTrue(exists(document["embedded_redis"]["process"]))
        pid = workers_of(gateway.pid)[1]
        os.kill(pid, signal.SIGSTOP)
        document = operator.health()
        os.kill(pid, signal.SIGCONT)
        self.assertEqual((document["status"], document["ready"]), ("degraded", True))
        self.assertEqual((document["troubles"], document["workers"]["1"]), (["worker 1: it does not answer"], None))
        os.kill(pid, signal.SIGKILL)
        self.replaced(gateway, 1, pid)
        until(lambda: operator.health()["status"] == "ok", PATIENCE_S, "both workers")
        self.assertEqual(value(operator.scrape(), "worker_starts_total", worker="1"), 2)
        redis = document["embedded_redis"]["process"]
        os.kill(redis, signal.SIGSTOP)
        found = operator.scrape()
        self.assertEqual([value(found, "worker_up", worker=worker) for worker in ("1", "2")], [1, 1])
        answer = operator("/ready")
        os.kill(redis, signal.SIGCONT)
        self.assertEqual(answer.status, 503)
        self.assertIn("worker 1: ", answer.json["reason"])
        gateway.stop()
        self.assertNotIn("Traceback", gateway.output)

    def asked(self, place: str, before: bytes = b"") -> bytes:
        """The beginning of an answer over a Unix socket, or TCP."""
        parts = urlsplit(place)
        with socket.socket(socket.AF_INET if parts.hostname else socket.AF_UNIX) as client:
            client.settimeout(PATIENCE_S)
            client.connect((parts.hostname, parts.port) if parts.hostname else place)
            client.sendall(before + b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return client.recv(1000)

    def test_socket_of_systemd(self) -> None:
        """A socket that systemd hands over is served by each worker, and by those that are started later, too."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        gateway = self.gateway(
            storage=redis.unix,
            command=[sys.executable, "-c", SYSTEMD, *TWISTD],
            listen=("systemd:domain=INET:name=zaqar", "tcp:0:interface=127.0.0.1"),
        )
        for number, pid in workers_of(gateway.pid).items():
            self.http(gateway, number)
            os.kill(pid, signal.SIGKILL)
            self.replaced(gateway, number, pid)
            self.http(gateway, number)
        for secret in (redis.password, "p%40ss"):
            self.assertNotIn(secret, gateway.output)
        gateway.stop()

    def test_across(self) -> None:
        """What is posted through one worker is pushed, and awaited, at another; a durable subscription goes on there when its worker is killed;
        a webhook comes once."""
        gateway = self.gateway()
        receiver = Receiver()
        self.addCleanup(receiver.close)
        post, wait = self.http(gateway, 1), self.http(gateway, 2)
        plain, durable = self.socket(gateway, 2), self.socket(gateway, 2)
        for queue, subscriber in (("plain", plain), ("durable", durable)):
            more = {"durable": "phone", "start": "earliest"} if subscriber is durable else {}
            self.assertEqual(subscriber("subscription_create", queue_name=queue, ttl=300, **more).status, 201)
        self.assertEqual(post("POST", "/v2/queues/hook/subscriptions", {"subscriber": receiver.url}).status, 201)
        for queue in ("plain", "durable", "hook"):
            self.assertEqual(post.post(queue, {"to": queue}).status, 201)
        self.assertEqual(plain.pushed()["body"], {"to": "plain"})
        self.assertEqual(durable.pushed()["body"], {"to": "durable"})
        answers = []
        thread = threading.Thread(target=lambda: answers.append(wait("POST", "/v2/queues/late/claims?wait=20")), daemon=True)
        thread.start()
        self.assertEqual(post.post("late", "x").status, 201)
        thread.join(PATIENCE_S)
        self.assertEqual([message["body"] for message in answers[0].json["messages"]], ["x"])
        pid = workers_of(gateway.pid)[2]
        os.kill(pid, signal.SIGKILL)
        again = self.socket(gateway, 1)
        resumed = again("subscription_create", queue_name="durable", ttl=300, durable="phone")
        self.assertEqual((resumed.status, resumed.body["live"]["resumed"]), (201, True))
        pushed = again.pushed()
        self.assertEqual((pushed["body"], pushed["redelivered"]), ({"to": "durable"}, True))
        self.replaced(gateway, 2, pid)
        other = self.http(gateway, 2)
        for number in range(20):
            self.assertEqual((post, other)[number % 2].post("hook", {"to": number}).status, 201)
        found = receiver.reach(lambda hooks: len({str(hook.json["body"]["to"]) for hook in hooks}) >= 21, PATIENCE_S)
        hooks = [str(hook.json["body"]["to"]) for hook in found]
        # The first may come again: the worker that was killed may have had it delivered and not noted yet.
        self.assertIn(hooks.count("hook"), (1, 2))
        self.assertCountEqual([to for to in hooks if to != "hook"], [*map(str, range(20))])
        gateway.stop()

    def test_rates(self) -> None:
        """A rate holds for all workers together."""
        gateway = self.gateway(settings={"RATES_REQUESTS_PER_S": "1", "RATES_REQUESTS_BURST": "100"})
        https = [self.http(gateway, number) for number in (1, 2)]
        began, taken, refused = time.monotonic(), 2, 0
        while refused < 5:
            status = https[(taken + refused) % 2]("GET", "/v2/queues").status
            self.assertIn(status, (200, 429))
            taken, refused = (taken + 1, refused) if status == 200 else (taken, refused + 1)
        # Each may have drawn a tenth of the burst that it makes up for later, or holds what the other one lacks.
        self.assertLessEqual(taken, 100 + 2 * 10 + (time.monotonic() - began) + 5)
        self.assertGreaterEqual(taken, 100 - 2 * 10)
        gateway.stop()


class EndingTests(WorkersTestCase, CrashTestCase):
    """Where processes end."""

    def test_worker_killed(self) -> None:
        """A worker that is killed under load is started again, while the other one serves; nothing that was acknowledged is lost."""
        gateway = self.gateway()
        load = Load()
        with load.on(gateway):
            load.reach(load.count + 200)
            pids = workers_of(gateway.pid)
            os.kill(pids[1], signal.SIGKILL)
            with closing(Http(gateway.http, PROJECT, timeout_s=PATIENCE_S)) as http:
                self.assertEqual(http.post("meanwhile", 1).status, 201)
        self.replaced(gateway, 1, pids[1])
        self.assertIn(f"worker 1 (process {pids[1]}) ended with signal 9; it is started again\n", gateway.output)
        self.assertEqual(gateway.output.count(" ended with "), 1)
        self.assertEqual(workers_of(gateway.pid)[2], pids[2])
        self.http(gateway, 1)
        self.check_kept(load, gateway)
        self.assertEqual([producer.refusals for producer in load.producers], [[]] * len(load.producers))
        gateway.stop()

    def test_worker_stopped(self) -> None:
        """SIGTERM ends one worker in good order, its sockets with 1001, and another one takes its place; others notice nothing.  What a
        terminal sends is not for workers."""
        gateway = self.gateway()
        pids = workers_of(gateway.pid)
        sockets = [self.socket(gateway, number) for number in (1, 2)]
        for pid in pids.values():
            os.kill(pid, signal.SIGINT)
            os.kill(pid, signal.SIGHUP)
        for each in sockets:
            self.assertEqual(each("queue_list").status, 200)
        os.kill(pids[2], signal.SIGTERM)
        self.assertEqual(sockets[1].close_code(), 1001)
        self.replaced(gateway, 2, pids[2])
        self.assertIn(f"worker 2 (process {pids[2]}) ended with status 0; it is started again\n", gateway.output)
        self.assertEqual(sockets[0]("queue_list").status, 200)
        sockets[1].connection.shutdown()
        sockets[0].close()
        gateway.stop()

    def test_worker_hangs(self) -> None:
        """A worker that answers its keeper no more is killed, and replaced; one that answers is left."""
        gateway = self.gateway()
        pids = workers_of(gateway.pid)
        os.kill(pids[2], signal.SIGSTOP)
        self.replaced(gateway, 2, pids[2])
        self.assertIn(f"worker 2, process {pids[2]} has not answered for 30 s and is killed\n", gateway.output)
        self.assertEqual(workers_of(gateway.pid)[1], pids[1])
        gateway.stop()

    def test_keeper_stopped(self) -> None:
        """SIGTERM of the keeper: each worker answers what is under way and closes its sockets with 1001, and nothing is left."""
        gateway = self.gateway()
        pids = [*children(gateway.pid)]
        content = json.dumps({"messages": [{"body": "late"}]}).encode()
        head = (
            "POST /v2/queues/late/messages HTTP/1.1\r\nHost: localhost\r\nX-Project-ID: workers\r\n"
            f"Client-ID: {CLIENT}\r\nContent-Length: {len(content)}\r\nExpect: 100-continue\r\n\r\n"
        ).encode()
        parts = urlsplit(gateway.http)
        clients, sockets = [], []
        for number in (1, 2):
            sockets.append(self.socket(gateway, number))
            with self.only(gateway, number):
                client = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
                self.addCleanup(client.close)
                clients.append(client)
                client.sendall(head)
                self.assertIn(b"100 Continue", client.recv(1000))
                client.sendall(content[:10])
        gateway.signal(signal.SIGTERM)
        for each in sockets:
            self.assertEqual(each.close_code(), 1001)
            each.connection.shutdown()
        until(lambda: not listens(gateway.http), PATIENCE_S, "the listener closes")
        for client in clients:
            client.sendall(content[10:])
            answer = b""
            while part := client.recv(10000):
                answer += part
            self.assertTrue(answer.startswith(b"HTTP/1.1 201 "), answer)
        gateway.ends_well(within_s=PATIENCE_S)
        self.check_gone(*pids)
        self.assertNotIn("is started again", gateway.output)

    def test_keeper_killed(self) -> None:
        """SIGKILL of the keeper: the workers end in good order, and so does the Redis; the next gateway takes the same places."""
        directory = new_directory()
        path = directory / "s"
        gateway = self.gateway("--http", f"unix:{path}")
        pids = [*children(gateway.pid)]
        self.assertEqual(len(pids), 3)
        each = self.socket(gateway, 1)
        self.assertEqual(self.http(gateway, 2).post("kept", 1).status, 201)
        gateway.kill()
        self.assertEqual(each.close_code(), 1001)
        each.connection.shutdown()
        self.check_gone(*pids)
        self.assertFalse(listens(gateway.http))
        again = self.gateway("--http", f"unix:{path}", data_dir=gateway.data_dir)
        with closing(Http(again.http, PROJECT)) as http:
            self.assertEqual(http.all_messages("kept"), [1])
        again.stop()

    def test_keeper_killed_at_start(self) -> None:
        """So it is where the workers have only begun to start."""
        directory = new_directory()
        process = Process([*TWISTD, *LISTENERS, "--workers", "2", "--data-dir", str(directory)], environment(), directory)
        self.addCleanup(process.kill)
        until(lambda: len(workers_of(process.pid)) == 2, PATIENCE_S, "workers")
        pids = [*children(process.pid)]
        self.addCleanup(self.end_all, {*pids})
        process.kill()
        self.check_gone(*pids)
        self.assertNotIn("is ready.\n", process.output)

    def test_keeper_killed_beside_one_that_hangs(self) -> None:
        """A worker that hangs when its keeper is killed does not stay either, once it goes on."""
        gateway = self.gateway()
        pids = workers_of(gateway.pid)
        with self.only(gateway, 1):
            gateway.kill()
            self.check_gone(pids[1])
        self.check_gone(pids[2])

    def test_hangup(self) -> None:
        """SIGHUP goes to all workers: new connections get the new certificate, and the audit log is opened again."""
        directory = new_directory()
        authority = Authority()
        trust = ssl.create_default_context(cadata=authority.certificate.decode())

        def files(name: str) -> dict[str, str]:
            certificate, key = authority.issue(name, "127.0.0.1")
            return write(directory, cert=certificate, key=key)

        audit = directory / "audit"
        paths = files("first")
        gateway = self.gateway(
            listen=("tcp:0:interface=127.0.0.1", "tls:0:interface=127.0.0.1"),
            settings={"TLS_CERTIFICATE_FILE": paths["cert"], "TLS_PRIVATE_KEY_FILE": paths["key"], "LOG_AUDIT_FILE": str(audit)},
        )
        https = [self.http(gateway, number) for number in (1, 2)]
        for http in https:
            self.assertEqual(http("PUT", "/v2/queues/q").status, 201 if http is https[0] else 204)
        self.assertEqual(len(audit.read_text().splitlines()), 2)
        audit.rename(directory / "audit.1")
        files("second")
        gateway.signal(signal.SIGHUP)
        for number in (1, 2):
            gateway.wait_for(f"worker {number}: the TLS certificate is that of CN=second", PATIENCE_S)
            with self.only(gateway, number), closing(Socket(gateway.websocket, PROJECT, tls=trust)) as worker:
                shown = worker.connection.sock.getpeercert()  # type: ignore[union-attr]
                self.assertIn("second", str(shown["subject"]))
        for http in https:
            self.assertEqual(http("DELETE", "/v2/queues/q").status, 204)
        self.assertEqual(len(audit.read_text().splitlines()), 2)
        gateway.stop()

    def interrupted(self, when: bytes) -> bytes:
        """What is said in a terminal in which Ctrl-C is pressed once something was said."""
        directory = new_directory()
        command = [*CONSOLE, "run", *LISTENERS, "--workers", "2", "--data-dir", str(directory / "data")]
        pid, terminal = pty.fork()
        if not pid:
            try:
                os.execve(command[0], command, environment())
            finally:
                os._exit(127)
        self.addCleanup(os.close, terminal)
        self.addCleanup(self.end_all, {pid})
        said = bytearray()

        def read() -> None:
            with contextlib.suppress(OSError):  # of Linux, when nobody has the terminal any more
                while part := os.read(terminal, 65536):
                    said.extend(part)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        until(lambda: when in said and len(children(pid)) == 3, PATIENCE_S, "it has come so far")
        pids = [*children(pid)]
        self.addCleanup(self.end_all, {*pids})
        os.write(terminal, b"\x03")
        until(lambda: not exists(pid), PATIENCE_S, "the end")
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), -signal.SIGINT)
        self.check_gone(*pids)
        reader.join(PATIENCE_S)
        return bytes(said)

    def test_interrupted(self) -> None:
        """Ctrl-C in a terminal, which all processes get, ends all of them in good order, be it when they serve or just begin."""
        for when in (b"2 workers serve", b"Shared starting"):
            said = self.interrupted(when)
            for trouble in (b"Traceback", b"critical", b"is started again", b"ended with"):
                self.assertNotIn(trouble, said)
            self.assertEqual(said.count(b"Received SIGINT"), 1)


class FailingTests(WorkersTestCase):
    """Starts that fail."""

    def failed(self, *arguments: str, settings: dict[str, str] | None = None, environ: dict[str, str] | None = None) -> Process:
        """One that has ended, with 1."""
        directory = new_directory()
        extra = {f"ZAQAR_GATEWAY_{name}": value for name, value in (settings or {}).items()}
        self.data = directory / "data"
        process = Process(
            [*TWISTD, *LISTENERS, "--data-dir", str(self.data), "--workers", "2", *arguments],
            environment({**extra, **(environ or {})}),
            directory,
        )
        self.addCleanup(process.kill)
        self.assertEqual(process.end(PATIENCE_S), 1, process.output)
        self.assertEqual(process.output.count("cannot start: "), 1, process.output)
        self.assertNotIn("Traceback", process.output)
        return process

    def redis_pid(self) -> int:
        """The process of the Redis that there was."""
        return int((self.data / "redis.lock").read_text())

    def test_policy(self) -> None:
        """A policy file that cannot be used is told, and nothing is started."""
        path = new_directory() / "policy.yaml"
        path.write_text('"queues:create": "role:"\n')
        process = self.failed(settings={"OSLO_POLICY_POLICY_FILE": str(path)})
        self.assertIn(f"zaqar-gateway cannot start: {path}, line 1: queues:create", process.output)
        self.assertFalse(self.data.exists())

    def test_files(self) -> None:
        """So are an audit log that cannot be opened, and a certificate."""
        path = new_directory() / "nowhere" / "file"
        for settings in (
            {"LOG_AUDIT_FILE": str(path)},
            {"TLS_CERTIFICATE_FILE": str(path), "LISTEN_HTTP": "tls:0"},
        ):
            arguments = ["--http", "tls:0:interface=127.0.0.1"] if "LISTEN_HTTP" in settings else []
            self.assertIn(str(path), self.failed(*arguments, settings=settings).output)
            self.assertFalse(self.data.exists())

    def test_port(self) -> None:
        """A port that is taken is told, and Redis ends."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            process = self.failed("--http", f"tcp:{port}:interface=127.0.0.1")
        self.assertIn(f"Couldn't listen on 127.0.0.1:{port}", process.output)
        self.check_gone(self.redis_pid())

    def test_worker(self) -> None:
        """Where the workers themselves cannot start, why is told, what they have written is there, and nothing is left."""
        place = new_directory()
        (place / "sitecustomize.py").write_text(
            "import os, sys\nif 'zaqar-gateway worker' in sys.orig_argv[-1]:\n    os.write(2, b'no luck\\n')\n    os._exit(3)\n"
        )
        path = os.pathsep.join([str(place), environment().get("PYTHONPATH", "")])
        process = self.failed(environ={"PYTHONPATH": path})
        self.assertRegex(process.output, r"zaqar-gateway cannot start: worker (1|2) \(process \d+\) ended with status 3 before it served")
        self.assertRegex(process.output, "worker (1|2): no luck")
        self.check_gone(self.redis_pid())

    def test_memory(self) -> None:
        """What is in the memory of one process is not for several."""
        process = Process([*TWISTD, *LISTENERS, "--workers", "2", "--storage", "memory:"], environment(), new_directory())
        self.assertEqual(process.end(PATIENCE_S), 1)
        self.assertIn("[listen] workers is 2; it has to be 1 where [storage] uri is memory:", process.output)
