"""The tables of docs/conformance.rst: nothing is left out, and every test that they name is one that runs."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType
from typing import Any
from unittest import TestCase

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import build_operations
from tests.pooling import memory_process
from tests.system.gateway import ROOT
from tests.wire import test_table
from tests.wire.gateway import OnMemory, OnRedis
from tests.wire.table import CASES, Step

TABLES: dict[str, Any] = tomllib.loads((ROOT / "docs" / "conformance.toml").read_text(encoding="utf-8"))
TRANSPORTS = ("http", "websocket")
_IN_TABLE = "wire.test_table."


def rows() -> Iterator[tuple[str, dict[str, Any]]]:
    """All rows of all tables, each with what it is about."""
    for name, row in TABLES["operations"].items():
        yield name, row
    for name in ("others", "missing", "vectors", "promises"):
        for row in TABLES[name]:
            yield row["what"], row


def classes_of(module: ModuleType, pattern: str, test: str) -> list[type[TestCase]]:
    """The classes of a module that fit a pattern and have a test that fits another."""
    return [
        found
        for name, found in vars(module).items()
        if isinstance(found, type)
        and issubclass(found, TestCase)
        and found.__module__ == module.__name__
        and fnmatchcase(name, pattern)
        and any(fnmatchcase(each, test) and callable(getattr(found, each)) for each in dir(found))
    ]


class ConformanceTests(SynchronousTestCase):
    """The tables and what they speak of."""

    def test_every_operation(self) -> None:
        """Every operation of the registry is there, over each of its transports and no other."""
        process = memory_process(Clock())
        known = {
            row.name: {over for over, way in zip(TRANSPORTS, (row.http, row.frame), strict=True) if way}
            for row in build_operations(process.storage, pooling=process.pooling).operations
        }
        self.assertEqual({name: set(row) for name, row in TABLES["operations"].items()}, known)

    def test_every_row_is_shown(self) -> None:
        """Each row names a test, and has no key that the page does not show."""
        for what, row in rows():
            shown = [over for over in TRANSPORTS if over in row]
            self.assertTrue(shown, what)
            self.assertTrue(all(row[over] for over in shown), what)
            self.assertLessEqual(set(row), {"what", "gives", *TRANSPORTS}, what)

    def test_cases_run_the_operation(self) -> None:
        """A case of the table of wire tests that is named for an operation has a step that is that operation."""
        for name, row in TABLES["operations"].items():
            for pattern in (test.rpartition(".")[2] for over in TRANSPORTS for test in row.get(over, ()) if _IN_TABLE in test):
                cases = [CASES[int(test[5:8])] for test in dir(test_table.HttpRedisTests) if fnmatchcase(test, pattern)]
                steps = [step.call.name for case in cases for step in case.steps if isinstance(step, Step)]
                self.assertIn(name, steps, pattern)

    def test_tests_exist(self) -> None:
        """Each test exists; one with a star in the name of its class on both stores, every other not on memory alone."""
        named = {test for _, row in rows() for over in TRANSPORTS for test in row.get(over, ())}
        wrong = [f"{name}: {what}" for name in sorted(named) if (what := self.wrong_with(name))]
        self.assertEqual(wrong, [])

    def wrong_with(self, name: str) -> str:
        """What is wrong with the name of a test, empty where nothing is."""
        module, pattern, test = name.rsplit(".", 2)
        found = classes_of(import_module(f"tests.{module}"), pattern, test)
        if not found or not test.startswith("test_"):
            return "there is no such test"
        stores = {store for store in (OnMemory, OnRedis) for each in found if issubclass(each, store)}
        if "*" in pattern:
            both = len(stores) == 2 and all(issubclass(each, OnMemory | OnRedis) for each in found)
            return "" if both else f"it is not on both stores: {found}"
        return "it is on memory alone" if stores == {OnMemory} else ""
