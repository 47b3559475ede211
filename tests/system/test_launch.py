"""Starting a gateway in all ways that README names, what it says then, and how it ends."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

import zaqar_gateway
from tests.programs import program
from tests.system.gateway import (
    ANSWER_S,
    CLIENT,
    CONSOLE,
    START_S,
    STOP_S,
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

LISTENERS = ["--http", "tcp:0:interface=127.0.0.1", "--websocket", "tcp:0:interface=127.0.0.1"]

SYSTEMD = """
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
os.dup2(os.dup(listener.detach()), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="zaqar")
os.execv(sys.argv[1], sys.argv[1:])
"""
"""What systemd does for a service that a socket unit starts (sd_listen_fds(3))."""


def listens(url: str) -> bool:
    """Whether anybody takes connections there."""
    parts = urlsplit(url)
    try:
        socket.create_connection((parts.hostname, parts.port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


class LaunchTestCase(SynchronousTestCase):
    """What starts processes, and ends those that a failed test leaves behind."""

    def gateway(self, *arguments: str, **options: object) -> Gateway:
        """A gateway that is ready."""
        return self.watched(Gateway(*arguments, **options))  # type: ignore[arg-type]

    def watched(self, gateway: Gateway) -> Gateway:
        """The same gateway, ended with the test at the latest."""
        self.addCleanup(gateway.kill)
        return gateway

    def console(self, *words: str, settings: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run the console script to its end."""
        return subprocess.run(
            [*CONSOLE, *words],
            env=environment(settings),
            cwd=new_directory(),
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )

    def check_serves(self, gateway: Gateway) -> None:
        """What is posted on one transport is claimed on the other."""
        with closing(Http(gateway.http, "launch")) as http, closing(Socket(gateway.websocket, "launch")) as worker:
            self.assertEqual(http.post("work", {"task": 1}).status, 201)
            claim = worker("claim_create", queue_name="work")
            self.assertEqual((claim.status, claim.body["messages"][0]["body"]), (201, {"task": 1}))


class EmbeddedTests(LaunchTestCase):
    def test_no_configuration(self) -> None:
        """With nothing but places to listen and to keep data, a gateway serves both transports from its own Redis."""
        gateway = self.gateway()
        self.check_serves(gateway)
        self.assertIn(f"data in {gateway.data_dir}", gateway.output)
        gateway.stop()

    def test_default_data_directory(self) -> None:
        """Without a data directory the one of the user is taken."""
        home = new_directory()
        process = Process(
            [*TWISTD, *LISTENERS], environment({"HOME": str(home), "XDG_DATA_HOME": str(home / "xdg")}), home
        )
        self.addCleanup(process.kill)
        process.wait_for("is ready", START_S)
        process.signal(signal.SIGTERM)
        self.assertIn(process.end(), (0, -signal.SIGTERM))
        self.assertTrue((home / "xdg" / "zaqar-gateway").is_dir())

    def test_first_request_of_the_banner(self) -> None:
        """The request that the banner shows can be copied into a shell as it is."""
        program("curl")
        gateway = self.gateway()
        line = gateway.wait_for(r"^  (curl .*)$", ANSWER_S)[1].splitlines()[0]
        shown = subprocess.run(["bash", "-ec", line], capture_output=True, text=True, timeout=ANSWER_S, check=False)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("201 Created", shown.stdout)
        with closing(Http(gateway.http, "demo")) as http:
            self.assertEqual(http.all_messages("hello"), ["Hello"])
        gateway.stop()

    def test_websocket_on_the_port_of_http(self) -> None:
        """A WebSocket opens on the HTTP port by upgrade too."""
        gateway = self.gateway(storage="memory:")
        with closing(Socket(gateway.http, "launch")) as upgraded:
            self.assertEqual(upgraded("queue_list").body, {"queues": []})
        gateway.stop()

    def test_show(self) -> None:
        """--show makes requests of both transports, and says in the end that it works."""
        gateway = self.gateway("--show")
        gateway.wait_for(r"^It works\.", START_S)
        said = gateway.output
        for part in ("POST /v2/queues/", "claim_create", "DELETE /v2/queues/", "    201 ", "    204 "):
            self.assertIn(part, said)
        gateway.stop()

    def test_show_refused(self) -> None:
        """Where what is to be shown is refused that is said, and the gateway serves."""
        policy = new_directory() / "policy.yaml"
        policy.write_text('"claims:create": "role:admin"\n', "utf-8")
        gateway = self.gateway("--show", settings={"OSLO_POLICY_POLICY_FILE": str(policy)})
        gateway.wait_for(r"^That is as far as it goes: claim_create was answered with 403\. The gateway serves", START_S)
        with closing(Http(gateway.http, "launch")) as http:
            self.assertEqual(http.post("work", {"task": 1}).status, 201)
        gateway.stop()

    def test_data_survive_a_restart(self) -> None:
        """Messages, metadata and claims are there again after SIGTERM and another start on the same directory."""
        first = self.gateway()
        with closing(Http(first.http, "launch")) as http:
            http("PUT", "/v2/queues/kept", {"colour": "blue"})
            http.post("kept", *range(5))
            claim = http("POST", "/v2/queues/kept/claims?limit=2", {"ttl": 300, "grace": 60})
        first.stop()
        second = self.gateway(data_dir=first.data_dir)
        with closing(Http(second.http, "launch")) as http:
            self.assertEqual(http("GET", "/v2/queues/kept").json["colour"], "blue")
            self.assertEqual(http.all_messages("kept"), [0, 1, 2, 3, 4])
            held = http("GET", claim.headers["Location"]).json["messages"]
            self.assertEqual([message["body"] for message in held], [0, 1])
            stats = http("GET", "/v2/queues/kept/stats").json["messages"]
            self.assertEqual((stats["claimed"], stats["free"]), (2, 3))
        second.stop()

    def test_encrypted_bodies_survive_a_restart(self) -> None:
        """Without a key one is made, of which the log tells, and which later starts find with the data; once a key is
        configured, what the other one encrypted is still read.  The files of Redis hold nothing of the bodies."""
        first = self.gateway()
        with closing(Http(first.http, "launch")) as http:
            http("PUT", "/v2/queues/kept", {"_enable_encrypt_messages": True})
            self.assertNotIn("made a random key", first.output)
            self.assertEqual(http.post("kept", "first secret").status, 201)
        first.stop()
        self.assertIn("there is no message_encryption_key", first.output)
        self.assertIn("made a random key", first.output)
        second = self.gateway(data_dir=first.data_dir)
        with closing(Http(second.http, "launch")) as http:
            self.assertEqual(http.post("kept", "second secret").status, 201)
            self.assertEqual(http.all_messages("kept"), ["first secret", "second secret"])
        second.stop()
        self.assertNotIn("made a random key", second.output)
        key = {"TRANSPORT_MESSAGE_ENCRYPTION_KEY": "a passphrase"}
        third = self.gateway(data_dir=first.data_dir, settings=key)
        with closing(Http(third.http, "launch")) as http:
            self.assertEqual(http.post("kept", "third secret").status, 201)
            self.assertEqual(http.all_messages("kept"), ["first secret", "second secret", "third secret"])
        third.stop()
        for secret in ("message_encryption_key", "a passphrase"):
            self.assertNotIn(secret, third.output)
        files = [path.read_bytes() for path in first.data_dir.rglob("*") if path.is_file()]
        self.assertTrue(any(b"_enable_encrypt_messages" in content for content in files))
        for content in files:
            self.assertNotIn(b" secret", content)

    def test_second_gateway_on_a_directory(self) -> None:
        """The second gateway on a data directory says why it refuses and ends with 1; the first goes on."""
        first = self.gateway()
        second = Process([*TWISTD, *LISTENERS, "--data-dir", str(first.data_dir)], environment(), first.data_dir)
        self.assertEqual(second.end(START_S), 1)
        self.assertIn("zaqar-gateway cannot start", second.output)
        self.assertEqual(second.output.count(f"{first.data_dir} is in use by another gateway (process {first.pid})"), 1, second.output)
        self.assertEqual(second.output.count("#critical]"), 1)
        self.assertNotIn("Traceback", second.output)
        self.check_serves(first)
        first.stop()

    def test_port_in_use(self) -> None:
        """A port that is taken is named, and the process ends with 1; its Redis ends with it."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            directory = new_directory()
            process = Process(
                [*TWISTD, "--http", f"tcp:{port}:interface=127.0.0.1", "--data-dir", str(directory)],
                environment(),
                directory,
            )
            self.assertEqual(process.end(START_S), 1)
        self.assertIn(str(port), process.wait_for("cannot start.*$", 0.1)[0])
        self.assertNotIn("Traceback", process.output)
        redis_pid = int((directory / "redis.lock").read_text())
        until(lambda: not Path(f"/proc/{redis_pid}/exe").exists(), STOP_S, "the end of Redis")


    def test_port_in_use_of_a_daemon(self) -> None:
        """A daemon has nobody to tell but its log; it leaves no number of a process behind."""
        directory = new_directory()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = subprocess.run(
                [
                    *(word for word in TWISTD if word not in ("-n", "--nodaemon", "--pidfile=", "zaqar-gateway")),
                    *("--logfile", "log", "--pidfile", "pid", "zaqar-gateway"),
                    *("--http", f"tcp:{port}:interface=127.0.0.1", "--storage", "memory:"),
                ],
                env=environment(),
                cwd=directory,
                timeout=START_S,
            )
            self.assertEqual(done.returncode, 0)  # twistd's, of the process that left the daemon behind
            log = directory / "log"
            until(lambda: log.exists() and "cannot start" in log.read_text(), START_S, "the reason")
            self.assertRegex(log.read_text(), rf"zaqar-gateway cannot start: Couldn't listen on 127.0.0.1:{port}.*listen\.http")
            until(lambda: not (directory / "pid").exists(), START_S, "the end")

    def test_no_place_to_listen(self) -> None:
        """A place where nobody can listen is named with its setting."""
        directory = new_directory()
        endpoint = f"unix:{directory}/none/socket"
        process = Process([*TWISTD, "--http", endpoint, "--storage", "memory:"], environment(), directory)
        self.assertEqual(process.end(START_S), 1)
        self.assertIn(f"cannot start: Couldn't listen there: No such file or directory. Another endpoint for '{endpoint}'", process.output)
        self.assertIn("by listen.http or --http", process.output)
        self.assertNotIn("Traceback", process.output)

    def test_unix_socket_of_a_killed_gateway(self) -> None:
        """After SIGKILL a gateway listens on the same Unix socket again, be there a process with the old number or not; a
        second one beside it says which socket is in use, and by whom."""
        directory = new_directory()
        path = directory / "socket"
        command = [*TWISTD, "--http", f"unix:{path}", "--websocket", "tcp:0:interface=127.0.0.1", "--storage", "memory:"]
        for other_pid in (0, 1, os.getpid()):
            process = Process(command, environment(), directory)
            self.addCleanup(process.kill)
            process.wait_for("is ready", START_S)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(ANSWER_S)
                client.connect(str(path))
                client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assertTrue(client.recv(1000).startswith(b"HTTP/1.1 300 "))
            second = Process(command, environment(), directory)
            self.assertEqual(second.end(START_S), 1)
            self.assertIn(
                f"cannot start: Couldn't listen there: somebody listens at {path} already (process {process.pid}, says {path}.lock).",
                second.output,
            )
            self.assertNotIn("Traceback", second.output)
            process.kill()
            self.assertTrue(path.is_socket())
            if other_pid:
                Path(f"{path}.lock").unlink()
                Path(f"{path}.lock").symlink_to(str(other_pid))

    def test_file_in_place_of_a_socket(self) -> None:
        """A file that is no socket stays where it is, and is told."""
        directory = new_directory()
        path = directory / "socket"
        path.write_text("kept", "utf-8")
        process = Process([*TWISTD, "--http", f"unix:{path}", "--storage", "memory:"], environment(), directory)
        self.assertEqual(process.end(START_S), 1)
        self.assertIn(f"cannot start: Couldn't listen there: {path} is there, and is no socket. Another endpoint", process.output)
        self.assertEqual(path.read_text("utf-8"), "kept")

    def test_directory_of_a_socket_that_is_locked(self) -> None:
        """Where another process would not let it look at the sockets of a directory alone, it listens all the same in the end, and says so."""
        directory = new_directory()
        held = os.open(directory, os.O_RDONLY)
        self.addCleanup(os.close, held)
        fcntl.flock(held, fcntl.LOCK_EX)
        command = [*TWISTD, "--http", f"unix:{directory}/socket", "--websocket", "tcp:0:interface=127.0.0.1", "--storage", "memory:"]
        process = Process(command, environment(), directory)
        self.addCleanup(process.kill)
        process.wait_for("another process keeps a lock on the directory of unix:.*/socket; it is listened there all the same", START_S)
        process.wait_for("is ready", START_S)
        process.signal(signal.SIGTERM)
        self.assertIn(process.end(), (0, -signal.SIGTERM))

    def test_sockets_of_systemd(self) -> None:
        """A socket that systemd hands over is listened on; where it has handed over none, that is told."""
        directory = new_directory()
        endpoint = "systemd:domain=INET:name=zaqar"
        command = [*TWISTD, "--http", endpoint, "--websocket", "tcp:0:interface=127.0.0.1", "--storage", "memory:"]
        process = Process(command, environment(), directory)
        self.assertEqual(process.end(START_S), 1)
        self.assertIn(
            "cannot start: Couldn't listen there: systemd has not handed over such a socket (it does where a socket unit starts the"
            f" service). Another endpoint for '{endpoint}' has to be given, by listen.http or --http.",
            process.output,
        )
        self.assertNotIn("Traceback", process.output)
        process = Process([sys.executable, "-c", SYSTEMD, *command], environment(), directory)
        self.addCleanup(process.kill)
        url = process.wait_for(r"HTTP and WebSocket on (http://\S+)/$", START_S)[1]
        with closing(Http(url, "launch")) as http:
            self.assertEqual(http("GET", "/v2/queues").status, 200)

    def test_no_redis(self) -> None:
        """What answers there and is no Redis is told in one line; the gateway goes on trying."""
        with socket.create_server(("127.0.0.1", 0)) as other:

            def answer() -> None:
                while True:
                    try:
                        connection, _ = other.accept()
                    except OSError:
                        return
                    with connection:
                        connection.recv(65536)
                        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            threading.Thread(target=answer, daemon=True).start()
            gateway = self.gateway(storage=f"redis://127.0.0.1:{other.getsockname()[1]}")
            gateway.wait_for("Redis cannot be used, and is tried again: What answers does not speak the protocol of Redis", START_S)
            with closing(Http(gateway.http, "launch")) as http:
                self.assertEqual(http.post("q", "x").status, 503)
            gateway.stop()
            other.shutdown(socket.SHUT_RDWR)
        self.assertNotIn("Traceback", gateway.output)


class StorageTests(LaunchTestCase):
    def test_memory(self) -> None:
        """memory: needs no Redis, and forgets."""
        gateway = self.gateway(storage="memory:")
        self.check_serves(gateway)
        self.assertIn("memory of this process", gateway.output)
        self.assertNotIn("redis-server", gateway.output)
        gateway.stop()

    def test_well_known_key(self) -> None:
        """The passphrase that everybody knows is warned of."""
        gateway = self.gateway(storage="memory:", settings={"TRANSPORT_MESSAGE_ENCRYPTION_KEY": "AES256"})
        self.check_serves(gateway)
        gateway.stop()
        self.assertIn("message_encryption_key is the well-known default", gateway.output)

    def test_external_redis(self) -> None:
        """A Redis of one's own is reached over TCP and over a Unix socket, with its password, which is never shown."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        for number, uri in enumerate((redis.tcp, redis.unix)):
            gateway = self.gateway(storage=uri)
            with closing(Http(gateway.http, "launch")) as http:
                self.assertEqual(http.post("shared", number).status, 201)
                self.assertEqual(http.all_messages("shared"), list(range(number + 1)))
            gateway.stop()
            for secret in (redis.password, "p%40ss"):
                self.assertNotIn(secret, gateway.output)

    def test_key_space_and_database(self) -> None:
        """Two gateways on one Redis are apart by a key space or by the number of a database."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        for uri in (redis.tcp, f"{redis.tcp}/apart", f"{redis.tcp}?dbid=3"):
            gateway = self.gateway(storage=uri)
            with closing(Http(gateway.http, "launch")) as http:
                self.assertEqual(http("GET", "/v2/queues").json["queues"], [])
                self.assertEqual(http.post("mine", uri).status, 201)
            gateway.stop()

    def test_two_gateways_on_one_redis(self) -> None:
        """What one gateway acknowledged, another one on the same Redis hands out."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        one, other = self.gateway(storage=redis.unix), self.gateway(storage=redis.tcp)
        with closing(Http(one.http, "launch")) as here, closing(Http(other.http, "launch")) as there:
            here.post("shared", "x")
            claim = there("POST", "/v2/queues/shared/claims")
            self.assertEqual([message["body"] for message in claim.json["messages"]], ["x"])
            self.assertEqual(here("POST", "/v2/queues/shared/claims").status, 204)
        one.stop()
        other.stop()

    def test_wrong_password(self) -> None:
        """With a password that Redis refuses, requests get 503, and the log says why; once it is right, all works."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        gateway = self.gateway(storage=redis.tcp.replace("p%40ss%2Fword", "another"))
        with closing(Http(gateway.http, "launch")) as http:
            self.assertEqual(http.post("q", 1).status, 503)
            gateway.wait_for("(?i)WRONGPASS|password", ANSWER_S)
            redis.set_password("another")
            until(lambda: http.post("q", 1).status == 201, ANSWER_S, "posts succeed")
        gateway.stop()

    def test_no_redis_there(self) -> None:
        """Where no Redis answers yet, the gateway starts nevertheless, says so, and answers 503."""
        gateway = self.gateway(storage=f"unix://{new_directory()}/nothing.sock")
        self.assertIn("cannot be used yet", gateway.output)
        with closing(Http(gateway.http, "launch")) as http:
            answer = http.post("q", 1)
            self.assertEqual(answer.status, 503)
            self.assertIn("Retry-After", answer.headers)
        gateway.stop()


class ConsoleTests(LaunchTestCase):
    def test_run(self) -> None:
        """zaqar-gateway run serves like twistd."""
        gateway = self.gateway(command=[*CONSOLE, "run"])
        self.check_serves(gateway)
        gateway.stop()

    def test_run_ends_by_ctrl_c(self) -> None:
        """SIGINT ends it as SIGTERM does."""
        gateway = self.gateway(command=[*CONSOLE, "run"])
        gateway.stop(signal.SIGINT)

    def test_module(self) -> None:
        """python -m zaqar_gateway is the same script."""
        shown = subprocess.run(
            [sys.executable, "-m", "zaqar_gateway", "version"],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn(zaqar_gateway.__version__, shown.stdout)

    def test_version(self) -> None:
        """version names what the gateway runs on."""
        shown = self.console("version")
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for part in (f"zaqar-gateway {zaqar_gateway.__version__}", "Python 3", "Twisted "):
            self.assertIn(part, shown.stdout)
        self.assertRegex(shown.stdout, r"(Redis|Valkey) \d")

    def test_check_config(self) -> None:
        """check-config prints what is in effect, which is a file that check-config accepts."""
        path = new_directory() / "gateway.toml"
        path.write_text(
            '[transport]\nmax_messages_per_page = 7\n[storage]\nuri = "redis://:s3cr3t@example.org"\n'
            '[signed_url]\nsecret_key = "s3cr3t-1"\nprevious_keys = ["s3cr3t-2"]\n'
        )
        shown = self.console("check-config", "--config", str(path))
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("max_messages_per_page = 7", shown.stdout)
        self.assertIn('secret_key = "***"\n', shown.stdout)
        self.assertNotIn("s3cr3t", shown.stdout)

    def test_sample(self) -> None:
        """The sample file is a right configuration, with and without its comment signs."""
        sample = self.console("check-config", "--sample").stdout
        path = new_directory() / "gateway.toml"
        for text in (sample, re.sub(r"^#(?=\w+ = )", "", sample.partition("# Spellings")[0], flags=re.MULTILINE)):
            path.write_text(text)
            checked = self.console("check-config", "--config", str(path))
            self.assertEqual(checked.returncode, 0, checked.stderr)

    def test_unknown_setting(self) -> None:
        """An unknown setting ends the start with another status than 0, and file and key are named."""
        path = new_directory() / "gateway.toml"
        path.write_text("[transport]\nmax_mesages_per_page = 7\n")
        checked = self.console("check-config", "--config", str(path))
        self.assertNotEqual(checked.returncode, 0)
        for command in ([*CONSOLE, "run"], TWISTD):
            process = Process(
                [*command, *LISTENERS, "--storage", "memory:", "--config", str(path)], environment(), path.parent
            )
            self.assertNotEqual(process.end(START_S), 0)
            for part in (str(path), "max_mesages_per_page", "max_messages_per_page"):
                self.assertIn(part, process.output)
            self.assertNotIn("Traceback", process.output)

    def test_ill_typed_setting(self) -> None:
        """A value of a wrong type is refused with its place and the accepted form, from the environment too."""
        for settings, key in (
            (
                {"ZAQAR_GATEWAY_TRANSPORT_MAX_MESSAGES_PER_PAGE": "many"},
                "ZAQAR_GATEWAY_TRANSPORT_MAX_MESSAGES_PER_PAGE",
            ),
            ({"ZAQAR_GATEWAY_STORAGE_URI": "mongodb://x"}, "ZAQAR_GATEWAY_STORAGE_URI"),
            ({"ZAQAR_GATEWAY_NO_SUCH_THING": "1"}, "ZAQAR_GATEWAY_NO_SUCH_THING"),
        ):
            process = Process([*TWISTD, *LISTENERS], environment(settings), new_directory())
            self.assertNotEqual(process.end(START_S), 0)
            self.assertIn(key, process.output)
            self.assertNotIn("Traceback", process.output)


def _writer(pipe: Path) -> BinaryIO:
    """The end of a pipe to write to, as soon as somebody reads from it."""
    found: list[BinaryIO] = []

    def opens() -> bool:
        try:
            found.append(os.fdopen(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK), "wb"))
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        return bool(found)

    until(opens, START_S, f"somebody reads from {pipe}")
    return found[0]


class EarlyTests(LaunchTestCase):
    """Signals that come while a gateway starts, which a pipe holds up: it goes on when something was written there."""

    RUN = [*CONSOLE, "run", *LISTENERS, "--storage", "memory:"]

    def held_up(self, *arguments: str, pipe: Path, environ: dict[str, str] | None = None) -> tuple[Process, BinaryIO]:
        """A gateway that reads from a pipe, and the other end of that."""
        process = Process([*self.RUN, *arguments], environment(environ), pipe.parent)
        self.addCleanup(process.kill)
        writer = _writer(pipe)
        self.addCleanup(writer.close)
        return process, writer

    def by_settings(self) -> tuple[Process, BinaryIO]:
        """One that reads its settings."""
        pipe = new_directory() / "gateway.toml"
        os.mkfifo(pipe)
        return self.held_up("--config", str(pipe), pipe=pipe)

    def test_hangup(self) -> None:
        """SIGHUP leaves a gateway that starts alone: what it would read again it is just reading."""
        process, pipe = self.by_settings()
        process.signal(signal.SIGHUP)
        pipe.close()
        process.wait_for("is ready", START_S)
        process.signal(signal.SIGHUP)
        process.wait_for("SIGHUP: certificates are read again", ANSWER_S)
        process.signal(signal.SIGTERM)
        self.assertIn(process.end(), (0, -signal.SIGTERM))

    def test_terminal_gone(self) -> None:
        """SIGHUP ends it where the terminal is gone that it was started from."""
        pipe = new_directory() / "gateway.toml"
        os.mkfifo(pipe)
        pid, terminal = pty.fork()
        if not pid:
            try:
                os.execve(self.RUN[0], [*self.RUN, "--config", str(pipe)], environment())
            finally:
                os._exit(127)
        ended: list[int] = []

        def has_ended() -> bool:
            ended.extend(os.waitpid(pid, os.WNOHANG))
            return ended[-2] == pid

        with _writer(pipe):
            os.close(terminal)
        # Who reads sees a signal that came just before only when there is something, which the end of the pipe is, too.
        until(has_ended, ANSWER_S, "it has ended")
        self.assertEqual(os.waitstatus_to_exitcode(ended[-1]), -signal.SIGHUP)

    def test_interrupt(self) -> None:
        """SIGINT and SIGTERM just end it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            process, _ = self.by_settings()
            process.signal(number)
            self.assertEqual((process.end(), process.output), (-number, ""))

    def test_interrupt_of_plugins(self) -> None:
        """So it is while Twisted looks for plug-ins, which takes what comes then for an error of one of them."""
        folder = new_directory() / "twisted" / "plugins"
        folder.mkdir(parents=True)
        pipe = folder / "pipe"
        os.mkfifo(pipe)
        (folder / "slow_plugin.py").write_text(f"open({str(pipe)!r}).read()\n", "utf-8")
        path = os.pathsep.join([str(folder.parents[1]), environment().get("PYTHONPATH", "")])
        process, _ = self.held_up(pipe=pipe, environ={"PYTHONPATH": path})
        process.signal(signal.SIGINT)
        self.assertEqual((process.end(), process.output), (-signal.SIGINT, ""))

    def test_interrupt_of_redis(self) -> None:
        """A Redis that was started, and is not ready, ends with it, in good order."""
        directory = new_directory()
        mute = directory / "redis-server"
        mute.write_text('#!/bin/sh\ncase "$1" in --version) echo Redis server v=7.0.0; exit;; esac\nexec sleep 600\n', "utf-8")
        mute.chmod(0o755)
        settings = {"ZAQAR_GATEWAY_STORAGE_REDIS_SERVER": str(mute)}
        data = directory / "data"
        process = Process([*CONSOLE, "run", *LISTENERS, "--data-dir", str(data)], environment(settings), directory)
        self.addCleanup(process.kill)
        lock = data / "redis.lock"
        until(lambda: lock.exists() and bool(lock.read_text()), START_S, "a Redis is started")
        pid = int(lock.read_text())
        process.signal(signal.SIGINT)
        self.assertEqual(process.end(), -signal.SIGINT)
        self.assertNotIn("Traceback", process.output)
        self.assertFalse(Path(f"/proc/{pid}/exe").exists())


class ShutdownTests(LaunchTestCase):
    def test_under_load(self) -> None:
        """SIGTERM during requests: each request that the gateway took is answered, and nothing acknowledged is lost."""
        gateway = self.gateway()
        posted: list[list[int]] = [[] for _ in range(4)]
        refused: list[str] = []
        enough = threading.Event()

        def produce(acknowledged: list[int], first: int) -> None:
            http = Http(gateway.http, "launch")
            number = first
            while True:
                try:
                    answer = http.post("load", number)
                except ConnectionRefusedError:
                    return  # no listener is left
                except (ConnectionError, OSError) as error:
                    # A connection that is idle may be closed just when a request is sent; that one was not taken.
                    if "Remote end closed" not in str(error) and not isinstance(error, ConnectionError):
                        refused.append(repr(error))
                    return
                if answer.status != 201:
                    refused.append(str(answer))
                    return
                acknowledged.append(number)
                number += 1
                if len(acknowledged) == 50:
                    enough.set()

        threads = [
            threading.Thread(target=produce, args=(acknowledged, 1_000_000 * number), daemon=True)
            for number, acknowledged in enumerate(posted)
        ]
        for thread in threads:
            thread.start()
        self.assertTrue(enough.wait(ANSWER_S))
        gateway.stop()
        for thread in threads:
            thread.join(ANSWER_S)
            self.assertFalse(thread.is_alive())
        self.assertEqual(refused, [])
        again = self.gateway(data_dir=gateway.data_dir)
        with closing(Http(again.http, "launch")) as http:
            stored = http.all_messages("load")
        for number, acknowledged in enumerate(posted):
            kept = [each for each in stored if each // 1_000_000 == number]
            # Effect and answer of the last one may have been apart by the end of the connection.
            self.assertEqual(kept[: len(acknowledged)], acknowledged)
            self.assertLessEqual(len(kept) - len(acknowledged), 1)
        again.stop()

    def test_request_in_flight(self) -> None:
        """A request whose body is still on its way when SIGTERM comes is answered, however often that comes."""
        gateway = self.gateway()
        content = json.dumps({"messages": [{"body": "late"}]}).encode()
        parts = urlsplit(gateway.http)
        with socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_S) as client:
            client.sendall(
                b"POST /v2/queues/late/messages HTTP/1.1\r\nHost: localhost\r\nX-Project-ID: launch\r\nClient-ID: "
                + f"{CLIENT}\r\nContent-Length: {len(content)}\r\nExpect: 100-continue\r\n\r\n".encode()
            )
            self.assertIn(b"100 Continue", client.recv(1000))
            client.sendall(content[:10])
            gateway.signal(signal.SIGTERM)
            until(lambda: not listens(gateway.http), STOP_S, "the listener closes")
            for number in (signal.SIGTERM, signal.SIGINT):
                gateway.signal(number)
            client.sendall(content[10:])
            answer = b""
            while part := client.recv(10000):
                answer += part
        self.assertTrue(answer.startswith(b"HTTP/1.1 201 "), answer)
        self.assertIn(b"connection: close", answer.lower())
        gateway.ends_well()

    def test_websockets(self) -> None:
        """SIGTERM: frames that were taken are answered, in order, and then the socket is closed with 1001."""
        gateway = self.gateway()
        sockets = [Socket(url, "launch") for url in (gateway.websocket, gateway.http)]
        for each in sockets:
            for number in range(20):
                each.send("message_post", {"queue_name": "late", "messages": [{"body": number}]})
            self.assertEqual(each.receive().status, 201)
        gateway.signal(signal.SIGTERM)
        for each in sockets:
            replies, code = [], 0
            while not code:
                opcode, payload = each.connection.recv_data()
                if opcode == 8:
                    code = int.from_bytes(payload[:2], "big")
                else:
                    replies.append(json.loads(payload))
            self.assertEqual(code, 1001)
            self.assertEqual([reply["headers"]["status"] for reply in replies], [201] * len(replies))
            each.connection.shutdown()
        gateway.ends_well()
        self.assertFalse(listens(gateway.http))
        self.assertFalse(listens(gateway.websocket))

    def test_idle_connections(self) -> None:
        """Connections that are open and idle do not hold up the end."""
        gateway = self.gateway()
        with closing(Http(gateway.http, "launch")) as http:
            self.assertEqual(http("GET", "/v2/queues").status, 200)
            gateway.signal(signal.SIGTERM)
            gateway.ends_well(within_s=14)  # who is waited for has 15 seconds

    def test_nothing_is_left(self) -> None:
        """After the end there is neither a listener nor a Redis."""
        gateway = self.gateway()
        redis_pid = gateway.redis_pid
        self.assertTrue(Path(f"/proc/{redis_pid}").exists())
        gateway.stop()
        self.assertFalse(Path(f"/proc/{redis_pid}").exists())
        self.assertFalse(listens(gateway.http) or listens(gateway.websocket))
