"""Imports point one way, and each library has one home.

Read from the source: what is imported inside a function, or for types alone, counts too.
"""

from __future__ import annotations

import ast
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import zaqar_gateway

PACKAGE = "zaqar_gateway"

_VALUES = {"model", "errors", "instants", "clocks", "meters"}
_SEAMS = {"interfaces", *_VALUES}
_OUTWARDS = {"failures", *_SEAMS}
_SETTINGS = {"config", "address", "limits", *_VALUES}
_OPERATIONS = {"operations", "limits", "locks", *_SEAMS}

ALLOWED: dict[str, set[str]] = {
    "": set(),
    "errors": set(),
    "failures": set(),
    "instants": set(),
    "clocks": set(),
    "meters": set(),
    "direct": set(),
    "order": set(),
    "locks": set(),
    "kept": set(),
    "signals": set(),
    "model": set(),
    "address": set(),
    "limits": _VALUES,
    "interfaces": _VALUES,
    "operations": _OPERATIONS,
    "transport": {"transport", "direct", "order", *_OPERATIONS},
    "storage": {"storage", "direct", "order", "locks", *_SEAMS},
    "identity": {"identity", "kept", *_OUTWARDS},
    "push": {"push", "kept", *_OUTWARDS},
    "live": {"live", *_SEAMS},
    # storage, for what holds of any store: how its ids look, and encryption around it.
    "testing": {"testing", "storage", *_SEAMS},
    "admin": {"admin", "live", "push", "transport", *_OPERATIONS},
    # push, for the form of what a subscriber is told.
    "descriptions": {"descriptions", "live", "push", "transport", *_OPERATIONS},
    "describing": {"descriptions", "config", "backends", "identity", "storage", *_OPERATIONS},
    "show": {"transport"},
    "plugins": _SEAMS,
    "policyfile": {"operations"},
    "auditfile": {"transport"},
    "config": {"plugins", *_SETTINGS},
    "backends": {"backends", "config", "address", "plugins", "storage", "order", *_SEAMS},
    "identifying": {"config", "identity", "kept", *_SEAMS},
    "delivering": {"config", "plugins", "push", *_SEAMS},
    "options": {"config"},
    "process": set(),
    "fitting": {"auditfile", "config", "interfaces", "operations", "plugins", "transport"},
    "listening": {"transport"},
    "operators": {"address", "cautions", "config", "role", "transport"},
    "cautions": {"config", "address", "transport"},
    "announcing": {"cautions", "show", "config", "address", "transport"},
    "workers": {"workers", "admin", "operators", "role", "clocks", "model", "announcing", "listening", "process", "signals", "config", "storage", "transport"},
    "working": {"tap", "signals", "workers"},
    "role": {"announcing", "listening", "process", "signals", "config", "model", "storage", "transport"},
    # storage, for the version of the server that would be started.
    "cli": {"tap", "describing", "signals", "options", "config", "operations", "plugins", "policyfile", "storage"},
    "__main__": {"cli"},
}
"""What the parts of the package may import of it, themselves named where they may; ``tap`` may import all."""

HOMES: dict[str, tuple[str, ...]] = {
    "txredisapi": ("storage.redis",),
    "treq": ("identity", "identifying", "push"),
    "autobahn": ("transport.websocket",),
    "cryptography": ("storage.encryption", "transport.tls"),
    "OpenSSL": ("failures", "push", "transport.tls"),
    "yaml": ("policyfile",),
    "prometheus_client": ("admin", "workers.operators"),
    "twisted.internet.reactor": (),
}
"""Where a library may be imported besides ``tap``."""


def imported(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    """The full names that a module imports; with ``from a import b`` that is ``a.b``."""
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *(node.module.split(".") if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def within(name: str, places: tuple[str, ...]) -> bool:
    """Whether a dotted name is one of some places or below it."""
    return any(name == place or name.startswith(f"{place}.") for place in places)


def violations(root: Path) -> list[str]:
    """The imports under the folder of the package that break the rules."""
    found: list[str] = []
    for path in sorted(root.rglob("*.py")):
        names = [*path.relative_to(root).with_suffix("").parts]
        is_package = names[-1] == "__init__"
        inner = ".".join(names[:-1] if is_package else names)
        part = inner.partition(".")[0]
        if part == "tap":
            continue
        if part not in ALLOWED:
            found.append(f"{inner}: no rule says what it may import")
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        for name in imported(tree, f"{PACKAGE}.{inner}".rstrip("."), is_package):
            if name == f"{PACKAGE}.__version__":
                continue
            wanted = name.removeprefix(f"{PACKAGE}.").partition(".")[0]
            if within(name, (PACKAGE,)) and name != PACKAGE and wanted not in ALLOWED[part]:
                found.append(f"{inner or PACKAGE}: imports {name}")
            for library, homes in HOMES.items():
                if within(name, (library,)) and not within(inner, homes):
                    found.append(f"{inner or PACKAGE}: imports {name}")
    return found


class Structure(SynchronousTestCase):
    """The package as it is."""

    def test_imports(self) -> None:
        """No module imports what it may not."""
        root = Path(zaqar_gateway.__file__).parent
        self.assertGreater(len(list(root.rglob("*.py"))), 10)
        self.assertEqual(violations(root), [])

    def test_plugin(self) -> None:
        """The plug-in imports nothing of the package, and its folders are no packages of their own."""
        folder = Path(zaqar_gateway.__file__).parent.parent / "twisted"
        tree = ast.parse((folder / "plugins" / "zaqar_gateway_plugin.py").read_text(encoding="utf-8"))
        names = list(imported(tree, "twisted.plugins.zaqar_gateway_plugin", False))
        self.assertEqual(names, ["twisted.application.service.ServiceMaker"])


class Checker(SynchronousTestCase):
    """The check finds what is planted."""

    def check(self, path: str, text: str) -> list[str]:
        """The violations in a tree with one module."""
        root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, root)
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return violations(root)

    def test_violations(self) -> None:
        """Every way to write an import is seen, wherever it stands."""
        for path, text, expected in (
            ("operations/claims.py", "import zaqar_gateway.storage.memory", "zaqar_gateway.storage.memory"),
            ("operations/claims.py", "from zaqar_gateway import transport", "zaqar_gateway.transport"),
            ("operations/claims.py", "from .. import storage", "zaqar_gateway.storage"),
            ("operations/claims.py", "from ..storage.memory import X", "zaqar_gateway.storage.memory.X"),
            ("operations/__init__.py", "from ..transport import X", "zaqar_gateway.transport.X"),
            ("storage/redis/queues.py", "from zaqar_gateway.limits import Limits", "zaqar_gateway.limits.Limits"),
            ("storage/redis/queues.py", "from ...operations import x", "zaqar_gateway.operations.x"),
            ("storage/memory.py", "def f():\n    import txredisapi", "txredisapi"),
            ("transport/http/site.py", "from autobahn.twisted import websocket", "autobahn.twisted.websocket"),
            ("transport/http/site.py", "if TYPE_CHECKING:\n    import treq.client", "treq.client"),
            ("transport/http/site.py", "from twisted.internet import reactor", "twisted.internet.reactor"),
            ("cli.py", "import twisted.internet.reactor", "twisted.internet.reactor"),
            ("model.py", "from zaqar_gateway.errors import BadRequest", "zaqar_gateway.errors.BadRequest"),
            ("limits.py", "from zaqar_gateway.interfaces import X", "zaqar_gateway.interfaces.X"),
            ("config/reading.py", "from zaqar_gateway.tap import x", "zaqar_gateway.tap.x"),
            ("__init__.py", "from .model import Message", "zaqar_gateway.model.Message"),
        ):
            module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".").replace("__init__", PACKAGE)
            self.assertEqual(self.check(path, text), [f"{module}: imports {expected}"])

    def test_no_violations(self) -> None:
        """What is allowed is not found."""
        for path, text in (
            ("tap.py", "import txredisapi, treq\nfrom twisted.internet import reactor\nfrom .storage import x"),
            ("operations/claims.py", "from zaqar_gateway.limits import Limits\nfrom . import queues"),
            ("transport/websocket/factory.py", "import autobahn\nfrom ...operations import registry"),
            ("storage/redis/connection.py", "import txredisapi\nfrom twisted.internet import defer, reactors"),
            ("identity/keystone.py", "import treq\nimport treqqle\nfrom zaqar_gateway.errors import Unauthorized"),
            ("cli.py", "import zaqar_gateway\nfrom zaqar_gateway import __version__"),
        ):
            self.assertEqual(self.check(path, text), [])

    def test_unknown_part(self) -> None:
        """A part without a rule is a violation, so that each gets one."""
        self.assertEqual(self.check("helpers/x.py", ""), ["helpers.x: no rule says what it may import"])
