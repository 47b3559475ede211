"""The reference: OpenStack Zaqar in a virtual environment of its own, set up for the most that it gives.

What was tried on Zaqar 23.0.1 with uWSGI 2.0.31, one process and its Redis on one core, 16 keep-alive connections:

* ``http11-socket`` without threads: a process serves one connection until it closes; fifteen of sixteen wait.
* ``http`` router with ``http-keepalive``: a second process on the way, a fifth slower (post 960 a second, get 1,280),
  and it closes the connection after each 204, because Zaqar sends those without a Content-Length.
* ``http-socket``: closes after every reply.
* ``http11-socket`` with threads: the fastest (post 1,180 a second, get 1,570), also faster than one connection without
  threads, since one request runs while another waits for Redis.  Each thread serves one connection, so there have to
  be as many as connections.

Hence threads, 16 of them: with 64 everything is a tenth slower, and beyond a hundred redis-py's pool refuses connections
and Zaqar retries for seconds.  uWSGI does not pipeline, so more requests in flight have no use here: whatever is asked
for, Zaqar is measured over at most 16 HTTP connections with one request each.  hiredis makes it faster by a tenth and is
installed.  Logging is off save for errors.

A few errors in cycle, claim20 and pop10 over HTTP are Zaqar's own: requests that overlap take messages from each other at
the turn of a second.  Its claim skips messages that seem to be of the next second, and takes those behind a free one
without a look at their claims; its pop is a claim of one second.

Messages are pushed to sockets by a stage of its pipeline that looks for subscribers at each post, which is not on by itself; it
is switched on where a run is about that, alone, since it makes every post dearer.

Redis: appendonly with ``everysec``, no snapshots; on the disk each second, as with the gateway's own.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.live import WAKEUP
from bench.results import IDENTITY
from bench.servers import Address, Cores, StartFailed, Target, free_port, listens, process, redis_version, wait_until

VERSION = "23.0.1"
PACKAGES = (f"zaqar=={VERSION}", "uwsgi==2.0.31", "redis==8.1.0", "hiredis==3.5.0", "setuptools<81")
DEFAULT_DIR = Path.home() / ".cache" / "zaqar-gateway-bench" / "zaqar"
_THREADS = 16
_SPARE_THREADS = 4  # for connections that the kernel accepted but whose client is gone

_CONFIG = """\
[DEFAULT]
admin_mode = true
unreliable = true
auth_strategy =
debug = false
default_log_levels =

[drivers]
transport = {transport}
message_store = redis
management_store = redis

[drivers:message_store:redis]
uri = redis://127.0.0.1:{redis}?socket_timeout=60

[drivers:management_store:redis]
uri = redis://127.0.0.1:{redis}?socket_timeout=60

[drivers:transport:websocket]
bind = 127.0.0.1
port = {websocket}
notification_bind = 127.0.0.1

[storage]
message_pipeline = {pipeline}

[profiler]
enabled = false
"""


def setup(directory: Path) -> None:
    """Make the virtual environment and install the reference; doing it again does no harm.

    uWSGI is built from its source, which takes a C compiler and the headers of Python.

    :raises StartFailed: a step failed.
    """
    python = directory / "venv" / "bin" / "python"
    _run([sys.executable, "-m", "venv", str(directory / "venv")])
    _run([str(python), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *PACKAGES])
    frozen = subprocess.run([str(python), "-m", "pip", "freeze"], capture_output=True, text=True).stdout
    (directory / "installed.txt").write_text(frozen)


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise StartFailed(f"{' '.join(command)}: {error}") from None


@contextmanager
def zaqar(cores: Cores, directory: Path = DEFAULT_DIR, name: str = "zaqar", *, pushes: bool = False) -> Iterator[Target]:
    """Zaqar over HTTP and over WebSocket, which are two processes, on one Redis.

    :param pushes: whether subscribers are told of messages.
    :raises StartFailed: it is not set up, or did not come up.
    """
    programs = directory / "venv" / "bin"
    if not (programs / "zaqar-server").exists():
        raise StartFailed(f"Zaqar is not in {directory}; run: python -m bench setup-zaqar --dir {directory}")
    redis_server = shutil.which("redis-server")
    if redis_server is None:
        raise StartFailed("there is no redis-server; install Redis")
    redis, http, websocket = (Address("127.0.0.1", free_port()) for _ in range(3))
    home = Path(tempfile.mkdtemp(prefix="bench-zaqar-"))
    (home / ".zaqar").mkdir()
    config, websocket_config = home / ".zaqar" / "zaqar.conf", home / "websocket.conf"
    for path, transport in ((config, "wsgi"), (websocket_config, "websocket")):
        pipeline = "zaqar.notification.notifier" if pushes else ""
        path.write_text(
            _CONFIG.format(transport=transport, redis=redis.port, websocket=websocket.port, pipeline=pipeline)
        )

    redis_options = ["--appendonly", "yes", "--appendfsync", "everysec", "--save", ""]
    uwsgi_options = [
        f"--http11-socket={http}",
        "--processes=1",
        f"--threads={_THREADS + _SPARE_THREADS}",
        "--module=zaqar.transport.wsgi.app:app",
        "--need-app",
        "--disable-logging",
        "--die-on-term",
        "--listen=1024",
        "--socket-timeout=600",  # it closes idle connections after 4 s otherwise
    ]
    env = {**os.environ, "HOME": str(home)}  # where the WSGI application looks for its configuration
    logs = [home / f"{each}.log" for each in ("redis", "uwsgi", "websocket")]
    try:
        with (
            process(
                [redis_server, "--bind", redis.host, "--port", str(redis.port), "--dir", str(home), *redis_options],
                log=logs[0],
                core=cores.server,
            ) as redis_child,
            process(
                [str(programs / "uwsgi"), *uwsgi_options, f"--virtualenv={directory / 'venv'}"],
                log=logs[1],
                core=cores.server,
                cwd=home,
                env=env,
            ) as http_child,
            process(
                [str(programs / "zaqar-server"), "--config-file", str(websocket_config)],
                log=logs[2],
                core=cores.server,
                cwd=home,
                env=env,
            ) as websocket_child,
        ):
            wait_until(lambda: listens(redis), redis_child, logs[0], "the Redis of Zaqar")
            wait_until(lambda: listens(http), http_child, logs[1], "Zaqar in uWSGI")
            wait_until(lambda: listens(websocket), websocket_child, logs[2], "Zaqar's WebSocket server")
            yield Target(
                name,
                http,
                websocket,
                (http_child.pid, websocket_child.pid),
                redis_pid=redis_child.pid,
                pipelining=False,
                most_connections=_THREADS,
                lacks=frozenset((IDENTITY, WAKEUP)),
                about={
                    "server": f"Zaqar {VERSION}",
                    "redis": f"{redis_version(redis_child.pid)}, {' '.join(redis_options[:4])}",
                    "command": f"uwsgi {' '.join(uwsgi_options)}; zaqar-server for WebSocket",
                    "pinning": str(cores),
                },
            )
    finally:
        shutil.rmtree(home, ignore_errors=True)
