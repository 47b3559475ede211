"""The JavaScript client: its own tests, its size, its types, and what is packed of it."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import SkipTest

import msgpack
import msgspec
from twisted.trial.unittest import SynchronousTestCase

import zaqar_gateway
from tests.programs import program
from tests.system.gateway import ROOT

CLIENT = ROOT / "clients" / "js"
SOURCE = CLIENT / "src"
VECTORS = CLIENT / "test" / "vectors.json"

SIZE_MAX = 15 * 1024
"""Bytes of all that a page loads, compressed."""

RUN_S = 300.0

TYPESCRIPT = "typescript@5.9.3"

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zaqar-gateway-tests"


def run(command: list[str], directory: Path, extra: Mapping[str, str] | None = None) -> str:
    """Run a program to its end.

    :raises AssertionError: it fails; the text has what it printed.
    """
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | dict(extra or {}),
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}: {done.stdout[-20_000:]}{done.stderr[-20_000:]}")
    return done.stdout


_SIZED: dict[str, Callable[[int], Any]] = {
    "binary": lambda size: bytes(index % 256 for index in range(size)),
    "text": lambda size: "x" * size,
    "list": lambda size: [1] * size,
    "members": lambda size: {f"k{index}": index for index in range(size)},
}
"""Values that are told by their size alone."""


def vectors() -> Iterator[dict[str, Any]]:
    """Values by name, as ``msgpack.test.js`` reads them, with their bytes as ``msgpack`` has them."""
    plain: list[Any] = [
        None, True, False, "", "a", "é", "日本", "🎉", "a\0b", "\ufeff", [], [[]], {}, {"": None}, {"a": {"b": [1, "c"]}},
        {"body": {"event": "start", "n": [1, 2.5, None, True]}, "ttl": 300},
    ]  # fmt: skip
    for each in plain:
        yield {"name": json.dumps(each), "json": each, "bytes": msgpack.packb(each).hex()}
    edges = sorted({2**power + more for power in (5, 7, 8, 15, 16, 31, 32, 53, 63, 64) for more in (-1, 0, 1)} | {0})
    for number in sorted({*edges, *(-edge for edge in edges)}):
        if -(2**63) <= number < 2**64:
            yield {"name": f"integer {number}", "integer": str(number), "bytes": msgpack.packb(number).hex()}
    for real in (0.5, -0.1, 1e300, 5e-324, 2.0**70):
        yield {"name": f"float {real!r}", "float": repr(real), "bytes": msgpack.packb(real).hex()}
    yield {"name": "float -0.0", "float": "-0", "bytes": msgpack.packb(-0.0).hex()}
    # A whole number stays what it was only in Python.
    yield {"name": "float 3.0", "float": "3", "readOnly": True, "bytes": msgpack.packb(3.0).hex()}
    single = msgpack.packb(1.5, use_single_float=True)
    yield {"name": "single 1.5", "float": "1.5", "readOnly": True, "bytes": single.hex()}
    for kind, made in _SIZED.items():
        for size in (0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536):
            digest = sha256(msgpack.packb(made(size))).hexdigest()
            yield {"name": f"{kind} of {size}", kind: size, "sha256": digest}


class NodeTests(SynchronousTestCase):
    """What Node runs."""

    def test_units(self) -> None:
        """The client's own tests pass."""
        tests = sorted(str(path) for path in (CLIENT / "test").glob("*.test.js"))
        told = run([program("node", "nodejs"), "--test", *tests], CLIENT)
        self.assertGreater(int(re.findall(r"^(?:#|ℹ) pass (\d+)$", told, re.MULTILINE)[0]), 100)

    def test_types(self) -> None:
        """A program in TypeScript that uses all of it compiles, and what it must not do does not."""
        place = _CACHE / TYPESCRIPT
        compiler = place / "node_modules" / "typescript" / "bin" / "tsc"
        if not compiler.exists():
            _CACHE.mkdir(parents=True, exist_ok=True)
            # Elsewhere at first: another run of the tests may be at it, and none is to find a part of it.
            fresh = Path(tempfile.mkdtemp(dir=_CACHE))
            self.addCleanup(shutil.rmtree, fresh, ignore_errors=True)
            install = [program("npm"), "install", "--no-audit", "--no-fund", "--ignore-scripts", TYPESCRIPT]
            try:
                run(install, fresh)
            except (AssertionError, subprocess.TimeoutExpired) as error:
                raise SkipTest(f"{TYPESCRIPT} cannot be installed: types are not compiled: {error}") from None
            if not compiler.exists():
                shutil.rmtree(place, ignore_errors=True)  # what is left of one that was broken off
                fresh.rename(place)
        run([program("node", "nodejs"), str(compiler), "-p", "test/tsconfig.json"], CLIENT)

    def test_declared(self) -> None:
        """What the types declare is there, and what is there is declared."""
        script = (
            "const [file] = process.argv.slice(1); const module = await import(file);"
            "const own = Object.getOwnPropertyNames(module.Zaqar?.prototype ?? {});"
            "console.log(JSON.stringify([Object.keys(module), own]))"
        )
        for name in ("zaqar", "msgpack"):
            source = SOURCE / f"{name}.js"
            node = [program("node", "nodejs"), "--input-type=module", "-e", script, source.as_uri()]
            exported, methods = json.loads(run(node, CLIENT))
            types = (SOURCE / f"{name}.d.ts").read_text()
            declared = set(re.findall(r"^export (?:class|function) (\w+)", types, re.MULTILINE))
            self.assertEqual(set(exported), declared)
            if methods:
                body = types[types.index("export class Zaqar {") :]
                read = set(re.findall(r"^  readonly (\w+):", body, re.MULTILINE))
                self.assertEqual(set(methods) - read, set(re.findall(r"^  (\w+)[<(]", body, re.MULTILINE)))

    def test_npm_pack(self) -> None:
        """npm packs the sources, their types, the licence and the description, and nothing else."""
        told = run([program("npm"), "pack", "--dry-run", "--json"], CLIENT)
        (packed,) = json.loads(told)
        self.assertEqual(packed["name"], "zaqar-gateway")
        self.assertEqual(packed["version"], zaqar_gateway.__version__)
        self.assertEqual(
            {file["path"] for file in packed["files"]},
            {"LICENSE", "README.md", "package.json", *(f"src/{path.name}" for path in SOURCE.iterdir())},
        )


class SourceTests(SynchronousTestCase):
    """What stands in the files."""

    def test_size(self) -> None:
        """All that a page loads is under 15 KiB, compressed."""
        sizes = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in SOURCE.glob("*.js")}
        self.assertLess(sum(sizes.values()), SIZE_MAX, sizes)

    def test_no_dependencies(self) -> None:
        """It imports nothing but its own files, and depends on nothing."""
        for path in SOURCE.glob("*.js"):
            for imported in re.findall(r'(?:from|import) ?\(?"([^"]+)"', path.read_text()):
                self.assertTrue((SOURCE / imported).is_file() and imported.startswith("./"), imported)
        package = json.loads((CLIENT / "package.json").read_text())
        self.assertEqual([key for key in package if key.lower().endswith("dependencies")], [])
        self.assertEqual(package["version"], zaqar_gateway.__version__)
        for kinds in package["exports"].values():
            for target in kinds.values() if isinstance(kinds, dict) else [kinds]:
                self.assertTrue((CLIENT / target).is_file(), target)

    def test_licence(self) -> None:
        """The package for npm has the licence of the project."""
        self.assertEqual((CLIENT / "LICENSE").read_text(), (ROOT / "LICENSE").read_text())

    def test_vectors(self) -> None:
        """The vectors of MessagePack are what Python's msgpack makes, and msgspec reads them in the same way."""
        made = list(vectors())
        self.assertEqual(json.loads(VECTORS.read_text()), made)
        for vector in made:
            written = bytes.fromhex(vector.get("bytes", "c0"))
            self.assertEqual(msgspec.msgpack.decode(written), msgpack.unpackb(written, strict_map_key=False))


class PackagingTests(SynchronousTestCase):
    """The client in the packages of the gateway."""

    def test_packages(self) -> None:
        """The source package has the client once more as the gateway serves it, and a wheel made from that has it too."""
        work = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, work)
        tree, unpacked = work / "tree", work / "unpacked"
        unwanted = (".*", "build", "dist", "*.egg-info", "_trial_temp*", "__pycache__", "node_modules", "bench-results")
        shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(*unwanted))
        build = "import sys; from setuptools import build_meta; getattr(build_meta, sys.argv[1])(sys.argv[2])"
        run([sys.executable, "-c", build, "build_sdist", str(work)], tree)
        (archive,) = work.glob("*.tar.gz")
        with tarfile.open(archive) as packed:
            packed.extractall(unpacked, filter="data")
        (inside,) = unpacked.iterdir()
        expected = {path.name: path.read_bytes() for path in SOURCE.iterdir()}
        for folder in (inside / "clients/js/src", inside / "zaqar_gateway/javascript"):
            self.assertEqual({path.name: path.read_bytes() for path in folder.iterdir()}, expected)
        run([sys.executable, "-c", build, "build_wheel", str(work)], inside)
        (wheel,) = work.glob("*.whl")
        with zipfile.ZipFile(wheel) as packed_wheel:
            served = [name for name in packed_wheel.namelist() if name.startswith("zaqar_gateway/javascript/")]
            self.assertEqual({name.rpartition("/")[2]: packed_wheel.read(name) for name in served}, expected)


if __name__ == "__main__":
    VECTORS.write_text("[\n" + ",\n".join(map(json.dumps, vectors())) + "\n]\n")
