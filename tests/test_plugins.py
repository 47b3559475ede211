"""Plug-ins: how they are found, and what is said of those that cannot be used."""

from __future__ import annotations

import shutil
import sys
import tempfile
import textwrap
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway import plugins
from zaqar_gateway.backends import make_backend
from zaqar_gateway.cli import main
from zaqar_gateway.config import ConfigError, Settings, effective, load
from zaqar_gateway.interfaces import IMessageFilter
from zaqar_gateway.plugins import PluginError
from zaqar_gateway.role import Alone
from zaqar_gateway.tap import Gateway

SOURCE = """
from zope.interface import implementer
from zaqar_gateway.interfaces import IMessageFilter, INotifier, IStorageBackend
from zaqar_gateway.model import Verdict
from zaqar_gateway.storage.memory import MemoryStorage


@implementer(IMessageFilter)
class Filter:
    def __init__(self, settings, reactor):
        self.settings = settings

    async def request(self, ctx, call):
        pass

    async def post(self, ctx, place, messages):
        return messages

    async def answer(self, ctx, call, messages):
        return messages


def choosy(settings, reactor):
    raise ValueError("color has to be blue")


def broken(settings, reactor):
    raise KeyError("color")


@implementer(IMessageFilter)
class Half:
    def __init__(self, settings, reactor):
        pass


class Other:
    def __init__(self, settings, reactor):
        pass


@implementer(INotifier)
class Pager:
    schemes = ("page", "beep")

    def __init__(self, settings, reactor):
        self.settings = settings

    def check(self, subscriber, options):
        pass

    async def send(self, delivery):
        return Verdict(True)


@implementer(IStorageBackend)
class Backend:
    def __init__(self, settings, reactor):
        self.settings = settings
        self.storage = MemoryStorage(reactor)
        self.where = "a place"

    async def start(self):
        pass

    async def stop(self):
        pass
"""


class PluginCase(SynchronousTestCase):
    """A test with packages that are installed for it alone."""

    def setUp(self) -> None:
        self.place = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.place)
        sys.path.insert(0, str(self.place))
        self.addCleanup(sys.path.remove, str(self.place))
        self.addCleanup(sys.modules.pop, "plugged", None)
        (self.place / "plugged.py").write_text(SOURCE)

    def install(self, distribution: str = "plugged", **groups: str) -> None:
        """Install a package, version 1.5, with lines of entry points for some of the groups."""
        info = self.place / f"{distribution}-1.5.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
        sections = (f"[zaqar_gateway.{group}]\n{textwrap.dedent(lines)}\n" for group, lines in groups.items())
        (info / "entry_points.txt").write_text("\n".join(sections))

    def refusal(self, name: str) -> str:
        """What is said of a filter that cannot be used."""
        made = self.assertRaises(PluginError, plugins.make, plugins.FILTERS, name, IMessageFilter, {}, Clock())
        return str(made)

    def load(self, text: str, **environ: str) -> Settings:
        """Settings from the text of a file."""
        path = self.place / "gateway.toml"
        path.write_text(text)
        variables = {f"ZAQAR_GATEWAY_{name}": value for name, value in environ.items()}
        return load(str(path), variables, {})

    def problems(self, text: str) -> list[str]:
        """What is wrong with it."""
        error = self.assertRaises(ConfigError, self.load, text)
        return [problem.replace(str(self.place / "gateway.toml"), "FILE") for problem in error.problems]


class MakeTests(PluginCase):
    """How a plug-in is made."""

    def test_made(self) -> None:
        """It is made by what its entry point names, with the arguments of its group."""
        self.install(filters="one = plugged:Filter")
        made = plugins.make(plugins.FILTERS, "one", IMessageFilter, {"a": 1}, Clock())
        self.assertEqual(made.settings, {"a": 1})

    def test_found_without_import(self) -> None:
        """Names are known in order, and nothing is imported for that."""
        self.install(filters="two = plugged:Filter\none = plugged:Filter")
        found = plugins.installed(plugins.FILTERS)
        self.assertEqual([name for name in found if name in ("one", "two")], ["one", "two"])
        self.assertNotIn("plugged", sys.modules)

    def test_refusals(self) -> None:
        """What cannot be used is told with its name, its package, its entry point, and the reason."""
        self.install(
            filters="""\
            nowhere = no_such_module:Filter
            nothing = plugged:Nothing
            choosy = plugged:choosy
            broken = plugged:broken
            half = plugged:Half
            other = plugged:Other"""
        )
        for name, value, reason in (
            (
                "nowhere",
                "no_such_module:Filter",
                "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'",
            ),
            (
                "nothing",
                "plugged:Nothing",
                "cannot be loaded: AttributeError: module 'plugged' has no attribute 'Nothing'",
            ),
            ("choosy", "plugged:choosy", "refuses its settings: color has to be blue"),
            ("broken", "plugged:broken", "cannot be made: KeyError: 'color'"),
            (
                "half",
                "plugged:Half",
                "does not provide IMessageFilter: The object plugged.Half has failed to implement",
            ),
            (
                "other",
                "plugged:Other",
                "does not provide IMessageFilter: The object plugged.Other has failed to implement",
            ),
        ):
            text = self.refusal(name)
            who = f"{name} (plugged 1.5, entry point {value} of zaqar_gateway.filters) "
            self.assertTrue(text.startswith(who + reason), text)
            self.assertNotIn("\n", text)

    def test_not_installed(self) -> None:
        """For what is not installed all are named that are."""
        self.install(filters="one = plugged:Filter")
        self.assertIn("red is not installed; entry points of zaqar_gateway.filters that are: ", self.refusal("red"))
        self.assertIn("one", self.refusal("red"))

    def test_two_of_a_name(self) -> None:
        """A name that two packages have is refused, with both of them."""
        self.install("first", filters="one = plugged:Filter")
        self.install("second", filters="one = plugged:Other")
        self.assertIn("one is brought by more than one package: first 1.5, second 1.5; ", self.refusal("one"))


class NotifierTests(PluginCase):
    """Notifiers of other packages."""

    def test_schemes(self) -> None:
        """All that are installed are made, with their settings, and known by their schemes."""
        self.install(notifiers="pager = plugged:Pager")
        found = plugins.notifiers({"pager": {"line": 7}}, Clock())
        for scheme in ("page", "beep"):
            self.assertEqual(found[scheme].settings, {"line": 7})  # type: ignore[attr-defined]

    def test_odd_schemes(self) -> None:
        """Schemes that no subscriber can have are refused, a text in place of a list of them too."""
        source = "\n".join(
            f"class Odd{number}(Pager):\n    schemes = {schemes}"
            for number, schemes in enumerate(('"sms"', '"tel"', "None", "7", '("SMS",)', '("sms:",)', "(1,)", '("",)', 'b"tel"'))
        )
        (self.place / "plugged.py").write_text(f"{SOURCE}\n{source}\n")
        for number in range(9):
            self.install(f"odd{number}", notifiers=f"pager = plugged:Odd{number}")
            said = str(self.assertRaises(PluginError, plugins.notifiers, {}, Clock()))
            begin = f"pager (odd{number} 1.5, entry point plugged:Odd{number} of zaqar_gateway.notifiers) cannot be used: its schemes are "
            self.assertTrue(said.startswith(begin), said)
            self.assertTrue(said.endswith("; they have to be a list or a tuple of texts in lower case without a colon"), said)
            shutil.rmtree(self.place / f"odd{number}-1.5.dist-info")

    def test_scheme_of_two(self) -> None:
        """Two that deliver to one scheme are refused."""
        self.install(notifiers="pager = plugged:Pager\nother = plugged:Pager")
        error = self.assertRaises(PluginError, plugins.notifiers, {}, Clock())
        self.assertIn("other and pager (entry points of zaqar_gateway.notifiers) both deliver to page:", str(error))


class SettingsTests(PluginCase):
    """Settings that name plug-ins."""

    FILTERS = "one = plugged:Filter\ntwo = plugged:Filter"

    def test_filters(self) -> None:
        """Filters are listed in their order, and each has a table of its own."""
        self.install(filters=self.FILTERS, notifiers="pager = plugged:Pager")
        settings = self.load(
            '[storage]\nmessage_filters = ["two", "one"]\n'
            "[filter.one]\na = {b = [1]}\n[filter.two]\n[notifier.pager]\nc = 1"
        )
        self.assertEqual(settings.storage.message_filters, ("two", "one"))
        self.assertEqual(settings.filter_tables, {"one": {"a": {"b": [1]}}, "two": {}})
        self.assertEqual(settings.notifier_tables, {"pager": {"c": 1}})
        self.assertEqual(self.load("", STORAGE_MESSAGE_FILTERS="one two").storage.message_filters, ("one", "two"))

    def test_shown(self) -> None:
        """What is in effect has the tables with no value of them, since any may be secret."""
        self.install(filters=self.FILTERS)
        settings = self.load('[filter.one]\npassword = "s3cr3t"')
        self.assertIn('[filter."one"]\n"password" = "***"\n', effective(settings))
        for shown in (effective(settings), repr(settings)):
            self.assertNotIn("s3cr3t", shown)

    def test_pipeline_of_the_reference(self) -> None:
        """message_pipeline is another spelling, in which the stage that notifies is no filter."""
        self.install(filters=self.FILTERS)
        for text, expected in (
            ('["zaqar.notification.notifier"]', ()),
            ('["one", "zaqar.notification.notifier"]', ("one",)),
        ):
            settings = self.load(f"[storage]\nmessage_pipeline = {text}")
            self.assertEqual(settings.storage.message_filters, expected)
        (problem,) = self.problems('[storage]\nmessage_pipeline = ["one"]\nmessage_filters = ["two"]')
        self.assertIn("say the same thing twice", problem)

    def test_refused(self) -> None:
        """What is not installed, there twice, or no table is refused, with what there is."""
        self.install(filters=self.FILTERS, storage="paper = plugged:Backend")
        for text, expected in (
            ('[storage]\nmessage_filters = ["three"]', '"three" is not installed; installed are: '),
            ('[storage]\nmessage_filters = ["one", "one"]', '"one" is there twice'),
            ('[storage]\nmessage_filters = "one"', "it has to be a list of names of installed message filters"),
            (
                "[filter]\none = 1",
                "FILE: [filter] one is not a setting; those of a filter are in a table [filter.NAME].",
            ),
            ("[filter.three]\na = 1", "FILE: [filter.three] is of a filter that is not installed; installed are: "),
            (
                "[notifier.three]\na = 1",
                "FILE: [notifier.three] is of a notifier that is not installed; installed are: ",
            ),
            ("[filters.one]\na = 1", "FILE: [filters] is not a section; did you mean [filter]?"),
            (
                "[storage]\nuri = 'papyrus:x'",
                "there is no backend for its scheme; those of plug-ins that are installed are: ",
            ),
        ):
            (problem,) = self.problems(text)
            self.assertIn(expected, problem)

    def test_backend(self) -> None:
        """The scheme of an installed backend is accepted, and its URI not shown."""
        self.install(storage="paper = plugged:Backend")
        settings = self.load("[storage]\nuri = 'paper://u:s3cr3t@desk/'")
        self.assertEqual((settings.store, settings.redis), ("paper", None))
        self.assertIn('uri = "paper:***"\n', effective(settings))
        for shown in (effective(settings), repr(settings)):
            self.assertNotIn("s3cr3t", shown)

    def test_own_schemes(self) -> None:
        """No package takes the place of a backend of this one."""
        self.install(storage="redis = plugged:Backend\nmemory = plugged:Backend")
        self.assertEqual(self.load("[storage]\nuri = 'redis://h'").store, "redis")
        self.assertEqual(len(self.problems("[storage]\nuri = 'memory:x'")), 1)
        self.assertIn(
            "the memory of this process", make_backend(self.load("[storage]\nuri = 'memory:'"), Clock()).where
        )


def gateway_of(settings: Settings) -> Gateway:
    """A gateway that has not started."""
    clock = Clock()
    return Gateway(settings, clock, Alone(settings, clock))


class GatewayTests(PluginCase):
    """A gateway that is put together from them."""

    def test_backend(self) -> None:
        """A backend is given its URI, the durability and the bounds that were asked for."""
        self.install(storage="paper = plugged:Backend")
        settings = self.load(
            "[storage]\nuri = 'paper:a'\ndurability = 'fsync'\n"
            "[notification]\nlog_max_bytes = 65536\nlog_max_age_s = 60"
        )
        made = make_backend(settings, Clock())
        given = made.settings  # type: ignore[attr-defined]
        self.assertEqual((given.uri, given.durability), ("paper:a", "fsync"))
        self.assertEqual((given.log.bytes_max, given.log.age_max_s), (65536, 60))

    def test_half_a_store(self) -> None:
        """A backend whose store lacks a part, or a method, keeps the gateway from being made, and is told with what it lacks."""
        (self.place / "plugged.py").write_text(
            f"{SOURCE}\n"
            "class No(Backend):\n"
            "    def __init__(self, settings, reactor):\n"
            "        super().__init__(settings, reactor)\n"
            "        self.storage = object()\n"
            "class Late(Backend):\n"
            "    def __init__(self, settings, reactor):\n"
            "        super().__init__(settings, reactor)\n"
            "        self.storage.claims = None\n"
            "class Former(Backend):\n"
            "    def __init__(self, settings, reactor):\n"
            "        super().__init__(settings, reactor)\n"
            "        class Messages:\n"
            "            async def get(self, project, queue, ids):\n"
            "                return []\n"
            "        self.storage.messages = Messages()\n"
        )
        for name, interface, lacks in (
            ("No", "IStorage", "IStorage.secret(name, fresh) attribute was not provided"),
            ("Late", "IClaimStore", "IClaimStore.create(project, queue, ttl_s, grace_s, limit) attribute was not provided"),
            ("Former", "IMessageStore", "IMessageStore.pop(project, queue, limit) attribute was not provided"),
        ):
            self.install(name, storage=f"paper = plugged:{name}")
            error = self.assertRaises(PluginError, gateway_of, self.load("[storage]\nuri = 'paper:a'"))
            begin = f"paper ({name} 1.5, entry point plugged:{name} of zaqar_gateway.storage) does not provide {interface}: "
            self.assertTrue(str(error).startswith(begin), str(error))
            self.assertIn(lacks, str(error))
            shutil.rmtree(self.place / f"{name}-1.5.dist-info")

    def test_stop_fails(self) -> None:
        """That a store cannot be put away is in the log, and the gateway stops all the same."""
        wet = "class Wet(Backend):\n    async def stop(self):\n        raise OSError('the paper is wet')\n"
        (self.place / "plugged.py").write_text(f"{SOURCE}\n{wet}")
        self.install(storage="paper = plugged:Wet")
        gateway = gateway_of(self.load("[storage]\nuri = 'paper:a'"))
        self.successResultOf(gateway.stopService())
        (failure,) = self.flushLoggedErrors(OSError)
        self.assertEqual(failure.getErrorMessage(), "the paper is wet")

    def test_notifiers(self) -> None:
        """Notifiers that cannot be used keep the gateway from being made."""
        self.install(notifiers="pager = plugged:Pager\nother = plugged:Pager")
        error = self.assertRaises(PluginError, gateway_of, self.load("[storage]\nuri = 'memory:'"))
        self.assertIn("both deliver to page:", str(error))

    def test_filter_refuses(self) -> None:
        """A filter that refuses its settings keeps the gateway from being made."""
        self.install(filters="choosy = plugged:choosy")
        settings = self.load("[storage]\nuri = 'memory:'\nmessage_filters = ['choosy']")
        error = self.assertRaises(PluginError, gateway_of, settings)
        self.assertIn("refuses its settings: color has to be blue", str(error))

    def test_check(self) -> None:
        """check-config says of each plug-in what a start would, and prints no settings then."""
        self.install(filters="choosy = plugged:choosy\nfine = plugged:Filter", storage="broken = plugged:broken")
        for text, told in (
            ("[storage]\nuri = 'memory:'\nmessage_filters = ['choosy']", "refuses its settings: color has to be blue"),
            ("[storage]\nuri = 'broken:'", "cannot be made"),
            ("[storage]\nuri = 'memory:'\nmessage_filters = ['fine']", ""),
        ):
            self.load(text)
            out, err = StringIO(), StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                status = main(["check-config", "--config", str(self.place / "gateway.toml")])
            self.assertEqual((status, bool(out.getvalue())), (1, False) if told else (0, True), err.getvalue())
            self.assertIn(told, err.getvalue())
