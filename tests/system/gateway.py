"""A gateway in a process of its own, and plain blocking ways to talk to it.

Nothing here waits by the clock: a gateway is ready when its banner says so, and has ended when its process has.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import uuid4

import websocket
from attrs import frozen
from twisted.trial.unittest import SkipTest, SynchronousTestCase

import zaqar_gateway
from bench.servers import free_port
from tests.programs import REDIS_SERVER, redis_server
from zaqar_gateway.config import ENVIRONMENT_PREFIX

ROOT = Path(__file__).resolve().parents[2]
CLIENT = "3381af92-2b9e-11e3-b191-71861300734c"

SECRET = "a secret for pre-signed URLs"
"""That of the gateway that tests share."""

START_S = 90.0
"""How long a gateway may take to be ready.  Machines that test are busy: this and the other two are for what hangs."""

STOP_S = 90.0
"""How long it may take to end after a signal."""

ANSWER_S = 90.0
"""How long an answer may take where a test does not say otherwise."""

_LOCAL = "tcp:0:interface=127.0.0.1"

_TROUBLE = re.compile(r"Traceback \(most recent call last\)|Unhandled|#critical\]")


def fixed_place() -> tuple[str, str]:
    """Where a gateway listens that another one is to follow: the port for HTTP stays its own when it has ended."""
    return f"tcp:{free_port()}:interface=127.0.0.1", _LOCAL


def new_directory() -> Path:
    """A new directory with a path so short that there is room for a socket in it; removed when the tests end."""
    made = Path(tempfile.mkdtemp(prefix="zg-", dir="/tmp"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a process of the gateway: no settings but those given, and the package that is tested."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    if Path(zaqar_gateway.__file__).resolve().is_relative_to(ROOT):
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environ.get("PYTHONPATH"))))
    if REDIS_SERVER:
        environ[f"{ENVIRONMENT_PREFIX}STORAGE_REDIS_SERVER"] = REDIS_SERVER
    return environ | dict(extra or {})


def program(name: str, fallback: str) -> list[str]:
    """The command for a script that stands next to this interpreter, or for what that script does."""
    path = Path(sys.executable).with_name(name)
    return [str(path)] if path.exists() else [sys.executable, "-c", fallback]


TWISTD = [
    *program("twistd", "from twisted.scripts.twistd import run; run()"),
    "-n",
    "--pidfile=",
    "zaqar-gateway",
]
CONSOLE = program("zaqar-gateway", "import sys; from zaqar_gateway.cli import main; sys.exit(main())")


def until(condition: Callable[[], bool], within_s: float, what: str) -> None:
    """Ask again until something outside this process has come about.

    :raises AssertionError: it has not, in time.
    """
    give_up = time.monotonic() + within_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError(f"{what}: not within {within_s} s")
        pause.wait(0.02)


class Process:
    """A process whose output is kept.

    :ivar output: what it has printed so far.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], directory: Path) -> None:
        self._command = command
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            command,
            env=dict(environ),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            # A shell in the background has its children ignore SIGINT.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        atexit.register(self._process.kill)

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        with stream:
            for line in stream:
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    @property
    def output(self) -> str:
        with self._news:
            return "".join(self._lines)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def wait_for(self, pattern: str, within_s: float) -> re.Match[str]:
        """Wait for a pattern in the output.

        :raises AssertionError: it does not come.
        """
        give_up = time.monotonic() + within_s
        with self._news:
            while True:
                found = re.search(pattern, "".join(self._lines), re.DOTALL | re.MULTILINE)
                if found:
                    return found
                left = give_up - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._news.wait(left)
        raise AssertionError(f"{self._told('did not print ' + pattern)}")

    def signal(self, number: int) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def end(self, within_s: float = STOP_S) -> int:
        """Wait for the end.

        :return: the exit status.
        :raises AssertionError: it does not end; it is killed then.
        """
        try:
            status = self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise AssertionError(self._told(f"did not end within {within_s} s")) from None
        finally:
            atexit.unregister(self._process.kill)
        # A child that outlives it may hold the pipe; what the process itself has printed is there at once.
        self._reader.join(5)
        return status

    def kill(self) -> None:
        """End it with SIGKILL; one that has ended needs none."""
        self._process.kill()
        self.end()

    def _told(self, what: str) -> str:
        return f"{' '.join(self._command)}\n{what}; its output:\n{self.output}"


class Gateway(Process):
    """A gateway that is ready.

    :param arguments: options besides those for listeners and storage.
    :param data_dir: of the embedded Redis; ``None``: a new one.
    :param storage: a store other than the embedded Redis, as ``--storage`` takes it.
    :param settings: environment variables, without their prefix.
    :param environ: others.
    :param command: what starts a gateway.
    :param listen: the endpoints for HTTP and for WebSocket alone.
    :param start_s: how long it may take to be ready.
    :ivar http: the URL of the listener for HTTP, without a slash at the end.
    :ivar websocket: the URL of the listener for WebSocket alone.
    :raises AssertionError: it does not start; the text has what it printed.
    """

    def __init__(
        self,
        *arguments: str,
        data_dir: Path | None = None,
        storage: str = "",
        settings: Mapping[str, str] | None = None,
        environ: Mapping[str, str] | None = None,
        command: Sequence[str] = TWISTD,
        listen: tuple[str, str] = (_LOCAL, _LOCAL),
        start_s: float = START_S,
    ) -> None:
        self.data_dir = data_dir or new_directory()
        place = ["--storage", storage] if storage else ["--data-dir", str(self.data_dir)]
        extra = {ENVIRONMENT_PREFIX + name: value for name, value in (settings or {}).items()}
        super().__init__(
            [*command, "--http", listen[0], "--websocket", listen[1], *place, *arguments],
            environment({**extra, **(environ or {})}),
            self.data_dir,
        )
        try:
            found = self.wait_for(r"HTTP and WebSocket on (https?://\S+)/$.*WebSocket on (wss?://\S+)/$.*curl", start_s)
        except AssertionError:
            self.kill()
            raise
        self.http, self.websocket = found[1], found[2]

    @property
    def redis_pid(self) -> int:
        """The process id of the embedded Redis; 0 while one is just being started."""
        return int((self.data_dir / "redis.lock").read_text() or 0)

    @property
    def troubles(self) -> list[str]:
        """What the log should not have: failures that nobody foresaw."""
        return _TROUBLE.findall(self.output)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with a signal, and see that it ends well.

        :raises AssertionError: it does not: see :meth:`ends_well`.
        """
        self.signal(number)
        self.ends_well(number)

    def ends_well(self, number: int = signal.SIGTERM, within_s: float = STOP_S) -> None:
        """Wait for the end after a signal.

        :raises AssertionError: it takes longer, the status is another one, or there was a traceback.
        """
        status = self.end(within_s)
        # When all is put in order, twistd ends itself by the signal that it got, so that its parent can tell.
        if status not in (0, -number) or self.troubles or "Server Shut Down." not in self.output:
            raise AssertionError(self._told(f"ended with status {status} and {self.troubles}"))


# -- clients ---------------------------------------------------------------------------------------------------------


@frozen
class Answer:
    """An answer of HTTP."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    def __str__(self) -> str:
        return f"{self.status} {self.body[:2000].decode(errors='replace')}"


class Http:
    """A connection that is kept alive; it opens when it is first used, and again where the gateway closed it.

    :param url: of the listener.
    :param project: ``X-Project-ID`` of all requests.
    :param tls: for a listener that speaks it.
    """

    def __init__(
        self,
        url: str,
        project: str,
        *,
        client: str = CLIENT,
        timeout_s: float = ANSWER_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._headers = {"Client-ID": client, "X-Project-ID": project}
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        self.connection = (
            HTTPSConnection(parts.hostname, parts.port, timeout=timeout_s, context=tls)
            if tls
            else HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
        )

    def __call__(self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None) -> Answer:
        """Ask.

        :param body: bytes as they are, anything else but ``None`` as JSON.
        """
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        self.connection.request(method, path, content, {**self._headers, **(headers or {})})
        got = self.connection.getresponse()
        return Answer(got.status, got.headers, got.read())

    def post(self, queue: str, *bodies: Any) -> Answer:
        """Post messages."""
        return self("POST", f"/v2/queues/{queue}/messages", {"messages": [{"body": body} for body in bodies]})

    def all_messages(self, queue: str) -> list[Any]:
        """The bodies of all messages of a queue, in order, read page by page.

        :raises AssertionError: it cannot be read.
        """
        path = f"/v2/queues/{queue}/messages?limit=20&echo=true&include_claimed=true"
        found: list[Any] = []
        while True:
            answer = self("GET", path)
            assert answer.status == 200, answer
            page = answer.json
            if not page["messages"]:
                return found
            found += [message["body"] for message in page["messages"]]
            path = page["links"][0]["href"]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


@frozen
class Reply:
    """A reply on a WebSocket."""

    status: int
    body: Any
    request: Any

    @property
    def error(self) -> str:
        """What was wrong."""
        return str(self.body["error"])


class Socket:
    """A WebSocket.

    :param url: of a listener, ``ws:`` or ``http:``, with an ``s`` or not.
    :param project: ``X-Project-ID`` of all requests.
    :param tls: for a listener that speaks it.
    """

    def __init__(
        self,
        url: str,
        project: str,
        *,
        client: str = CLIENT,
        timeout_s: float = ANSWER_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._headers = {"Client-ID": client, "X-Project-ID": project}
        self.connection = websocket.create_connection(
            url.replace("http", "ws", 1) + "/", timeout=timeout_s, sslopt={"context": tls} if tls else None
        )

    def send(self, action: str, body: Any) -> None:
        """Ask, and do not wait."""
        self.raw(json.dumps({"action": action, "headers": self._headers, "body": body}))

    def raw(self, payload: str | bytes) -> None:
        """Send a frame: text from a string or UTF-8, as it is."""
        self.connection.send(payload, websocket.ABNF.OPCODE_TEXT)

    def receive(self) -> Reply:
        """The next reply."""
        reply = json.loads(self.connection.recv())
        return Reply(reply["headers"]["status"], reply["body"], reply["request"])

    def pushed(self) -> Any:
        """The next frame, which has to be a push."""
        document = json.loads(self.connection.recv())
        assert "request" not in document, document
        return document

    def __call__(self, action: str, **body: Any) -> Reply:
        """Ask and wait."""
        self.send(action, body)
        return self.receive()

    def close_code(self) -> int:
        """Wait for the end of the connection, and say with which code the gateway closed it."""
        while True:
            opcode, payload = self.connection.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(payload[:2], "big")

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


# -- what runs beside a gateway ---------------------------------------------------------------------------------------


class RedisProcess:
    """A redis-server as an operator would run it: with a password, and an append-only file.

    :ivar port: that it listens on.
    :ivar tcp: its URI over TCP.
    :ivar unix: its URI over a Unix socket.
    """

    def __init__(self, password: str = "p@ss/word", *options: str, tls: Mapping[str, str] | None = None) -> None:
        self.password = password
        self._options = [*options, *(word for name, value in (tls or {}).items() for word in (f"--{name}", value))]
        self._port_option = "--tls-port" if tls else "--port"
        self.port = 0
        self.directory = new_directory()
        self._process: Process | None = None
        self.start()

    @property
    def tcp(self) -> str:
        return f"redis://:{quote(self.password, safe='')}@127.0.0.1:{self.port}"

    @property
    def unix(self) -> str:
        return f"unix://:{quote(self.password, safe='')}@{self.directory}/redis.sock"

    def start(self) -> None:
        """Start it, on the data and the port that it had."""
        for _ in range(5):  # Redis cannot choose a port itself, and what else there is on a machine may have this one
            port = self.port or free_port()
            process = Process(
                [
                    *(redis_server().program, "--port", "0", self._port_option, str(port), "--bind", "127.0.0.1"),
                    *("--unixsocket", str(self.directory / "redis.sock"), "--requirepass", self.password),
                    *("--dir", str(self.directory), "--appendonly", "yes", "--save", "", *self._options),
                ],
                environment(),
                self.directory,
            )
            try:
                process.wait_for("eady to accept connections", START_S)
            except AssertionError:
                process.kill()
                if re.search("TLS support|tls-port", process.output):
                    raise SkipTest("this redis-server was built without TLS (Debian: redis-server)") from None
            else:
                self._process, self.port = process, port
                return
        raise AssertionError(f"redis-server does not start:\n{process.output}")

    def signal(self, number: int) -> None:
        """Send a signal."""
        assert self._process
        self._process.signal(number)

    def set_password(self, password: str) -> None:
        """Take another password from now on."""
        self.command(f"CONFIG SET requirepass {password}")

    def command(self, command: str) -> None:
        """Run a command, behind the back of all gateways.

        :raises AssertionError: the answer is not OK.
        """
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(self.directory / "redis.sock"))
            for line in (f"AUTH {self.password}", command):
                connection.sendall(f"{line}\r\n".encode())
                if connection.recv(100) != b"+OK\r\n":
                    raise AssertionError(f"redis-server refuses {line}")

    def ask(self, command: str, lines: int) -> list[bytes]:
        """The first lines of the answer to a command, behind the back of all gateways."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(self.directory / "redis.sock"))
            connection.sendall(f"AUTH {self.password}\r\n{command}\r\n".encode())
            answer = connection.makefile("rb")
            answer.readline()
            return [answer.readline().strip() for _ in range(lines)]

    @property
    def running(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    def kill(self) -> None:
        """End it at once."""
        if self._process:
            self._process.kill()
            self._process = None

    def stop(self) -> None:
        """Shut it down in good order."""
        if self._process:
            self._process.signal(signal.SIGCONT)
            self._process.signal(signal.SIGTERM)
            self._process.end()
            self._process = None


# -- test cases ------------------------------------------------------------------------------------------------------

_shared: list[Gateway] = []


class GatewayTestCase(SynchronousTestCase):
    """Tests that share one gateway, on an embedded Redis, with ``admin_mode``; each has a project of its own.

    A test fails too where the gateway logged a failure that nobody foresaw.
    """

    def setUp(self) -> None:
        # Trial does not know setUpClass; what all tests share lives as long as they run.
        if not _shared or not _shared[0].running:
            _shared[:] = [Gateway(settings={"ADMIN_MODE": "true", "SIGNED_URL_SECRET_KEY": SECRET})]
            # In good order, so that its Redis does not outlive it and write into a directory that is being removed.
            atexit.register(_shared[0].stop)
        self.gateway = _shared[0]
        self.project = uuid4().hex
        self._said = len(self.gateway.output)
        self.addCleanup(self._check_log)

    def _check_log(self) -> None:
        said = self.gateway.output[self._said :]
        self.assertFalse(_TROUBLE.search(said), said)
        self.assertTrue(self.gateway.running, said)

    def http(self, **options: Any) -> Http:
        """A connection for HTTP."""
        http = Http(self.gateway.http, self.project, **options)
        self.addCleanup(http.close)
        return http

    def socket(self, **options: Any) -> Socket:
        """A WebSocket."""
        socket = Socket(self.gateway.websocket, self.project, **options)
        self.addCleanup(socket.close)
        return socket
