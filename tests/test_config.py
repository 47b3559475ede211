"""Settings from file, environment and command line."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import hypothesis
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway import address, config
from zaqar_gateway.address import PORT_DEFAULT, RedisAddress
from zaqar_gateway.config import ConfigError, Settings, load
from zaqar_gateway.errors import BadClientId
from zaqar_gateway.limits import Limits
from zaqar_gateway.transport.http.cors import ALLOWED_HEADERS, EXPOSED_HEADERS, METHODS

examples = hypothesis.settings(derandomize=True, deadline=None)
ROOT = Path(__file__).parent.parent


class ConfigCase(SynchronousTestCase):
    """Loads settings from texts."""

    def file(self, text: str | bytes) -> str:
        """A file with a text."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        path = Path(directory, "gateway.toml")
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(path)

    def load(self, text: str = "", **environ: str) -> Settings:
        """Settings from the text of a file and from variables, named without their prefix."""
        return load(self.file(text), {f"ZAQAR_GATEWAY_{name}": value for name, value in environ.items()}, {})

    def refused(self, text: str = "", **environ: str) -> list[str]:
        """The problems of what is not accepted, without the path of the file."""
        path = self.file(text)
        variables = {f"ZAQAR_GATEWAY_{name}": value for name, value in environ.items()}
        error = self.assertRaises(ConfigError, load, path, variables, {})
        self.assertEqual(str(error).split("\n"), list(error.problems))
        return [problem.replace(path, "FILE") for problem in error.problems]


class Defaults(ConfigCase):
    """Without any configuration."""

    def test_values(self) -> None:
        """It listens on the two usual ports of the loopback interface and keeps data in an embedded Redis."""
        settings = load(None, {"HOME": "/home/u"}, {})
        self.assertEqual(settings.listen.http, ("tcp:8888:interface=127.0.0.1",))
        self.assertEqual(settings.listen.websocket, ("tcp:9000:interface=127.0.0.1",))
        self.assertEqual((settings.store, settings.redis), ("embedded", None))
        self.assertEqual(settings.storage.durability, "memory")
        self.assertFalse(settings.admin_mode)

    def test_limits_are_those_of_the_reference(self) -> None:
        """The limits are those that the operations have without a configuration."""
        settings = load(None, {}, {})
        self.assertEqual(settings.limits, Limits())
        self.assertRaises(BadClientId, settings.client_ids.canonical, "1234567890")

    def test_data_directory(self) -> None:
        """Data are where the base directory specification says; a relative base is ignored."""
        for environ, expected in (
            ({"HOME": "/home/u"}, "/home/u/.local/share/zaqar-gateway"),
            ({"HOME": "/home/u", "XDG_DATA_HOME": "/data"}, "/data/zaqar-gateway"),
            ({"HOME": "/home/u", "XDG_DATA_HOME": "data"}, "/home/u/.local/share/zaqar-gateway"),
            ({"HOME": "/home/u", "ZAQAR_GATEWAY_STORAGE_DATA_DIR": "~/zg"}, "/home/u/zg"),
            ({"ZAQAR_GATEWAY_STORAGE_DATA_DIR": "/var/../srv/zg"}, "/srv/zg"),
        ):
            self.assertEqual(load(None, environ, {}).storage.data_dir, expected)

    def test_no_reactor(self) -> None:
        """Reading settings does not choose a reactor."""
        script = "import sys, zaqar_gateway.config as c; c.load(None, {}, {})"
        script += "\nassert 'twisted.internet.reactor' not in sys.modules"
        done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class Sources(ConfigCase):
    """Where values come from, and which wins."""

    def test_order(self) -> None:
        """The command line wins over the environment, the environment over the file, the file over the default."""
        path = self.file("[storage]\nuri = 'redis://file'\ndata_dir = '/file'\nredis_server = 'file'\n")
        environ = {"ZAQAR_GATEWAY_STORAGE_DATA_DIR": "/environment", "ZAQAR_GATEWAY_STORAGE_URI": "memory:"}
        settings = load(path, environ, {"storage.uri": "redis://option"})
        self.assertEqual(settings.redis, RedisAddress("option"))
        self.assertEqual(settings.storage.data_dir, "/environment")
        self.assertEqual(settings.storage.redis_server, "file")

    def test_file_from_environment(self) -> None:
        """A variable names the file; the argument wins over it."""
        environ = {"ZAQAR_GATEWAY_CONFIG": self.file("admin_mode = true")}
        self.assertTrue(load(None, environ, {}).admin_mode)
        self.assertFalse(load(self.file(""), environ, {}).admin_mode)

    def test_every_setting_by_variable(self) -> None:
        """Each setting has a variable of its own that accepts its default, and another value of its type."""
        everything = (*config.OPTIONS, *config.ALIASES)
        self.assertEqual(len({option.variable for option in everything}), len(everything))
        for option in config.OPTIONS:
            default = config.to_toml(option.default).strip('"')
            load(None, {option.variable: default}, {})
        settings = self.load(
            "",
            ENABLE_CHECKSUM="yes",
            LISTEN_HTTP="tcp:80 tcp:81",
            LISTEN_WEBSOCKET='["tcp:82", "unix:/run/a b"]',
            TRANSPORT_MAX_QUEUES_PER_PAGE="50",
            HTTP_IDLE_TIMEOUT_S="7.5",
            WEBSOCKET_COMPRESSION="0",
            TRANSPORT_CLIENT_ID_UUID_SAFE="off",
        )
        self.assertTrue(settings.enable_checksum)
        self.assertEqual(settings.listen.http, ("tcp:80", "tcp:81"))
        self.assertEqual(settings.listen.websocket, ("tcp:82", "unix:/run/a b"))
        self.assertEqual(settings.limits.queues_page_max, 50)
        self.assertEqual(settings.http.idle_timeout_s, 7.5)
        self.assertFalse(settings.websocket.compression)
        self.assertEqual(settings.client_ids.canonical("1234567890"), b"s1234567890")

    def test_limits(self) -> None:
        """Each limit of the file arrives under its own name."""
        names = {
            "default_message_ttl": "message_ttl_default_s",
            "default_message_delay": "message_delay_default_s",
            "default_claim_ttl": "claim_ttl_default_s",
            "default_claim_grace": "claim_grace_default_s",
            "max_queues_per_page": "queues_page_max",
            "max_messages_per_page": "messages_page_max",
            "max_messages_per_claim_or_pop": "claim_or_pop_max",
            "max_queue_metadata": "queue_metadata_max",
            "max_messages_post_size": "post_size_max",
            "max_message_ttl": "message_ttl_max_s",
            "max_message_delay": "message_delay_max_s",
            "max_claim_ttl": "claim_ttl_max_s",
            "max_claim_grace": "claim_grace_max_s",
        }
        values: dict[str, Any] = {key: 100 + number for number, key in enumerate(names)}
        lines = [f"{key} = {value}" for key, value in values.items()]
        settings = self.load("\n".join(["[transport]", "message_delete_with_claim_id = true", *lines]))
        expected = Limits(delete_needs_claim_id=True, **{names[key]: value for key, value in values.items()})
        self.assertEqual(settings.limits, expected)

    def test_whole_number_of_seconds(self) -> None:
        """Where a fraction of a second is accepted, a whole number is too."""
        self.assertEqual(self.load("[http]\nidle_timeout_s = 5").http.idle_timeout_s, 5.0)


class Refusals(ConfigCase):
    """What is wrong is told at once, with place, key and accepted form."""

    def test_all_at_once(self) -> None:
        """Every problem of every source is told."""
        problems = self.refused("admin_mode = 1\n[log]\nlevel = 'loud'", HTTP_MAX_CONNECTIONS="many", NONSENSE="1")
        self.assertEqual(
            problems,
            [
                "FILE: admin_mode is 1; it has to be true or false.",
                'FILE: [log] level is "loud"; it has to be "debug" or "info" or "warn" or "error" or "critical".',
                'environment: ZAQAR_GATEWAY_HTTP_MAX_CONNECTIONS is "many"; it has to be a whole number from 0 to'
                " 1000000.",
                "environment: ZAQAR_GATEWAY_NONSENSE is not a setting; 'zaqar-gateway check-config --sample' shows all"
                " there are.",
            ],
        )

    def test_near_misses(self) -> None:
        """For a name that is nearly right the right one is suggested."""
        for text, expected in (
            ("[storage]\ndurabilty = 'fsync'", "FILE: [storage] durabilty is not a setting; did you mean [storage] durability?"),
            ("[storge]\nuri = ''", "FILE: [storge] is not a section; did you mean [storage]?"),
            ("listen = 5", "FILE: listen is a section: it has to be a table, which begins with [listen]."),
            ("[[storage]]\nuri = ''", "FILE: storage is a section: it has to be a table, which begins with [storage]."),
            ("[http]\nadmin_mode = true", "FILE: [http] admin_mode is not a setting; did you mean admin_mode?"),
            ("[STORAGE]\nuri = ''", "FILE: [STORAGE] is not a section; did you mean [storage]?"),
            ("[Notifier.x]\nkey = 1", "FILE: [Notifier] is not a section; did you mean [notifier]?"),
            ("[transport]\nMax_Claim_TTL = 60", "FILE: [transport] Max_Claim_TTL is not a setting; did you mean [transport] max_claim_ttl?"),
            ("max_claim_ttl = 60", "FILE: max_claim_ttl is not a setting; did you mean [transport] max_claim_ttl?"),
        ):
            self.assertEqual(self.refused(text), [expected])
        self.assertIn("did you mean ZAQAR_GATEWAY_LISTEN_HTTP?", self.refused(LISTENER_HTTP="tcp:80")[0])

    def test_types(self) -> None:
        """A value of another type, or out of range, is refused in the file and in the environment."""
        for section, key, values in (
            ("transport", "max_claim_ttl", ("'60'", "true", "60.0", "59", "[]", "{}", "nan")),
            ("transport", "max_messages_per_page", ("0", "1001", "-1")),
            ("transport", "max_messages_per_claim_or_pop", ("0", "1001")),
            ("transport", "message_delete_with_claim_id", ("1", "'true'")),
            ("http", "idle_timeout_s", ("'5'", "true", "0", "-1.0", "nan", "inf")),
            ("storage", "durability", ("1", "'always'", "''")),
            ("storage", "data_dir", ("1", "[]", '"\\u0000"')),
            ("websocket", "max_frame_size", ("1048575", "1e7")),
            ("listen", "http", ("'tcp:80'", "[80]", "1")),
        ):
            for value in values:
                problems = self.refused(f"[{section}]\n{key} = {value}")
                self.assertEqual(len(problems), 1, (key, value, problems))
                self.assertIn(f"FILE: [{section}] {key} is ", problems[0])
                self.assertIn("it has to be ", problems[0])
        for variable in ("TRANSPORT_MAX_CLAIM_TTL", "HTTP_IDLE_TIMEOUT_S", "ADMIN_MODE"):
            for value in ("", "nan", "1x", "[1]"):
                self.assertEqual(len(self.refused("", **{variable: value})), 1, (variable, value))

    def test_listeners(self) -> None:
        """What is no endpoint is refused when settings are read, and so is listening nowhere."""
        for value in ("8888", "127.0.0.1:8888", "tcp:http", "tpc:80", "tcp:80:interfaces=::1"):
            problems = self.refused(f"[listen]\nhttp = ['{value}']")
            self.assertIn(f'"{value}" cannot be read', problems[0])
            self.assertIn("it has to be a list of Twisted server endpoint strings", problems[0])
        for value in ("tcp:65536", "tcp:-1", "tcp:port=88888:interface=127.0.0.1", "tcp:interface=127.0.0.1:port=88888", "tcp6:99999:backlog=5"):
            (problem,) = self.refused(f"[listen]\nhttp = ['{value}']")
            self.assertIn("; it has to be from 0 to 65535", problem)
        for value in ("tcp:8_0", "tcp:+80", "tcp: 80", "tcp:٨٠", "tcp6:port=+80", "haproxy:tcp:8_0", "tls:8_0"):
            (problem,) = self.refused(f"[listen]\nhttp = ['{value}']")
            self.assertIn("; it has to be from 0 to 65535, in digits alone", problem)
        for value in ("ssl:443", "ssl:443:privateKey=/nowhere", "haproxy:ssl:443:certKey=/nowhere"):
            self.assertIn("(TLS is spoken at tls:PORT, with the files that are named in [tls])", self.refused(f"[listen]\nhttp = ['{value}']")[0])
        self.assertIn("cannot be read (there is no path; the form is unix:/PATH", self.refused("[listen]\nhttp = ['unix:']")[0])
        for value, expected in (
            ("unix:/a:mode=999", "the mode is 999; it has to be an octal number"),
            ("unix:/a:lockfile=no", "the lockfile is no; it has to be 0 or 1"),
            ("unix:/a:backlog=x", "the backlog is x; it has to be a number, in digits alone"),
            ("tcp:80:backlog=-1", "the backlog is -1; it has to be a number, in digits alone"),
            ("tcp:80:backlog=1_0", "the backlog is 1_0; it has to be a number, in digits alone"),
            ("tcp:99999:port=80", "the port is given twice"),
            ("tcp:80:interfaces=x", "it has no part interfaces"),
            ("tcp:80:a:b:c", "it has too many parts"),
        ):
            self.assertIn(f"({expected}; the form is", self.refused(f"[listen]\nhttp = ['{value}']")[0])
        for value in ("tcp:65535", "tcp:0:interface=127.0.0.1:backlog=70000", "unix:/run/70000", r"unix:/run/a\=b\:c"):
            self.assertEqual(self.load(f"[listen]\nhttp = ['{value}']").listen.http, (value,))
        problems = self.refused("[listen]\nhttp = []\nwebsocket = []")
        self.assertIn("FILE: [listen] http and websocket are both empty", problems[0])
        self.assertEqual(self.load("[listen]\nwebsocket = []").listen.websocket, ())

    def test_same_endpoint(self) -> None:
        """Two listeners have two places; where the system chooses one, or another interface is named, they have."""
        for text, key, other in (
            ("http = ['tcp:80', 'tcp:port=80:backlog=9']", "http", "http"),
            ("websocket = ['tcp:8888:interface=127.0.0.1']", "websocket", "http"),
            ("admin = ['tcp:8888']", "admin", "http"),
            ("admin = ['tcp6:9464', 'tcp6:9464']", "admin", "admin"),
            (r"admin = ['tcp6:9464', 'tcp6:9464:interface=\:\:1']", "admin", "admin"),
            ("http = ['unix:/run/a']\nadmin = ['unix:/run/a:mode=600']", "admin", "http"),
            ("http = ['systemd:domain=INET:name=a']\nwebsocket = ['haproxy:systemd:domain=INET:name=a']", "websocket", "http"),
        ):
            (problem,) = self.refused(f"[listen]\n{text}")
            self.assertRegex(problem, rf"FILE: \[listen\] {key} has \S+, where \[listen\] {other} listens already; each endpoint has")
        for text in ("http = ['tcp:0', 'tcp:0']", "http = ['tcp:8888:interface=192.0.2.1']\nadmin = ['tcp:8888']", "admin = ['unix:/run/a']"):
            self.load(f"[listen]\n{text}")

    def test_listeners_for_operators(self) -> None:
        """They are checked as the others are; a port without an interface is that of loopback."""
        self.assertEqual(self.load("").listen.admin, ())
        self.assertIn("FILE: [listen] admin", self.refused("[listen]\nadmin = ['tcp:x']")[0])
        self.assertIn("[tls] certificate_file has to be a file", self.refused("[listen]\nadmin = ['tls:9464']")[0])
        for endpoint, expected in (
            ("tcp:9464", "tcp:9464:interface=127.0.0.1"),
            ("tcp:port=9464:backlog=5", "tcp:port=9464:backlog=5:interface=127.0.0.1"),
            ("tcp6:9464", r"tcp6:9464:interface=\:\:1"),
            ("haproxy:tcp:9464", "haproxy:tcp:9464:interface=127.0.0.1"),
            ("tcp:9464:interface=0.0.0.0", None),
            ("tcp:9464:192.0.2.1", None),
            ("unix:/run/a", None),
            ("systemd:domain=INET:index=0", None),
        ):
            self.assertEqual(config.on_loopback(endpoint), expected or endpoint)

    def test_addresses_of_listeners(self) -> None:
        """An address that is written as elsewhere is refused with the endpoint as it would be, which is accepted."""
        for value, right in (
            ("tcp:8888:interface=::1", r"tcp:8888:interface=\:\:1"),
            ("tcp:8888:interface=[::1]", r"tcp:8888:interface=\:\:1"),
            ("tcp6:8888:interface=fe80::1:backlog=5", r"tcp6:8888:interface=fe80\:\:1:backlog=5"),
            ("tcp:interface=2001:db8::1:port=8888", r"tcp:interface=2001\:db8\:\:1:port=8888"),
            ("haproxy:tcp:8888:interface=::", r"haproxy:tcp:8888:interface=\:\:"),
            ("tls:8888:interface=::1", r"tls:tcp:8888:interface=\:\:1"),
            ("tcp:[::1]:8888", r"tcp:8888:interface=\:\:1"),
            ("tcp:127.0.0.1:8888", "tcp:8888:interface=127.0.0.1"),
        ):
            (problem,) = self.refused(f"[listen]\nhttp = ['{value}']")
            self.assertIn(f'"{value}" cannot be read (the form is tcp', problem)
            self.assertIn(rf"and a colon within a part is written \:; so it would be '{right}')", problem)
            self.assertNotIn("Error", problem)
            text = f"[listen]\nhttp = ['{right}']\n[tls]\ncertificate_file = 'a.pem'"
            self.assertEqual(self.load(text).listen.http, (right,))
        for value in ("tcp:8888:interface=:x", "tcp:::1:8888", "tcp:80:interface=g::1", "tcp:99999:interface=127.0.0.1", "tcp:127.0.0.1:99999"):
            (problem,) = self.refused(f"[listen]\nhttp = ['{value}']")
            self.assertIn("the form is tcp:PORT[:interface=ADDRESS][:backlog=NUMBER]", problem)
            self.assertNotIn("so it would be", problem)

    def test_sockets_of_systemd(self) -> None:
        """Sockets that systemd hands over need not be there when settings are read; only how they are written is looked at."""
        for value in (
            *("systemd:domain=INET:index=0", "systemd:domain=INET6:name=zaqar", "systemd:INET:1"),
            "haproxy:systemd:domain=INET:index=0",
        ):
            self.assertEqual(self.load(f"[listen]\nhttp = ['{value}']").listen.http, (value,))
        for value, expected in (
            ("systemd:domain=INET", "one of index and name has to be given"),
            ("systemd:domain=INET:index=0:name=a", "one of index and name has to be given"),
            ("systemd:index=0", "the domain is missing"),
            ("systemd:domain=inet:index=0", "the domain is inet"),
            ("systemd:domain=INET:index=first", "the index is first"),
            ("systemd:domain=INET:index=0:backlog=5", "it has no part backlog"),
            ("systemd:domain=INET:name=", "one of index and name has to be given"),
            ("systemd:", "the domain is missing"),
            ("systemd:domain=UNIX:index=0", "a Unix socket cannot be taken over; unix:/PATH makes one"),
        ):
            (problem,) = self.refused(f"[listen]\nhttp = ['{value}']")
            self.assertIn(f"{expected}; the form is systemd:domain=INET or INET6, then :index=NUMBER or :name=NAME", problem)

    def test_digits(self) -> None:
        """Numbers in the environment are written in digits of ASCII, as those of the file."""
        for variable, value in (("NOTIFICATION_SMTP_PORT", "٨٠"), ("HTTP_IDLE_TIMEOUT_S", "٨")):
            self.assertIn("it has to be a ", self.refused("", **{variable: value})[0])

    def test_origins_of_sockets(self) -> None:
        """What can be the origin of no page is refused."""
        for value in ("app.example.org", "https://app.example.org/", "https://a.example.org/x", "https//a", ""):
            (problem,) = self.refused(f"[websocket]\nallowed_origins = ['{value}']")
            self.assertIn("[websocket] allowed_origins is ", problem)
            self.assertIn('such as ["https://app.example.org", "https://*.example.com"]', problem)
        right = ("https://app.example.org", "HTTPS://App.example.org:8443", "https://*.example.com", "*", "*.example.org", "http*://[::1]")
        self.assertEqual(self.load(f"[websocket]\nallowed_origins = {[*right]}").websocket.allowed_origins, right)

    def test_later(self) -> None:
        """What a later version brings is named so."""
        problems = self.refused("[notification]\nsmtp_mode = 'third_part'")
        self.assertIn("third_part is not available in this version", problems[0])
        self.assertEqual(self.load("auth_strategy = ''\nunreliable = true").auth_strategy, "")

    def test_workers_and_memory(self) -> None:
        """What one process keeps in its memory is not for several."""
        for count in (0, 2):
            (problem,) = self.refused(f"[storage]\nuri = 'memory:'\n[listen]\nworkers = {count}")
            self.assertIn(f"[listen] workers is {count}; it has to be 1 where [storage] uri is memory:", problem)

    def test_contradictions(self) -> None:
        """A default above its maximum, and other things that cannot go together, are refused."""
        for text, expected in (
            ("max_message_ttl = 600", "default_message_ttl is 3600; it has to be at most max_message_ttl, which is 600."),
            ("default_message_delay = 901", "it has to be at most max_message_delay, which is 900."),
            ("default_claim_ttl = 50000", "it has to be at most max_claim_ttl, which is 43200."),
            ("default_claim_grace = 50000", "it has to be at most max_claim_grace, which is 43200."),
            ("min_length_client_id = 40", "it has to be at most max_length_client_id, which is 36."),
            ("max_messages_post_size = 2000000", "at most [websocket] max_frame_size, which is 1048576."),
        ):
            problems = self.refused(f"[transport]\n{text}")
            self.assertEqual(len(problems), 1)
            self.assertTrue(problems[0].startswith("FILE: [transport] "), problems)
            self.assertIn(expected, problems[0])
        self.assertEqual(self.load("[storage]\nreplicas_timeout_s = 6").storage.replicas_timeout_s, 6)
        (problem,) = self.refused("[storage]\nuri = 'redis://h'\nreplicas_timeout_s = 6\ndurability = 'replicated'")
        self.assertIn("replicas_timeout_s is 6.0; it has to be at most command_timeout_s, which is 5.0", problem)
        (problem,) = self.refused("[storage]\ndurability = 'replicated'")
        self.assertIn('[storage] durability is "replicated"; [storage] uri has to be of a Redis with replicas then', problem)
        for durability in ("fsync", "replicated"):
            (problem,) = self.refused(f"[storage]\nuri = 'memory:'\ndurability = '{durability}'")
            self.assertIn(f'[storage] durability is "{durability}"; [storage] uri has to be of a Redis then', problem)

    def test_files(self) -> None:
        """A file that is missing, is not TOML or not UTF-8 is refused with its path."""
        error = self.assertRaises(ConfigError, load, "/nowhere/gateway.toml", {}, {})
        self.assertEqual(
            str(error), "/nowhere/gateway.toml: cannot be read: No such file or directory; it has to be a TOML file."
        )
        self.assertIn("FILE: is not TOML: ", self.refused("admin_mode")[0])
        self.assertIn('["drivers:transport:wsgi"]', self.refused("[drivers:transport:wsgi]\nport = 1")[0])
        self.assertIn('; text stands between quotes, as in uri = "redis', self.refused("auth_strategy = keystone")[0])
        error = self.assertRaises(ConfigError, load, self.file(b"\xff"), {}, {})
        self.assertIn("is not TOML", str(error))

    def test_byte_order_mark(self) -> None:
        """A mark that an editor has put before the text is no part of it, nor of a password."""
        self.assertTrue(self.load("\ufeffadmin_mode = true").admin_mode)
        path = self.file("\ufeffpassword")
        settings = self.load("[storage]\nuri = 'redis://h'", STORAGE_PASSWORD_FILE=path)
        self.assertEqual(settings.redis, RedisAddress("h", password="password"))


class ReferenceSpellings(ConfigCase):
    """Tables of the reference that have another name here."""

    def test_not_here(self) -> None:
        """Of what has no place here it is told what has that place."""
        store, top = "[storage] uri says where all is kept.", "the top of this file, before the first section."
        for text, *expected in (
            ("[DEFAULT]\nadmin_mode = true", f"[DEFAULT] is not a section; what Zaqar has there stands at {top}"),
            (
                "[drivers]\ntransport = 'wsgi'\nmessage_store = 'redis'\nmanagement_store = 'redis'",
                "[drivers] transport is not a setting; both transports are served, where [listen] http and [listen] websocket say.",
                f"[drivers] message_store is not a setting; {store}",
                f"[drivers] management_store is not a setting; {store}",
            ),
            (
                "[Drivers]\ntransport = 'wsgi'",
                "[Drivers] is not a section; [listen] says where both transports are served, and [storage] uri where all is kept.",
            ),
            (
                '["drivers:management_store:redis"]\nuri = "redis://h"',
                f"[drivers:management_store:redis] is not a section; {store}",
            ),
            (
                "[drivers.message_store.mongodb]\nuri = 'mongodb://h'",
                f"[drivers:message_store:mongodb] is not a section; {store}",
            ),
        ):
            self.assertEqual(self.refused(text), [f"FILE: {each}" for each in expected])

    def test_listeners(self) -> None:
        """An address and a port make an endpoint, with colons quoted and the reference's defaults."""
        settings = self.load(
            '["drivers:transport:wsgi"]\nbind = "::1"\nport = 88\n[drivers.transport.websocket]\nbind = "10.0.0.1"'
        )
        self.assertEqual(settings.listen.http, (r"tcp6:88:interface=\:\:1",))
        self.assertEqual(settings.listen.websocket, ("tcp:9000:interface=10.0.0.1",))

    def test_parts_from_two_sources(self) -> None:
        """The address may stand in the file and the port in the environment."""
        settings = self.load('["drivers:transport:wsgi"]\nbind = "10.0.0.1"', DRIVERS_TRANSPORT_WSGI_PORT="88")
        self.assertEqual(settings.listen.http, ("tcp:88:interface=10.0.0.1",))

    def test_store(self) -> None:
        """The URI of the message store is that of the storage."""
        settings = self.load('["drivers:message_store:redis"]\nuri = "redis://h"')
        self.assertEqual(settings.redis, RedisAddress("h"))

    def test_virtual_pool(self) -> None:
        """Whether there is a virtual pool has a section of its own there."""
        for text in ('["pooling:catalog"]\nenable_virtual_pool = true', "enable_virtual_pool = true"):
            self.assertTrue(self.load(f"{text}\n").enable_virtual_pool)
        settings = self.load("pooling = true", POOLING_CATALOG_ENABLE_VIRTUAL_POOL="yes")
        self.assertTrue(settings.pooling and settings.enable_virtual_pool)
        self.assertFalse(self.load("").pooling)

    def test_own_spelling_of_a_higher_source_wins(self) -> None:
        """A setting of the environment wins over both spellings of the file."""
        text = '["drivers:transport:wsgi"]\nport = 88'
        self.assertEqual(self.load(text, LISTEN_HTTP="tcp:99").listen.http, ("tcp:99",))
        settings = self.load('[listen]\nhttp = ["tcp:99"]', DRIVERS_TRANSPORT_WSGI_PORT="88")
        self.assertEqual(settings.listen.http, ("tcp:88:interface=127.0.0.1",))

    def test_twice(self) -> None:
        """Both spellings in one source are refused."""
        problems = self.refused('["drivers:transport:wsgi"]\nport = 88\n[listen]\nhttp = ["tcp:99"]')
        self.assertEqual(
            problems,
            [
                "FILE: [drivers:transport:wsgi] port and FILE: [listen] http say the same thing twice; give one of"
                " them."
            ],
        )


class Secrets(ConfigCase):
    """Passwords are used and not shown."""

    SECRET = "s3cr3t"

    def test_masked(self) -> None:
        """Neither the representation of the settings nor what is in effect shows a password."""
        settings = self.load(f"[storage]\nuri = 'redis://u:{self.SECRET}@h/space?dbid=3'")
        assert settings.redis
        self.assertEqual(settings.redis.password, self.SECRET)
        for shown in (repr(settings), config.effective(settings), str(settings.redis), repr(settings.redis)):
            self.assertNotIn(self.SECRET, shown)
        self.assertIn('uri = "redis://u:***@h:6379/space?dbid=3"', config.effective(settings))

    def test_not_in_refusals(self) -> None:
        """A URI that is refused is not repeated, wherever it is wrong."""
        for uri in (
            f"redis:{self.SECRET}",
            f"http://u:{self.SECRET}@h",
            f"redis://:{self.SECRET}@h:port",
            f"redis://:{self.SECRET}@",
            f"redis://:a/{self.SECRET}@h",
            f"redis://:p@ss/{self.SECRET}@h",
            f"redis://:a?{self.SECRET}@h",
            f"redis://:a#{self.SECRET}@h",
            f"redis://:{self.SECRET} @h",
            f"redis://u@h:{self.SECRET}",
            f"redis://:{self.SECRET}@[::1",
            f"redis://:{self.SECRET}@a,b",
            f"rediss://:{self.SECRET}@/path",
            f"unix://:{self.SECRET}@h/path",
        ):
            problems = self.refused(f"[storage]\nuri = '{uri}'", STORAGE_URI=uri)
            self.assertEqual(len(problems), 2)
            for problem in problems:
                self.assertNotIn(self.SECRET, problem)
                self.assertIn("it has to be", problem)

    def test_password_file(self) -> None:
        """A password comes from a file, without the end of its line."""
        path = self.file(f"{self.SECRET}\n")
        settings = self.load("[storage]\nuri = 'redis://u@h'", STORAGE_PASSWORD_FILE=path)
        self.assertEqual(settings.redis, RedisAddress("h", username="u", password=self.SECRET))

    def test_password_file_refusals(self) -> None:
        """A file that cannot be read or is empty, a second password, and a password for no URI are refused."""
        full, empty = self.file(self.SECRET), self.file("\n")
        for uri, path, expected in (
            ("redis://h", "/nowhere", "/nowhere cannot be used: No such file or directory"),
            ("redis://h", empty, f"{empty} cannot be used: it is empty"),
            (f"redis://:{self.SECRET}@h", full, "[storage] uri both give a password"),
            ("memory:", full, "[storage] uri has to be a redis://"),
        ):
            problems = self.refused(f"[storage]\nuri = '{uri}'", STORAGE_PASSWORD_FILE=path)
            self.assertIn(expected, problems[0])
            self.assertNotIn(self.SECRET, problems[0])
        self.assertIn("names a user without a password", self.refused("[storage]\nuri = 'redis://u@h'")[0])

    def test_password_of_sentinels_in_a_file(self) -> None:
        """That of the Sentinels may be in a file of its own; one that is not used, given twice, or missing is refused."""
        path, where = self.file(f"{self.SECRET}\n"), "redis://a,b?master=m"
        settings = self.load(f"[storage]\nuri = '{where}&sentinel_username=u'", STORAGE_SENTINEL_PASSWORD_FILE=path)
        assert settings.redis
        self.assertEqual((settings.redis.sentinel_password, settings.redis.password), (self.SECRET, ""))
        self.assertNotIn(self.SECRET, repr(settings) + config.effective(settings))
        for uri, expected in (
            ("redis://h", "has to have the hosts of Sentinels and '?master=' then"),
            ("memory:", "has to have the hosts of Sentinels and '?master=' then"),
            (f"{where}&sentinel_password={self.SECRET}", "both give a password; give one of them"),
        ):
            (problem,) = self.refused(f"[storage]\nuri = '{uri}'", STORAGE_SENTINEL_PASSWORD_FILE=path)
            self.assertIn(expected, problem)
            self.assertNotIn(self.SECRET, problem)
        (problem,) = self.refused(f"[storage]\nuri = '{where}&sentinel_username=u'")
        self.assertIn("sentinel_username without a password", problem)

    def test_every_secret(self) -> None:
        """No secret of any setting is in the representation of the settings, or in what is in effect."""
        variables = [option.variable.removeprefix("ZAQAR_GATEWAY_") for option in config.OPTIONS if option.secret]
        given = dict.fromkeys(variables, self.SECRET)
        given |= {"STORAGE_URI": f"redis://:{self.SECRET}@h", "NOTIFICATION_SMTP_USER_NAME": "zaqar"}
        for section in ("TRUSTEE", "KEYSTONE_AUTHTOKEN"):
            given |= {f"{section}_AUTH_URL": "http://h:5000", f"{section}_USERNAME": "zaqar"}
        given["KEYSTONE_AUTHTOKEN_PROJECT_NAME"] = "service"
        settings = self.load(**given)
        for shown in (repr(settings), str(settings), config.effective(settings)):
            self.assertNotIn(self.SECRET, shown)
        self.assertEqual(config.effective(settings).count("***"), len(variables))

    def test_url_with_password(self) -> None:
        """A URL with a password is not repeated either where none has a place."""
        url = f"https://u:{self.SECRET}@h"
        for text in (
            f"[notification]\npublic_url = '{url}'",
            f"[cors]\nallowed_origin = ['{url}']",
            f"admin_mode = '{url}'",
        ):
            (problem,) = self.refused(text)
            self.assertIn("it has to be", problem)
            self.assertNotIn(self.SECRET, problem)


class TlsListeners(ConfigCase):
    """Endpoints with TLS."""

    def test_endpoints(self) -> None:
        """``tls:`` stands before a port or any other endpoint, and needs a certificate."""
        for endpoint, inner in (
            ("tls:8443", "tcp:8443"),
            ("tls:8443:interface=0.0.0.0", "tcp:8443:interface=0.0.0.0"),
            ("tls:tcp:8443", "tcp:8443"),
            ("tls:unix:/run/zaqar.sock", "unix:/run/zaqar.sock"),
            ("tls:haproxy:tcp:8443", "haproxy:tcp:8443"),
        ):
            self.assertEqual(config.without_tls(endpoint), (inner, True))
            for key in ("http", "websocket"):
                text = f"[listen]\n{key} = ['{endpoint}']\n"
                listen = self.load(text + "[tls]\ncertificate_file = 'a.pem'").listen
                self.assertEqual(getattr(listen, key), (endpoint,))
                self.assertEqual(
                    self.refused(text),
                    [
                        f"FILE: [listen] {key} has {endpoint}; [tls] certificate_file has to be a file with a"
                        " certificate then."
                    ],
                )
        self.assertEqual(config.without_tls("tcp:8443"), ("tcp:8443", False))

    def test_refused(self) -> None:
        """What follows ``tls:`` has to be an endpoint."""
        for endpoint in ("tls:", "tls:nonsense:1", "tls:8443:nonsense=1"):
            (problem,) = self.refused(f"[listen]\nhttp = ['{endpoint}']\n[tls]\ncertificate_file = 'a.pem'")
            self.assertIn(f'"{endpoint}" cannot be read', problem)


class CrossOrigin(ConfigCase):
    """The settings for pages of other origins."""

    def test_defaults(self) -> None:
        """They are those of the transport, and no origin is allowed."""
        given = self.load().cors
        self.assertEqual(given.allowed_origin, ())
        names = (given.allow_methods, given.allow_headers, given.expose_headers)
        self.assertEqual(names, (METHODS, ALLOWED_HEADERS, EXPOSED_HEADERS))
        self.assertEqual((given.allow_credentials, given.max_age), (True, 3600))

    def test_origins(self) -> None:
        """An origin is written as browsers send it, or refused: it is compared whole."""
        origins = ("https://console.example", "http://a.example:8080", "http://[::1]:3000", "moz-extension://0f-1")
        self.assertEqual(self.load(CORS_ALLOWED_ORIGIN=" ".join(origins)).cors.allowed_origin, origins)
        for origin in (
            *("*", "null", "console.example", "https://", "https://Console.example", "https://*.example"),
            *("https://a.example/", "https://a.example:443", "http://a.example:80"),
            *("http://a.example:x", "http://[::1"),
        ):
            (problem,) = self.refused(f"[cors]\nallowed_origin = ['{origin}']")
            self.assertIn("it has to be a list of origins as browsers write them", problem)

    def test_names(self) -> None:
        """Methods and headers are names as HTTP has them."""
        for key in ("allow_methods", "allow_headers", "expose_headers"):
            self.assertEqual(getattr(self.load(f"[cors]\n{key} = ['X-A']").cors, key), ("X-A",))
            for name in ("a b", "a:", "ä", ""):
                (problem,) = self.refused(f"[cors]\n{key} = ['{name}']")
                self.assertIn("it has to be a list of names", problem)


class EncryptionKeys(ConfigCase):
    """Passphrases for bodies."""

    SECRET, EARLIER = "s3cr3t", "ear1ier"

    def test_given(self) -> None:
        """The key is none, or that of the settings, or that of a file without the end of its line."""
        self.assertEqual(self.load().encryption_key, "")
        self.assertEqual(self.load(f"[transport]\nmessage_encryption_key = '{self.SECRET}'").encryption_key, self.SECRET)
        path = self.file(f"{self.SECRET}\n")
        settings = self.load(
            f"[transport]\nmessage_encryption_key_file = '{path}'",
            TRANSPORT_MESSAGE_ENCRYPTION_PREVIOUS_KEYS=f"{self.EARLIER} older",
        )
        self.assertEqual(settings.encryption_key, self.SECRET)
        self.assertEqual(settings.transport.message_encryption_previous_keys, (self.EARLIER, "older"))

    def test_masked(self) -> None:
        """Neither the representation of the settings nor what is in effect shows a passphrase."""
        earlier = f"message_encryption_previous_keys = ['{self.EARLIER}']"
        path = self.file(self.SECRET)
        for text in (f"message_encryption_key = '{self.SECRET}'", f"message_encryption_key_file = '{path}'"):
            settings = self.load(f"[transport]\n{text}\n{earlier}")
            for shown in (repr(settings), config.effective(settings)):
                self.assertNotIn(self.SECRET, shown)
                self.assertNotIn(self.EARLIER, shown)
            self.assertIn('message_encryption_previous_keys = ["***"]\n', config.effective(settings))

    def test_refused(self) -> None:
        """Two keys at once, a file that cannot be read and an empty passphrase are refused, and nothing is shown."""
        path = self.file(self.SECRET)
        for text, expected in (
            (f"message_encryption_key = 's3cr3t'\nmessage_encryption_key_file = '{path}'", "both give a passphrase"),
            ("message_encryption_key_file = '/nowhere'", "it has to be a file that holds the passphrase"),
            ("message_encryption_previous_keys = ['s3cr3t', '']", "it has to be a list of texts"),
        ):
            problems = self.refused(f"[transport]\n{text}")
            self.assertEqual(len(problems), 1, problems)
            self.assertIn(expected, problems[0])
            self.assertNotIn(self.SECRET, problems[0])

    def test_algorithms(self) -> None:
        """AES256 is accepted, RSA is refused with the reason, and so is anything else."""
        self.load("[transport]\nmessage_encryption_algorithms = 'AES256'")
        (problem,) = self.refused("[transport]\nmessage_encryption_algorithms = 'RSA'")
        self.assertEqual(
            problem,
            'FILE: [transport] message_encryption_algorithms is "RSA"; RSA does not work in the reference and is not'
            ' offered here; it has to be "AES256".',
        )
        for value in ("'aes256'", "['AES256']", "true"):
            self.assertEqual(len(self.refused(f"[transport]\nmessage_encryption_algorithms = {value}")), 1)


class SigningKeys(ConfigCase):
    """Secrets of pre-signed URLs."""

    SECRET, EARLIER = "s3cr3t", "ear1ier"

    def test_order(self) -> None:
        """The key signs, and those before it are still accepted; without any there is none."""
        self.assertEqual(self.load().signing_keys, ())
        settings = self.load(f"[signed_url]\nsecret_key = '{self.SECRET}'")
        self.assertEqual(settings.signing_keys, (self.SECRET,))
        earlier = f"previous_keys = ['{self.EARLIER}', 'older one']"
        settings = self.load(f"[signed_url]\nsecret_key = '{self.SECRET}'\n{earlier}")
        self.assertEqual(settings.signing_keys, (self.SECRET, self.EARLIER, "older one"))
        settings = self.load("", SIGNED_URL_SECRET_KEY=self.SECRET, SIGNED_URL_PREVIOUS_KEYS=f"{self.EARLIER} old")
        self.assertEqual(settings.signing_keys, (self.SECRET, self.EARLIER, "old"))

    def test_file(self) -> None:
        """A key comes from a file, without the end of its line."""
        path = self.file(f"{self.SECRET}\n")
        settings = self.load(f"[signed_url]\nprevious_keys = ['{self.EARLIER}']", SIGNED_URL_SECRET_KEY_FILE=path)
        self.assertEqual(settings.signing_keys, (self.SECRET, self.EARLIER))
        self.assertNotIn(self.SECRET, repr(settings) + config.effective(settings))
        self.assertIn(path, config.effective(settings))

    def test_masked(self) -> None:
        """Neither the representation of the settings nor what is in effect shows a key, only that there are some."""
        settings = self.load(f"[signed_url]\nsecret_key = '{self.SECRET}'\nprevious_keys = ['{self.EARLIER}', 'b0th']")
        for shown in (repr(settings), repr(settings.signed_url), config.effective(settings)):
            for secret in (self.SECRET, self.EARLIER, "b0th"):
                self.assertNotIn(secret, shown)
        self.assertIn('secret_key = "***"\n', config.effective(settings))
        self.assertIn('previous_keys = ["***", "***"]\n', config.effective(settings))
        none = config.effective(self.load())
        self.assertIn('secret_key = ""\n', none)
        self.assertIn("previous_keys = []\n", none)

    def test_refused(self) -> None:
        """What cannot be a key is refused, and not shown."""
        for text, expected in (
            ("secret_key = ['s3cr3t']", "FILE: [signed_url] secret_key; it has to be text without control characters."),
            ("secret_key = \"s3cr3t\\n\"", "FILE: [signed_url] secret_key; it has to be text without control characters."),
            ("secret_key = 'k'\nprevious_keys = 's3cr3t'", "FILE: [signed_url] previous_keys; it has to be a list of texts"),
            ("secret_key = 'k'\nprevious_keys = ['s3cr3t', '']", "FILE: [signed_url] previous_keys; it has to be"),
            ("secret_key = 'k'\nprevious_keys = ['s3cr3t', 1]", "FILE: [signed_url] previous_keys; it has to be"),
            ("secret_key = 'k'\nprevious_keys = [\"s3cr3t\\n\"]", "FILE: [signed_url] previous_keys; it has to be"),
            ("previous_keys = ['s3cr3t']", "FILE: [signed_url] previous_keys is given; [signed_url] secret_key has to be"),
        ):
            problems = self.refused(f"[signed_url]\n{text}")
            self.assertEqual(len(problems), 1, problems)
            self.assertTrue(problems[0].startswith(expected), problems)
            self.assertNotIn(self.SECRET, problems[0])
        (problem,) = self.refused(SIGNED_URL_PREVIOUS_KEYS="['s3cr3t", SIGNED_URL_SECRET_KEY="k")
        self.assertTrue(problem.startswith("environment: ZAQAR_GATEWAY_SIGNED_URL_PREVIOUS_KEYS; it has to be"), problem)

    def test_file_refused(self) -> None:
        """A file that cannot be read or is empty, and a key beside it, are refused."""
        for text, path, expected in (
            ("", "/nowhere", "/nowhere cannot be used: No such file or directory; it has to be a file that holds the secret."),
            ("", self.file("\n"), "cannot be used: it is empty"),
            ("[signed_url]\nsecret_key = 's3cr3t'", self.file("other"), "both give a secret; give one of them"),
        ):
            (problem,) = self.refused(text, SIGNED_URL_SECRET_KEY_FILE=path)
            self.assertIn(expected, problem)
            self.assertNotIn(self.SECRET, problem)


class Notifications(ConfigCase):
    """Secrets, addresses and texts of deliveries."""

    SECRET, EARLIER = "s3cr3t", "ear1ier"
    MAIL = "smtp_host = 'mail.example.org'\nsmtp_sender = 'zaqar@example.org'"

    def notification(self, text: str, **environ: str) -> Settings:
        """Settings of the section."""
        return self.load(f"[notification]\n{text}", **environ)

    def test_secrets(self) -> None:
        """What signs webhooks is none, or a text, or what whsec_ stands before; the newest is first."""
        self.assertEqual((self.load().webhook_secrets, self.load().smtp_password), ((), ""))
        settings = self.notification(
            "webhook_secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\n"
            f"webhook_previous_secrets = ['{self.EARLIER}', 'ä']"
        )
        first, *others = settings.webhook_secrets
        self.assertEqual(first.hex(), "31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0")
        self.assertEqual(others, [self.EARLIER.encode(), "ä".encode()])

    def test_files(self) -> None:
        """Secrets and the password come from files too, without the end of their line, and are shown nowhere."""
        path = self.file(f"{self.SECRET}\n")
        settings = self.notification(
            f"{self.MAIL}\nsmtp_user_name = 'u'\nwebhook_previous_secrets = ['{self.EARLIER}']",
            NOTIFICATION_WEBHOOK_SECRET_FILE=path,
            NOTIFICATION_SMTP_USER_PASSWORD_FILE=path,
        )
        self.assertEqual(settings.webhook_secrets, (self.SECRET.encode(), self.EARLIER.encode()))
        self.assertEqual(settings.smtp_password, self.SECRET)
        given = self.notification(
            f"{self.MAIL}\nsmtp_user_name = 'u'\nsmtp_user_password = '{self.SECRET}'\nwebhook_secret = '{self.SECRET}'"
        )
        self.assertEqual(given.smtp_password, self.SECRET)
        for shown in (repr(settings), config.effective(settings), repr(given), config.effective(given)):
            self.assertNotIn(self.SECRET, shown)
            self.assertNotIn(self.EARLIER, shown)
        self.assertIn('smtp_user_password = "***"\n', config.effective(given))

    def test_secrets_refused(self) -> None:
        """Two at once, files without use, halves of a login and what is no base64 are refused, and not shown."""
        path, bad = self.file(self.SECRET), self.file(f"whsec_{self.SECRET}!")
        user = f"{self.MAIL}\nsmtp_user_name = 'u'"
        for text, expected in (
            (f"webhook_secret = 's3cr3t'\nwebhook_secret_file = '{path}'", "webhook_secret both give a secret"),
            ("webhook_secret_file = '/nowhere'\nwebhook_previous_secrets = ['s3cr3t']", "/nowhere cannot be used"),
            ("webhook_previous_secrets = ['s3cr3t']", "[notification] webhook_secret has to be given then"),
            ("webhook_secret = 'whsec_s3cr3t!'", "what follows whsec_ is not base64"),
            ("webhook_secret = 'whsec_'", "what follows whsec_ is not base64"),
            ("webhook_secret = 'k'\nwebhook_previous_secrets = ['whsec_s3cr3t!']", "what follows whsec_ is not base64"),
            (f"webhook_secret_file = '{bad}'", "webhook_secret_file; what follows whsec_ is not base64"),
            (f"{user}\nsmtp_user_password = 's3cr3t'\nsmtp_user_password_file = '{path}'", "both give a password"),
            (f"{user}\nsmtp_user_password_file = '/nowhere'", "a file that holds the password"),
            (user, "have to be given both or not at all"),
            (f"{self.MAIL}\nsmtp_user_password = 's3cr3t'", "have to be given both or not at all"),
            (f"{self.MAIL}\nsmtp_user_password_file = '{path}'", "have to be given both or not at all"),
        ):
            (problem,) = self.refused(f"[notification]\n{text}")
            self.assertTrue(problem.startswith("FILE: [notification] "), problem)
            self.assertIn(expected, problem)
            self.assertNotIn(self.SECRET, problem)

    def test_addresses(self) -> None:
        """URLs and addresses that cannot be are refused at start, and so is a mail server without a sender."""
        accepted = "public_url = 'http://[::1]:8888/x'\npublic_websocket_url = 'wss://h'"
        self.notification(f"{accepted}\nexternal_confirmation_url = 'https://h/c'\n{self.MAIL}\nallowed_networks = ['10.0.0.0/8', '::1', '10.0.0.1/8']")
        for key, values in (
            ("public_url", ("'h'", "'//h'", "'ftp://h'", "'ws://h'", "'http://'", "'http://h/?a'", "'http://h#a'", "1")),
            ("external_confirmation_url", ("'https://h/?a=b'", "'https://u:p@h/'", "'https://h h/'", "'mailto:a@b'")),
            ("external_confirmation_url", ("'http://[::1'", "'http://h:x'", "'http://h:65536'")),
            ("public_websocket_url", ("'http://h'", "'ws:h'", "'ws://h:0'")),
            ("smtp_sender", ("'a'", "'a@b, c@d'", "'A <a@b>'", '"a@b\\n"', "1")),
            ("allowed_networks", ("'10.0.0.0/8'", "['10.0.0.0/33']", "['localhost']")),
        ):
            for value in values:
                (problem,) = self.refused(f"[notification]\n{key} = {value}")
                self.assertTrue(problem.startswith(f"FILE: [notification] {key}"), problem)
                self.assertIn("it has to be ", problem)
        (problem,) = self.refused("[notification]\nsmtp_host = 'h'")
        self.assertEqual(
            problem,
            "FILE: [notification] smtp_host is given; [notification] smtp_sender has to be a mail address then.",
        )

    def test_templates(self) -> None:
        """A template has some of its keys, placeholders that there are, and headers of one line."""
        key = "subscription_confirmation_email_template"
        given = "{topic = 'Hällo', body = '{0} {1} {2} {{}} {0}', sender = 'a@b.c'}"
        template = self.notification(f"{key} = {given}").notification.subscription_confirmation_email_template
        self.assertEqual(template, {"topic": "Hällo", "body": "{0} {1} {2} {{}} {0}", "sender": "a@b.c"})
        for value in (
            "'a'",
            "{subject = 'a'}",
            "{body = 1}",
            "{body = '{'}",
            "{body = '}'}",
            "{body = '{}'}",
            "{body = '{3}'}",
            "{body = '{link}'}",
            "{body = '{0.__class__}'}",
            "{body = '{0[0]}'}",
            "{body = '{0!r}'}",
            "{body = '{0:>9}'}",
            '{topic = "a\\nb"}',
            "{sender = 'a'}",
        ):
            (problem,) = self.refused(f"[notification]\n{key} = {value}")
            self.assertIn(f"[notification] {key} is ", problem)
            self.assertIn("it has to be a table of texts", problem)


class Addresses(SynchronousTestCase):
    """Storage URIs."""

    def test_forms(self) -> None:
        """Each form of the reference means what it means there."""
        for uri, expected in (
            ("redis://127.0.0.1:6379", RedisAddress("127.0.0.1")),
            ("redis://h", RedisAddress("h")),
            ("redis://h/", RedisAddress("h")),
            ("redis://h:7/name", RedisAddress("h", 7, key_prefix="name")),
            ("redis://h/0", RedisAddress("h", key_prefix="0")),
            ("redis://h/a%20b", RedisAddress("h", key_prefix="a b")),
            ("redis://[::1]:7?dbid=2", RedisAddress("::1", 7, database=2)),
            ("redis://:p%40%2F%3a@h", RedisAddress("h", password="p@/:")),
            ("redis://u:p:q@h", RedisAddress("h", username="u", password="p:q")),
            ("rediss://u:p@h:7", RedisAddress("h", 7, username="u", password="p", tls=True)),
            ("redis:///run/redis.sock", RedisAddress(path="/run/redis.sock")),
            ("redis:/run/redis.sock", RedisAddress(path="/run/redis.sock")),
            ("redis://:p@/run/redis.sock?dbid=1", RedisAddress(path="/run/redis.sock", password="p", database=1)),
            ("unix:///run/redis.sock?dbid=1", RedisAddress(path="/run/redis.sock", database=1)),
            ("unix:/run/redis.sock", RedisAddress(path="/run/redis.sock")),
            ("unix://u:p@/run/a%20b", RedisAddress(path="/run/a b", username="u", password="p")),
            ("redis://h1,h2:7?master=m", RedisAddress(sentinels=(("h1", 26379), ("h2", 7)), master="m")),
            ("redis://h?master=m", RedisAddress(sentinels=(("h", 26379),), master="m")),
            ("redis://h1,h2:7?cluster=true", RedisAddress(nodes=(("h1", 6379), ("h2", 7)))),
            (
                "rediss://u:p@[::1]/name?cluster=true&dbid=0",
                RedisAddress(nodes=(("::1", 6379),), username="u", password="p", tls=True, key_prefix="name"),
            ),
            ("redis://h1,h2,h1:6379?cluster=true", RedisAddress(nodes=(("h1", 6379), ("h2", 6379)))),
            ("redis://h?cluster=false", RedisAddress("h")),
            ("redis://h?cluster=false&master=m", RedisAddress(sentinels=(("h", 26379),), master="m")),
            (
                "rediss://u:p@[::1]:7,h/name?master=a%26b&dbid=2&sentinel_username=s&sentinel_password=p%3D",
                RedisAddress(
                    username="u",
                    password="p",
                    database=2,
                    tls=True,
                    key_prefix="name",
                    sentinels=(("::1", 7), ("h", 26379)),
                    master="a&b",
                    sentinel_username="s",
                    sentinel_password="p=",
                ),
            ),
        ):
            self.assertEqual(address.parse(uri), expected)

    def test_refused(self) -> None:
        """Everything else is refused with its reason and the forms."""
        for uri, why in (
            ("localhost:6379", "does not begin with"),
            ("REDIS://h", "does not begin with"),
            ("redis://", "neither a host nor"),
            ("redis:///", "neither a host nor"),
            ("redis://h:0", "from 1 to 65535"),
            ("redis://h:65536", "from 0 to 65535"),
            ("redis://h:7x", "the host has to be"),
            ("redis://::1", "the host has to be"),
            ("redis://@h", "nothing before the '@'"),
            ("redis://:p@ss/w0rd@h", "write '/' as %2F"),
            ("redis://h?dbid=-1", "dbid has to be a number"),
            ("redis://h?dbid=", "dbid has to be a number"),
            ("redis://h?db=1", "the parameters behind a '?' are dbid"),
            ("redis://h?dbid=1&dbid=2", "dbid is given twice"),
            ("redis://h?socket_timeout=1", "storage.command_timeout_s"),
            ("redis://h1,h2", "'?master=' has to give the name"),
            ("redis://h1,h2", "'?cluster=true' has to say"),
            ("redis://h1,h2?cluster=false", "'?cluster=true' has to say"),
            ("redis://h?cluster=", "cluster has to have a value"),
            ("redis://h?cluster=yes", "cluster has to be true or false"),
            ("redis://h?cluster=true&dbid=1", "dbid has to be 0, or left out"),
            ("redis://h?cluster=true&master=m", "has no meaning with cluster=true"),
            ("redis://h1,?cluster=true", "the host has to be"),
            ("redis:///run/s?cluster=true", "stand behind the hosts of Sentinels or nodes"),
            ("redis://h?sentinel_password=p", "'?master=' has to give the name"),
            ("redis://h1,?master=m", "the host has to be"),
            ("redis://h1,h2:0?master=m", "from 1 to 65535"),
            ("redis://h1,h2?master=", "master has to have a value"),
            ("redis://h1,h2?master=a%20b", "master has to have a value without ';', spaces"),
            ("redis://h1,h2?master=a;sentinel_password=b", "master has to have a value without ';', spaces"),
            ("redis:///run/s?master=m", "stand behind the hosts of Sentinels or nodes"),
            ("unix:///run/s?master=m", "stand behind the hosts of Sentinels or nodes"),
            ("redis://h1 ", "spaces"),
            ("rediss:///run/s", "no TLS on a Unix socket"),
            ("unix://run/s", "unix:///path"),
        ):
            error = self.assertRaises(ValueError, address.parse, uri)
            self.assertIn(why, str(error))
            self.assertIn("the forms are redis://", str(error))

    @examples
    @given(
        st.builds(
            RedisAddress,
            host=st.sampled_from(["h", "10.0.0.1", "::1"]),
            port=st.integers(1, 65535),
            username=st.sampled_from(["", "u"]),
            database=st.integers(0, 65535),
            tls=st.booleans(),
            key_prefix=st.sampled_from(["", "name"]),
        )
    )
    def test_masked_is_a_uri(self, where: RedisAddress) -> None:
        """Without a password the text of an address is a URI for it."""
        self.assertEqual(address.parse(where.masked()), where)
        watched = evolve(where, host="", port=PORT_DEFAULT, sentinels=((where.host, where.port), ("h2", 7)), master="a&b=c")
        self.assertEqual(address.parse(watched.masked()), watched)
        shared = evolve(where, host="", port=PORT_DEFAULT, database=0, nodes=((where.host, where.port), ("h2", 7)))
        self.assertEqual(address.parse(shared.masked()), shared)

    def test_passwords_are_masked(self) -> None:
        """Neither that of Redis nor that of the Sentinels is shown."""
        found = address.parse("redis://:s3cr3t@h1,h2?master=m&sentinel_username=u&sentinel_password=s3cr3t")
        for shown in (str(found), repr(found)):
            self.assertNotIn("s3cr3t", shown)
        self.assertEqual(str(found), "redis://:***@h1:26379,h2:26379?master=m&sentinel_username=u&sentinel_password=***")

    @examples
    @given(st.text())
    def test_no_other_error(self, rest: str) -> None:
        """Whatever follows the scheme is read or refused."""
        try:
            address.parse(f"redis://{rest}")
        except ValueError as error:
            self.assertIn("the forms are", str(error))


class Trustees(ConfigCase):
    """The user that trusts are made for."""

    SECRET = "s3cr3t"
    USER = "auth_url = 'http://keystone:5000'\nusername = 'zaqar'"

    def test_password(self) -> None:
        """The password is given as it is, or in a file; it is shown nowhere."""
        path = self.file(f"{self.SECRET}\n")
        for password in (f"password = '{self.SECRET}'", f"password_file = '{path}'"):
            settings = self.load(f"[trustee]\n{self.USER}\n{password}")
            self.assertEqual(settings.trustee_password, self.SECRET)
            self.assertNotIn(self.SECRET, repr(settings) + config.effective(settings))

    def test_refusals(self) -> None:
        """Half a user is refused, and so is one that has an id and a name, or two passwords."""
        whole = "have to be given all or not at all"
        path = self.file(self.SECRET)
        for text, expected in (
            ("auth_url = 'http://keystone:5000'", whole),
            (self.USER, whole),
            (f"username = 'zaqar'\npassword = '{self.SECRET}'", whole),
            (f"{self.USER}\nuser_id = 'u1'\npassword = '{self.SECRET}'", whole),
            (f"{self.USER}\npassword = '{self.SECRET}'\npassword_file = '{path}'", "give one of them"),
            ("auth_url = 'keystone:5000'", "it has to be"),
        ):
            problems = self.refused(f"[trustee]\n{text}")
            self.assertIn(expected, problems[0])
            self.assertNotIn(self.SECRET, "".join(problems))

    def test_one_refused(self) -> None:
        """A setting that is refused does not make others look as if it were missing."""
        user = "auth_url = 'keystone:5000'\nusername = 'zaqar'\npassword = 's3cr3t'"
        for section, before, after in (
            ("trustee", "", ""),
            ("keystone_authtoken", "auth_strategy = 'keystone'\n", "\nproject_name = 'service'"),
        ):
            (problem,) = self.refused(f"{before}[{section}]\n{user}{after}")
            self.assertIn(f"[{section}] auth_url", problem)


class KeystoneUsers(ConfigCase):
    """The Keystone of clients, and the user that looks tokens up."""

    SECRET = "s3cr3t"
    USER = f"auth_url = 'http://keystone:5000'\nusername = 'zaqar'\npassword = '{SECRET}'\nproject_name = 'service'"

    def test_strategy(self) -> None:
        """With a Keystone clients can be asked for tokens of it; its password is shown nowhere."""
        settings = self.load(f"auth_strategy = 'keystone'\n[keystone_authtoken]\n{self.USER}")
        self.assertEqual((settings.auth_strategy, settings.keystone_password), ("keystone", self.SECRET))
        self.assertEqual(settings.keystone_authtoken.token_cache_time, 300)
        self.assertNotIn(self.SECRET, repr(settings) + config.effective(settings))

    def test_refusals(self) -> None:
        """The strategy without a Keystone is refused, and so is a user without exactly one project, or half a user."""
        for text, expected in (
            ("auth_strategy = 'keystone'", "[keystone_authtoken] has to be given"),
            ("auth_strategy = 'token'", 'it has to be "" or "keystone"'),
            (f"[keystone_authtoken]\n{self.USER}\nproject_id = 'p1'", "one of [keystone_authtoken] project_id and"),
            ("[keystone_authtoken]\nauth_url = 'http://k'\nproject_id = 'p1'", "have to be given all or not at all"),
            (f"[keystone_authtoken]\n{self.USER}\ntoken_cache_time = 0", "it has to be a whole number from 1"),
        ):
            problems = self.refused(text)
            self.assertIn(expected, problems[0])
            self.assertNotIn(self.SECRET, "".join(problems))


class PolicyFileTests(ConfigCase):
    """Where the policy file is."""

    def test_default(self) -> None:
        """It is beside the configuration, be it there or not; without a configuration there is none."""
        path = self.file("")
        self.assertEqual(load(path, {}, {}).policy_path, str(Path(path).with_name("policy.yaml")))
        self.assertEqual(load(None, {}, {}).policy_path, "")

    def test_named(self) -> None:
        """One that is named is found from the folder of the configuration, and has to be there."""
        path = self.file("[oslo_policy]\npolicy_file = 'rules.json'")
        rules = Path(path).with_name("rules.json")
        error = self.assertRaises(ConfigError, load, path, {}, {})
        self.assertEqual(
            error.problems,
            (f"{path}: [oslo_policy] policy_file: {rules} does not exist; it has to be a file with rules.",),
        )
        rules.write_text("{}", encoding="utf-8")
        self.assertEqual(load(path, {}, {}).policy_path, str(rules))
        variable = {"ZAQAR_GATEWAY_OSLO_POLICY_POLICY_FILE": str(rules)}
        self.assertEqual(load(None, variable, {}).policy_path, str(rules))
        self.assertEqual(load(self.file(""), variable, {}).policy_path, str(rules))


class Sample(ConfigCase):
    """The sample file."""

    def test_is_current(self) -> None:
        """The file in etc/ is the one that the code writes."""
        self.assertEqual((ROOT / "etc" / "zaqar-gateway.toml").read_text(encoding="utf-8"), config.sample())

    def test_has_every_setting(self) -> None:
        """With all comment signs taken from its settings it is valid, sets every one, and changes nothing."""
        text = config.sample().partition("# Spellings of OpenStack Zaqar")[0]
        lines = [line.removeprefix("#") if line[:2] not in ("# ", "#") else "" for line in text.splitlines()]
        tables = tomllib.loads("\n".join(lines))
        keys = {(section, key) for section, table in tables.items() if isinstance(table, dict) for key in table}
        keys |= {("", key) for key, value in tables.items() if not isinstance(value, dict)}
        self.assertEqual(keys, {(option.section, option.key) for option in config.OPTIONS})
        self.assertEqual(self.load("\n".join(lines)), self.load())

    def test_every_line(self) -> None:
        """Each setting can have its comment sign taken away alone; with all of them taken away it is
        refused for no other reason than that some say the same."""
        lines = config.sample().splitlines()
        settings = [number for number, line in enumerate(lines) if line[:1] == "#" and line[:2] not in ("# ", "#")]
        in_sections = [option for option in config.ALIASES if option.section != "storage"]
        self.assertEqual(len(settings), len(config.OPTIONS) + len(in_sections))
        default = self.load()
        for number in settings:
            text = "\n".join([*lines[:number], lines[number][1:], *lines[number + 1 :]])
            self.assertEqual(self.load(text), default, lines[number])
        everything = "\n".join(line[1:] if number in settings else line for number, line in enumerate(lines))
        tables = tomllib.loads(everything)
        for option in in_sections:
            self.assertEqual(tables[option.section][option.key], option.default)
        for problem in self.refused(everything):
            self.assertIn("say the same thing twice", problem)

    def test_effective_is_a_file(self) -> None:
        """What is in effect, written as a file, has the same effect."""
        settings = self.load("[storage]\nuri = 'redis://h'\ndata_dir = '/d'\n[listen]\nhttp = ['unix:/a \\\"b']")
        self.assertEqual(self.load(config.effective(settings)).listen, settings.listen)
        self.assertEqual(self.load(config.effective(settings)).redis, settings.redis)
