"""A throw-away copy of the cases of Autobahn|Testsuite (PyPI: ``autobahntestsuite``) that runs on Python 3.

The package is Python 2 source, and nothing of it is kept here.  What is taken of it are its cases and their test
data; what
drives the cases, in place of its Python 2 protocols, is :mod:`tests.conformance.fuzzer`.  ``lib2to3`` does the syntax.
Byte strings of Python 2 become texts of the code points 0 to 255 (Latin-1), which the driver turns into bytes and back.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import warnings
from pathlib import Path

PACKAGE = "autobahntestsuite==0.8.2"
FETCH_TIMEOUT_S = 60

_TAKEN = ("autobahntestsuite/case/", "autobahntestsuite/testdata/")

_RENAMED = {
    name: "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)
    for name in ("requestNoContextTakeover", "requestMaxWindowBits", "acceptNoContextTakeover", "acceptMaxWindowBits")
}
"""Arguments of Autobahn that have other names today."""

_EDITS = {
    "__init__.py": {"from case9_9_1 import *": ""},  # it is in no group that runs
    "case.py": {
        "pickle.dumps(obj1) == pickle.dumps(obj2)": "obj1 == obj2",  # pickles differ with the identity of parts
    },
    "case6_x_x.py": {"v.validate(vss[:i])": "v.validate(vss[:i].encode('latin-1'))"},
    "case10_1_1.py": {"len(self.payload) / self": "len(self.payload) // self"},
    "case12_x_x.py": {
        "import copy, os, pkg_resources, hashlib": "import copy, os, hashlib",
        'pkg_resources.resource_filename("autobahntestsuite", ': (
            "os.path.join(os.path.dirname(os.path.dirname(__file__)), "
        ),
        "def onMessage(self, msg, binary):\n": "def onMessage(self, msg, binary):\n   msg = msg.encode('latin-1')\n",
        "open(fn, 'rb').read()": "__import__('pathlib').Path(fn).read_bytes()",
        **_RENAMED,
    },
}
"""What 2to3 cannot know.  Each has to be found, so that another version of the package does not pass for this one."""

_EVERYWHERE = {"binascii.b2a_hex(": "repr(", "(object, Case, )": "(Case, )"}


class Unavailable(Exception):
    """The cases cannot be had on this machine; the text says why."""


def convert(directory: Path) -> Path:
    """Fetch the package with pip and convert its cases.

    :param directory: an empty one; what is put there is not for keeping.
    :return: the directory to import ``autobahntestsuite.case`` from.
    :raises Unavailable: there is no package index in reach, or this Python has no lib2to3 (it ended with 3.12).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            from lib2to3.refactor import RefactoringTool, get_fixers_from_package
    except ImportError:
        raise Unavailable("lib2to3, which converts Autobahn|Testsuite, is in Python 3.11 and 3.12 only") from None
    archive = _fetch(directory)
    with tarfile.open(archive) as sources:
        root = archive.name.removesuffix(".tar.gz")
        members = [one for one in sources if one.isfile() and one.name.removeprefix(f"{root}/").startswith(_TAKEN)]
        sources.extractall(directory, members, filter="data")
    tool = RefactoringTool(get_fixers_from_package("lib2to3.fixes"))
    package = directory / root / "autobahntestsuite"
    (package / "__init__.py").touch()
    for path in sorted((package / "case").glob("*.py")):
        text = _edited(path.name, path.read_text("latin-1").replace("# coding=utf-8", "", 1))
        path.write_text(text)  # fix_import looks for the modules beside the one that it converts
        path.write_text(str(tool.refactor_string(text if text.endswith("\n") else text + "\n", str(path))))
    return package.parent


def _fetch(directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", ":all:", "--dest", str(directory), PACKAGE]
    try:
        subprocess.run(command, check=True, timeout=FETCH_TIMEOUT_S, capture_output=True, cwd=directory)
    except (subprocess.SubprocessError, OSError):
        raise Unavailable(f"pip cannot download {PACKAGE}") from None
    (found,) = directory.glob("*.tar.gz")
    return found


def _edited(name: str, text: str) -> str:
    for old, new in _EDITS.get(name, {}).items():
        if old not in text:
            raise ValueError(f"{name} of {PACKAGE} has no {old!r}")
        text = text.replace(old, new)
    for old, new in _EVERYWHERE.items():
        text = text.replace(old, new)
    return text
