"""The console script, the options of twistd, and the plug-in."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from twisted.application.service import IServiceMaker
from twisted.plugin import getPlugins
from twisted.python import usage
from twisted.trial.unittest import SynchronousTestCase

import zaqar_gateway
from zaqar_gateway import config
from zaqar_gateway.address import RedisAddress
from zaqar_gateway.operations import policy
from zaqar_gateway.options import Options

ROOT = Path(zaqar_gateway.__file__).parent.parent


class CommandCase(SynchronousTestCase):
    """Runs commands in a process of their own."""

    def command(self, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run ``python -m zaqar_gateway``."""
        variables = {key: value for key, value in os.environ.items() if not key.startswith("ZAQAR_GATEWAY_")}
        return subprocess.run(
            [sys.executable, "-m", "zaqar_gateway", *arguments],
            env={**variables, "PYTHONPATH": str(ROOT), **environ},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def file(self, text: str) -> str:
        """A file with a text."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = Path(directory, "gateway.toml")
        path.write_text(text, encoding="utf-8")
        return str(path)


class Commands(CommandCase):
    """The subcommands."""

    def test_help(self) -> None:
        """Help names the subcommands; none at all is an error."""
        done = self.command("--help")
        self.assertEqual(done.returncode, 0)
        for name in ("run", "check-config", "describe", "version"):
            self.assertRegex(done.stdout, rf"\n +{name}\s")
        self.assertEqual(self.command().returncode, 2)

    def test_version(self) -> None:
        """Versions are those of the gateway, of Python, of Twisted and of the server that would be started."""
        done = self.command("version")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(
            done.stdout, rf"^zaqar-gateway {zaqar_gateway.__version__}\nPython 3\.\S+\nTwisted \d\S+\n(Redis|Valkey) \d+\.\d+ \(/.+\)\n$"
        )

    def test_version_without_server(self) -> None:
        """Where no server can be started, the text says what to install."""
        done = self.command("version", ZAQAR_GATEWAY_STORAGE_REDIS_SERVER="/nowhere/redis-server")
        self.assertEqual(done.returncode, 0)
        self.assertIn("\nRedis: no redis-server or valkey-server of version 6.2 or later was found (/nowhere/redis-server", done.stdout)

    def test_describe(self) -> None:
        """A description is printed as JSON, of what the settings give."""
        path = self.file("admin_mode = true\n[listen]\nhttp = ['tcp:7777:interface=127.0.0.1']")
        done = self.command("describe", "openapi", "-c", path, ZAQAR_GATEWAY_TRANSPORT_MAX_MESSAGES_PER_PAGE="7")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        found = json.loads(done.stdout)
        self.assertEqual((found["openapi"], found["servers"]), ("3.1.0", [{"url": "http://127.0.0.1:7777"}]))
        self.assertIn("/v2/health", found["paths"])
        self.assertIn('"maximum": 7,', done.stdout)
        done = self.command("describe", "asyncapi")
        self.assertEqual((done.returncode, json.loads(done.stdout)["asyncapi"]), (0, "3.0.0"))

    def test_describe_refuses(self) -> None:
        """Settings that cannot be used are told, and there is nothing to describe with but the two."""
        path = self.file("admin_mode = 1")
        done = self.command("describe", "openapi", "-c", path)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("admin_mode is 1; it has to be true or false.", done.stderr)
        self.assertEqual(self.command("describe", "wsdl").returncode, 2)

    def test_describes_nothing_else(self) -> None:
        """A gateway imports nothing of what describes it."""
        text = "import sys, zaqar_gateway.tap; print([name for name in sys.modules if '.describ' in name or '.descriptions' in name])"
        done = subprocess.run(
            [sys.executable, "-c", text], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout, "[]\n")

    def test_check_config(self) -> None:
        """What is in effect is printed as TOML, without passwords."""
        path = self.file("[storage]\nuri = 'redis://:s3cr3t@h'")
        done = self.command("check-config", "--config", path, ZAQAR_GATEWAY_ADMIN_MODE="yes")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("admin_mode = true\n", done.stdout)
        self.assertIn('\nuri = "redis://:***@h:6379"\n', done.stdout)

    def test_check_config_refuses(self) -> None:
        """What is wrong is printed, and the status is 1."""
        path = self.file("admin_mode = 1")
        done = self.command("check-config", "-c", path)
        self.assertEqual(
            (done.returncode, done.stdout, done.stderr), (1, "", f"{path}: admin_mode is 1; it has to be true or false.\n")
        )

    def test_check_config_looks_at_files(self) -> None:
        """Files of TLS, and the program of the embedded Redis, are looked at as a start does."""
        path = self.file("nonsense")
        for settings, expected in (
            (f"[listen]\nhttp = ['tls:8443']\n[tls]\ncertificate_file = '{path}.pem'", "/gateway.toml.pem cannot be read: No such file"),
            (f"[listen]\nhttp = ['tls:8443']\n[tls]\ncertificate_file = '{path}'", "holds no certificate in PEM"),
            (f"[storage]\nredis_server = '{path}'", "/gateway.toml cannot be run: "),
        ):
            done = self.command("check-config", "-c", self.file(settings))
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(expected, done.stderr)
            self.assertNotIn("Traceback", done.stderr)

    def test_sample(self) -> None:
        """The sample is printed, whatever the settings are."""
        done = self.command("check-config", "--sample", ZAQAR_GATEWAY_ADMIN_MODE="nonsense")
        self.assertEqual((done.returncode, done.stdout), (0, config.sample()))

    def test_sample_policy(self) -> None:
        """The sample of a policy file is printed."""
        done = self.command("check-config", "--sample-policy")
        self.assertEqual((done.returncode, done.stdout), (0, policy.sample()))

    def test_check_policy(self) -> None:
        """The policy file is looked at: doubts are printed beside the settings, and what is wrong in place of them."""
        path = self.file("")
        rules = Path(path).with_name("policy.yaml")
        rules.write_text('"queue:get": "@"', encoding="utf-8")
        done = self.command("check-config", "-c", path)
        self.assertEqual(done.returncode, 0)
        self.assertIn(f"{rules}: queue:get is no rule of this service", done.stderr)
        self.assertIn("[oslo_policy]", done.stdout)
        rules.write_text('"queues:get": "admin"', encoding="utf-8")
        done = self.command("check-config", "-c", path)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"{rules}, line 1: queues:get: 'admin' is no check", done.stderr)

    def test_run_refuses(self) -> None:
        """Serving with settings that cannot be used ends at once with what is wrong, and with status 2."""
        done = self.command("run", "--storage", "nonsense")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertIn("zaqar-gateway run: the settings cannot be used:\ncommand line: [storage] uri; ", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_run_help(self) -> None:
        """Help of ``run`` has the options, and the version is the gateway's."""
        done = self.command("run", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertTrue(done.stdout.startswith("Usage: zaqar-gateway run [options]\n"))
        for name in ("config", "http", "websocket", "storage", "data-dir", "workers", "show"):
            self.assertIn(f"--{name}", done.stdout)
        self.assertEqual(self.command("run", "--version").stdout, f"zaqar-gateway {zaqar_gateway.__version__}\n")


class OptionsTests(CommandCase):
    """The options of twistd."""

    def parse(self, *arguments: str) -> Options:
        """Parse a command line."""
        options = Options()
        options.parseOptions(list(arguments))
        return options

    def test_none(self) -> None:
        """Without an option nothing is changed."""
        options = self.parse()
        self.assertEqual(options.loaded, config.load(None, os.environ, {}))
        self.assertFalse(options["show"])

    def test_all(self) -> None:
        """Each option sets what it names; listeners may be several."""
        path = self.file("admin_mode = true\n[listen]\nhttp = []")
        options = self.parse(
            *("-c", path, "--http", "tcp:80", "--http=tcp:81", "--websocket", "tcp:90"),
            *("--storage", "redis://h/name", "--data-dir", "/data", "--workers", "3", "--show"),
        )
        self.assertTrue(options.loaded.admin_mode)
        self.assertEqual(options.loaded.listen, config.Listen(("tcp:80", "tcp:81"), ("tcp:90",), workers=3))
        self.assertEqual(options.loaded.redis, RedisAddress("h", key_prefix="name"))
        self.assertEqual(options.loaded.storage.data_dir, "/data")
        self.assertTrue(options["show"])

    def test_environment(self) -> None:
        """Settings can be read from another environment."""
        settings = self.parse().settings({"ZAQAR_GATEWAY_STORAGE_URI": "memory:"})
        self.assertEqual(settings.store, "memory")

    def test_refusal(self) -> None:
        """Every problem of the settings is in the text of the usage error."""
        error = self.assertRaises(
            usage.UsageError, self.parse, "--http", "nonsense", "--storage", "nonsense", "--workers", "many"
        )
        self.assertIn("command line: [listen] http is ", str(error))
        self.assertIn('command line: [listen] workers is "many"; it has to be a whole number from 0 to 1000.', str(error))
        self.assertIn("command line: [storage] uri; ", str(error))


class Plugin(CommandCase):
    """The plug-in of twistd."""

    def test_found(self) -> None:
        """twistd finds exactly one, and it names the module that makes the service."""
        found = [each for each in getPlugins(IServiceMaker) if each.tapname == "zaqar-gateway"]
        self.assertEqual([getattr(each, "module", "") for each in found], ["zaqar_gateway.tap"])
