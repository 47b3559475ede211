"""A real Keystone for tests: one process for a whole run, with its data in a directory of its own.

Keystone is installed from the package index into an environment of its own, in the user's cache, since what it depends on is not
what the gateway depends on; that takes minutes, once on a machine.  Where it cannot be had, the tests that need it
are skipped, and say why.
"""

from __future__ import annotations

import atexit
import base64
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from attrs import frozen
from twisted.trial.unittest import SkipTest

from bench.servers import free_port

REQUIREMENTS = ("keystone==30.0.0", "waitress==3.0.2")

REQUIRED = "KEYSTONE_REQUIRED"
"""The environment variable that has tests fail, not be skipped, where there is no Keystone."""

INSTALL_TIMEOUT_S = 900
ANSWER_TIMEOUT_S = 90

_ITS_OWN = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
"""What its processes find around them: with ``-j`` trial has a path there on which the packages of the gateway are, and those of
Keystone's environment would be left out for them."""

_ADMIN_PASSWORD = "admin of the tests"
_SCRIPT = Path(__file__).with_name("keystone_wsgi.py")
_SETTINGS = """\
[database]
connection = sqlite:///{directory}/keystone.db
[fernet_tokens]
key_repository = {directory}/keys
[fernet_receipts]
key_repository = {directory}/keys
[identity]
password_hash_rounds = 4
"""


@frozen
class Somebody:
    """A user, as the tests made it.

    :ivar id: of the user.
    :ivar name: of the user, in the domain ``Default``.
    """

    id: str
    name: str
    password: str


class KeystoneServer:
    """A Keystone on loopback, which can be stopped and started again.

    Projects ``alpha`` and ``beta``; roles ``member``, ``reader`` and ``Auditor`` besides ``admin`` and ``service``.

    :ivar url: where its API begins.
    :ivar projects: ids by name.
    :ivar admin: the administrator, of the project ``admin``.
    :ivar ann: a user who is member, reader and Auditor in alpha, and reader in beta.
    :ivar gateway: the service user: role service in the project ``service``.
    :ivar trustee: a user without a role.
    """

    def __init__(self, python: Path) -> None:
        self._python = python
        self._directory = Path(tempfile.mkdtemp(prefix="zg-keystone-"))
        atexit.register(shutil.rmtree, self._directory, ignore_errors=True)
        (self._directory / "keys").mkdir(mode=0o700)
        for name in ("0", "1"):
            (self._directory / "keys" / name).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
        settings = self._directory / "keystone.conf"
        settings.write_text(_SETTINGS.format(directory=self._directory))
        manage = (str(python.with_name("keystone-manage")), "--config-file", str(settings))
        self._run(*manage, "db_sync")
        self._run(*manage, "bootstrap", "--bootstrap-password", _ADMIN_PASSWORD)
        self._process: subprocess.Popen[str] | None = None
        self._port = free_port()  # which nobody else has while it is stopped
        atexit.register(self.stop)
        self.start()
        self._populate()

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, cwd=self._directory, env=_ITS_OWN, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr[-2000:]}")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v3"

    def start(self) -> None:
        """Serve, on the same port as before; return when it answers."""
        if self._process is not None:
            return
        with (self._directory / "log").open("a") as log:
            self._process = subprocess.Popen(
                (str(self._python), str(_SCRIPT), str(self._port)),
                env={**_ITS_OWN, "OS_KEYSTONE_CONFIG_FILES": str(self._directory / "keystone.conf")},
                cwd=self._directory,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        last = ""
        for last in self._process.stdout:
            if last.strip().isdigit():
                self._port = int(last)
                return
        raise RuntimeError(f"Keystone did not start: {last}{(self._directory / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        """End the process; its data stay."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    # -- asking it, as anybody ---------------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], Any]:
        """Ask; the status, the headers by lower-case name, and the body."""
        request = urllib.request.Request(
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", **(headers or {})},
            method=method,
        )
        try:
            answer = urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            content = answer.read()
            names = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, names, json.loads(content) if content else None

    def token(self, who: Somebody, project: str = "", lifetime_s: int = 3600) -> str:
        """A new token.

        :param project: the name of the project; empty: a token without one.
        """
        user = {"name": who.name, "password": who.password, "domain": {"id": "default"}}
        auth: dict[str, object] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if project:
            auth["scope"] = {"project": {"name": project, "domain": {"id": "default"}}}
        status, headers, body = self.call(
            "POST", "/auth/tokens", {"auth": auth}, {"X-Test-Lifetime": str(lifetime_s)}
        )
        assert status == 201, body
        return headers["x-subject-token"]

    def revoke(self, token: str) -> None:
        """End a token."""
        status, _, body = self.call("DELETE", "/auth/tokens", None, {"X-Auth-Token": token, "X-Subject-Token": token})
        assert status == 204, body

    def end(self, token: str) -> None:
        """End a token of anybody, as the administrator."""
        status, _, body = self.call(
            "DELETE", "/auth/tokens", None, {"X-Auth-Token": self._admin, "X-Subject-Token": token}
        )
        assert status == 204, body

    def described(self, token: str) -> Any:
        """What Keystone says of a token; ``None``: it is not valid."""
        asking = self.token(self.gateway, "service")  # Keystone does not let a token by a trust be looked at with itself
        status, _, body = self.call("GET", "/auth/tokens", None, {"X-Auth-Token": asking, "X-Subject-Token": token})
        return body["token"] if status == 200 else None

    # -- what is in it -----------------------------------------------------------------------------------------------

    def _populate(self) -> None:
        self.admin = Somebody("", "admin", _ADMIN_PASSWORD)
        self._admin = self.token(self.admin, "admin")
        found = self._asked("GET", "/roles")["roles"]
        roles = {role["name"]: str(role["id"]) for role in found}
        roles["Auditor"] = self._made("role", {"name": "Auditor"})
        self.projects = {
            name: self._made("project", {"name": name, "domain_id": "default"}) for name in ("alpha", "beta", "service")
        }
        self.ann = self.user("ann")
        self.gateway = self.user("gateway")
        self.trustee = self.user("trustee")
        for who, project, names in (
            (self.ann, "alpha", ("member", "reader", "Auditor")),
            (self.ann, "beta", ("reader",)),
            (self.gateway, "service", ("service",)),
        ):
            for name in names:
                self._asked("PUT", f"/projects/{self.projects[project]}/users/{who.id}/roles/{roles[name]}")

    def user(self, name: str) -> Somebody:
        """Make a user without a role."""
        password = f"password of {name}"
        return Somebody(self._made("user", {"name": name, "password": password}), name, password)

    def _made(self, kind: str, value: dict[str, str]) -> str:
        return str(self._asked("POST", f"/{kind}s", {kind: value})[kind]["id"])

    def _asked(self, method: str, path: str, body: object = None) -> Any:
        status, _, answer = self.call(method, path, body, {"X-Auth-Token": self._admin})
        assert status < 300, answer
        return answer


def _environment() -> Path:
    """The interpreter of Keystone's environment, made where there is none.

    :raises SkipTest: it cannot be made, and need not be.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    name = hashlib.sha256(" ".join((*REQUIREMENTS, sys.version)).encode()).hexdigest()[:12]
    directory = Path(base, "zaqar-gateway-tests", f"keystone-alone-{name}")
    python, ready = directory / "bin" / "python", directory / "ready"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # another run of the tests may be at it
            if not ready.exists():
                _install(directory, python)
                ready.touch()
    except (OSError, subprocess.SubprocessError) as error:
        if os.environ.get(REQUIRED):
            raise
        said = (getattr(error, "stderr", None) or "").strip().splitlines()
        raise SkipTest(f"Keystone cannot be installed from the package index: {said[-1] if said else error}") from None
    return python


def _install(directory: Path, python: Path) -> None:
    print("installing Keystone for the tests, which takes minutes, once", file=sys.__stderr__, flush=True)
    for command in (
        (sys.executable, "-m", "venv", str(directory)),
        (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS),
    ):
        subprocess.run(command, env=_ITS_OWN, capture_output=True, text=True, check=True, timeout=INSTALL_TIMEOUT_S)


_shared: list[KeystoneServer] = []
_missing: list[SkipTest] = []


def shared_keystone() -> KeystoneServer:
    """The Keystone of this run, running.

    :raises SkipTest: there can be none on this machine.
    """
    if _missing:
        raise _missing[0]
    if not _shared:
        try:
            _shared.append(KeystoneServer(_environment()))
        except SkipTest as reason:
            _missing.append(reason)
            raise
    _shared[0].start()
    return _shared[0]
