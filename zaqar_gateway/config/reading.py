"""Reading: from a file, the environment and the command line to settings, or to a list of all that is wrong."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from twisted.internet.endpoints import quoteStringArgument

from zaqar_gateway import address, plugins
from zaqar_gateway.address import RedisAddress
from zaqar_gateway.config.endpoints import held_by, on_loopback, without_tls
from zaqar_gateway.config.kinds import ENDPOINTS, TEXT, WEBHOOK_SECRET, scheme, webhook_key
from zaqar_gateway.config.settings import Settings, Storage
from zaqar_gateway.config.table import (
    ENVIRONMENT_PREFIX,
    FILE_VARIABLE,
    KNOWN,
    REFERENCE_LISTENERS,
    REFERENCE_STORE,
    SECTIONS,
    TABLES,
    VARIABLES,
    Option,
    to_toml,
)

_POLICY_FILE = "policy.yaml"
_TEXT = "utf-8-sig"
"""How files are read: some editors put a byte order mark first, which is no part of the text."""

_OF_STORE = "[storage] uri says where all is kept"
_OF_ZAQAR = {
    "[default]": "what Zaqar has there stands at the top of this file, before the first section",
    "[drivers]": "[listen] says where both transports are served, and [storage] uri where all is kept",
    "[drivers] transport": "both transports are served, where [listen] http and [listen] websocket say",
    "[drivers] message_store": _OF_STORE,
    "[drivers] management_store": _OF_STORE,
}
"""What to do about what stands in a file of Zaqar's and is not known here, by names in lower case."""


class ConfigError(Exception):
    """The settings cannot be used.

    :ivar problems: one text for each thing that is wrong: where it stands, its key, and what is accepted.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@frozen
class _Given:
    """A value that somebody gave.

    :ivar rank: which source it comes from; a greater one wins.
    :ivar place: that source and the name there, for people.
    """

    option: Option
    value: Any
    rank: int
    place: str


class _Reader:
    """Collects what the sources give, and what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._folder = ""  # of the file with settings, where there is one
        self._given: dict[tuple[str, str], _Given] = {}
        self._tables: dict[str, dict[str, dict[str, object]]] = {section: {} for section in TABLES}

    def file(self, path: str) -> None:
        """Take what a TOML file gives."""
        self._folder = os.path.dirname(os.path.abspath(path))
        try:
            tables = tomllib.loads(Path(path).read_text(encoding=_TEXT))
        except OSError as error:
            self.problems.append(f"{path}: cannot be read: {error.strerror}; it has to be a TOML file.")
            return
        except ValueError as error:  # what is wrong with UTF-8 is one too
            self.problems.append(f"{path}: is not TOML: {error}{_hint(str(error))}.")
            return
        self._table(path, "", tables)

    def _table(self, path: str, section: str, table: Mapping[str, object]) -> None:
        for key, value in table.items():
            option = KNOWN.get((section, key))
            if option:
                self._take(option, value, 0, f"{path}: {option.name}")
            elif isinstance(value, dict):
                # A dotted table, [drivers.transport.wsgi], is the same as one with colons.
                inner = f"{section}:{key}" if section else key
                if inner in TABLES:
                    self._plugin_tables(path, inner, value)
                elif any(known == inner or known.startswith(f"{inner}:") for known, _ in KNOWN):
                    self._table(path, inner, value)
                else:
                    self._unknown(path, f"[{inner}]", "a section", _near_section(inner))
            elif not section and key in SECTIONS:
                self.problems.append(f"{path}: {key} is a section: it has to be a table, which begins with [{key}].")
            else:
                self._unknown(path, Option(section, key, TEXT, None, "").name, "a setting", _near(section, key))

    def _plugin_tables(self, path: str, section: str, tables: Mapping[str, object]) -> None:
        known = plugins.installed(TABLES[section])
        for name, table in tables.items():
            if not isinstance(table, dict):
                self.problems.append(
                    f"{path}: [{section}] {name} is not a setting; those of a {section} are in a table"
                    f" [{section}.NAME]."
                )
            elif name not in known:
                self.problems.append(
                    f"{path}: [{section}.{name}] is of a {section} that is not installed; installed are:"
                    f" {plugins.listed(known)}."
                )
            else:
                self._tables[section][name] = table

    def environment(self, environ: Mapping[str, str]) -> None:
        """Take what environment variables give."""
        for variable, text in environ.items():
            option = VARIABLES.get(variable)
            if option:
                self._take(option, text, 1, f"environment: {variable}", read=True)
            elif variable.startswith(ENVIRONMENT_PREFIX) and variable != FILE_VARIABLE:
                near = difflib.get_close_matches(variable, [*VARIABLES, FILE_VARIABLE], 1, 0.8)
                self._unknown("environment", variable, "a setting", near)

    def overrides(self, overrides: Mapping[str, object]) -> None:
        """Take what the command line gives, by names such as ``storage.uri``."""
        for name, value in overrides.items():
            section, _, key = name.rpartition(".")
            option = KNOWN[section, key]
            self._take(option, value, 2, f"command line: {option.name}", read=isinstance(value, str))

    def settings(self, environ: Mapping[str, str]) -> Settings:
        """What was given, with defaults for the rest.

        :raises ConfigError: there are problems.
        """
        self._resolve_aliases()
        values: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
        for (section, key), given in self._given.items():
            values[section][key] = given.value
        parts = {name: class_(**values[name]) for name, class_ in SECTIONS.items() if name}
        settings = Settings(**values[""], **parts)
        if self.problems:  # what is refused is as if it were not given, and others would seem to contradict it
            raise ConfigError(self.problems)
        self.problems.extend(self._contradictions(settings))
        redis = self._redis(settings.storage)
        resolved = evolve(
            settings,
            storage=evolve(settings.storage, data_dir=_data_dir(settings.storage.data_dir, environ)),
            redis=redis,
            filter_tables=self._tables["filter"],
            notifier_tables=self._tables["notifier"],
            signing_keys=self._secrets(settings, "signed_url", "secret_key", "previous_keys"),
            encryption_key=self._secret(settings, "transport", "message_encryption_key", "passphrase"),
            webhook_secrets=self._webhook_keys(settings),
            smtp_password=self._smtp_password(settings),
            keystone_password=self._user_password(settings, "keystone_authtoken"),
            trustee_password=self._user_password(settings, "trustee"),
            policy_path=self._policy_path(settings.oslo_policy.policy_file),
        )
        if self.problems:
            raise ConfigError(self.problems)
        return resolved

    def _take(self, option: Option, raw: object, rank: int, place: str, read: bool = False) -> None:
        try:
            value = option.kind.check(option.kind.read(str(raw)) if read else raw)
        except ValueError as error:
            # A URL in a wrong place, or of a wrong form, may have a password.
            shown = "" if option.secret or re.search("://[^/]*@", str(raw)) else f" is {to_toml(raw)}"
            why = f"; {error}" if str(error) else ""
            self.problems.append(f"{place}{shown}{why}; it has to be {option.kind.accepts}.")
        else:
            self._given[option.section, option.key] = _Given(option, value, rank, place)

    def _unknown(self, source: str, name: str, what: str, near: Sequence[str]) -> None:
        if told := _OF_ZAQAR.get(name.lower()):
            hint = f"{told}."
        elif re.fullmatch(r"\[drivers:(?:message|management)_store:[^]]*\]", name):
            hint = f"{_OF_STORE}."
        else:
            hint = f"did you mean {near[0]}?" if near else "'zaqar-gateway check-config --sample' shows all there are."
        self.problems.append(f"{source}: {name} is not {what}; {hint}")

    def _resolve_aliases(self) -> None:
        """Turn the reference's spellings into ours."""
        for key, section in REFERENCE_LISTENERS.items():
            bind, port = self._given.pop((section, "bind"), None), self._given.pop((section, "port"), None)
            parts = [given for given in (bind, port) if given]
            if parts:
                first = max(parts, key=lambda given: given.rank)
                host = str(bind.value if bind else KNOWN[section, "bind"].default)
                kind = "tcp6" if ":" in host else "tcp"
                number = port.value if port else KNOWN[section, "port"].default
                endpoint = f"{kind}:{number}:interface={quoteStringArgument(host)}"
                self._stand_in(first, KNOWN["listen", key], (endpoint,))
        uri = self._given.pop((REFERENCE_STORE, "uri"), None)
        if uri:
            self._stand_in(uri, KNOWN["storage", "uri"], uri.value)
        pipeline = self._given.pop(("storage", "message_pipeline"), None)
        if pipeline:
            self._stand_in(pipeline, KNOWN["storage", "message_filters"], pipeline.value)
        virtual = self._given.pop(("pooling:catalog", "enable_virtual_pool"), None)
        if virtual:
            self._stand_in(virtual, KNOWN["", "enable_virtual_pool"], virtual.value)

    def _stand_in(self, alias: _Given, option: Option, value: object) -> None:
        own = self._given.get((option.section, option.key))
        if own and own.rank == alias.rank:
            self.problems.append(f"{alias.place} and {own.place} say the same thing twice; give one of them.")
        elif not own or own.rank < alias.rank:
            self._given[option.section, option.key] = _Given(option, value, alias.rank, alias.place)

    def _contradictions(self, settings: Settings) -> Iterator[str]:
        """What is wrong with settings that are right each by itself."""
        bounds = [
            ("transport", "default_message_ttl", "max_message_ttl"),
            ("transport", "default_message_delay", "max_message_delay"),
            ("transport", "default_claim_ttl", "max_claim_ttl"),
            ("transport", "default_claim_grace", "max_claim_grace"),
            ("transport", "min_length_client_id", "max_length_client_id"),
        ]
        if settings.storage.durability == "replicated":
            bounds.append(("storage", "replicas_timeout_s", "command_timeout_s"))
        for section, low, high in bounds:
            values = getattr(settings, section)
            if getattr(values, low) > getattr(values, high):
                yield (
                    f"{self._place(section, low, high)}: [{section}] {low} is {getattr(values, low)};"
                    f" it has to be at most {high}, which is {getattr(values, high)}."
                )
        if settings.transport.max_messages_post_size > settings.websocket.max_frame_size:
            yield (
                f"{self._place('transport', 'max_messages_post_size')}: [transport] max_messages_post_size is"
                f" {settings.transport.max_messages_post_size}; it has to be at most [websocket] max_frame_size, which"
                f" is {settings.websocket.max_frame_size}."
            )
        if settings.storage.durability != "memory" and settings.storage.uri == "memory:":
            yield (
                f"{self._place('storage', 'durability')}: [storage] durability is \"{settings.storage.durability}\"; [storage] uri has"
                " to be of a Redis then, and not memory:, which loses everything when the process ends."
            )
        elif settings.storage.durability == "replicated" and scheme(settings.storage.uri) not in address.SCHEMES:
            yield (
                f"{self._place('storage', 'durability')}: [storage] durability is \"replicated\"; [storage] uri has to be of a"
                " Redis with replicas then: redis:// or rediss://."
            )
        if settings.listen.workers != 1 and settings.storage.uri == "memory:":
            yield (
                f"{self._place('listen', 'workers')}: [listen] workers is {settings.listen.workers}; it has to be 1 where [storage] uri is"
                " memory:, for what is in the memory of one process no other one sees."
            )
        if not settings.listen.http and not settings.listen.websocket:
            yield (
                f"{self._place('listen', 'http', 'websocket')}: [listen] http and websocket are both empty;"
                f" one of them has to be {ENDPOINTS.accepts}."
            )
        yield from self._held_twice(settings)
        for key in ("http", "websocket", "admin"):
            over_tls = [endpoint for endpoint in getattr(settings.listen, key) if without_tls(endpoint)[1]]
            if over_tls and not settings.tls.certificate_file:
                yield (
                    f"{self._place('listen', key)}: [listen] {key} has {over_tls[0]}; [tls] certificate_file has to be a"
                    " file with a certificate then."
                )
        given = settings.keystone_authtoken
        if settings.auth_strategy == "keystone" and not given.auth_url:
            yield (
                f"{self._place('', 'auth_strategy')}: auth_strategy is \"keystone\"; [keystone_authtoken] has to be given"
                " then: auth_url, username, password and project_name."
            )
        if given.auth_url and bool(given.project_id) == bool(given.project_name):
            yield (
                f"{self._place('keystone_authtoken', 'auth_url')}: [keystone_authtoken] auth_url is given; one of"
                " [keystone_authtoken] project_id and project_name has to be given then."
            )
        if settings.notification.smtp_host and not settings.notification.smtp_sender:
            yield (
                f"{self._place('notification', 'smtp_host')}: [notification] smtp_host is given; [notification]"
                " smtp_sender has to be a mail address then."
            )

    def _held_twice(self, settings: Settings) -> Iterator[str]:
        listen, holders = settings.listen, dict[tuple[str, ...], str]()
        for key in ("http", "websocket", "admin"):
            for endpoint in getattr(listen, key):
                described = without_tls(endpoint)[0]
                held = held_by(on_loopback(described) if key == "admin" else described)
                if held and held in holders:
                    yield (
                        f"{self._place('listen', key)}: [listen] {key} has {endpoint}, where [listen] {holders[held]} listens already;"
                        " each endpoint has to be another one."
                    )
                holders[held] = key

    def _place(self, section: str, *keys: str) -> str:
        """The source of the first of some settings that somebody gave."""
        given = [self._given[section, key] for key in keys if (section, key) in self._given]
        return given[0].place.partition(": ")[0] if given else "defaults"

    def _redis(self, storage: Storage) -> RedisAddress | None:
        found = address.parse(storage.uri) if scheme(storage.uri) in address.SCHEMES else None
        source, path = self._place("storage", "uri"), storage.password_file
        if path:
            source = self._place("storage", "password_file")
            password = self._password(f"{source}: [storage] password_file", path)
            if not found:
                self.problems.append(
                    f"{source}: [storage] password_file is given; [storage] uri has to be a redis://, rediss:// or"
                    " unix:// URI then."
                )
            elif found.password:
                self.problems.append(
                    f"{source}: [storage] password_file and [storage] uri both give a password; give one of them."
                )
            else:
                found = found.with_password(password)
        elif found and found.username and not found.password:
            self.problems.append(
                f"{source}: [storage] uri names a user without a password; it has to be user:password@, or the"
                " password has to be in [storage] password_file."
            )
        return self._redis_behind_sentinels(storage, found)

    def _redis_behind_sentinels(self, storage: Storage, found: RedisAddress | None) -> RedisAddress | None:
        path = storage.sentinel_password_file
        if path:
            source = self._place("storage", "sentinel_password_file")
            password = self._password(f"{source}: [storage] sentinel_password_file", path)
            if not found or not found.sentinels:
                self.problems.append(
                    f"{source}: [storage] sentinel_password_file is given; [storage] uri has to have the hosts of Sentinels and"
                    " '?master=' then."
                )
            elif found.sentinel_password:
                self.problems.append(
                    f"{source}: [storage] sentinel_password_file and [storage] uri both give a password; give one of them."
                )
            else:
                return found.with_sentinel_password(password)
        elif found and found.sentinel_username and not found.sentinel_password:
            self.problems.append(
                f"{self._place('storage', 'uri')}: [storage] uri has a sentinel_username without a password; it has to have"
                " sentinel_password, or that has to be in [storage] sentinel_password_file."
            )
        return found

    def _secret(self, settings: Settings, section: str, key: str, what: str) -> str:
        """A secret that a setting gives, or the file that the setting with ``_file`` behind its name names."""
        given = getattr(settings, section)
        secret: str = getattr(given, key)
        path: str = getattr(given, f"{key}_file")
        if path:
            source, name = self._place(section, f"{key}_file"), f"[{section}] {key}_file"
            if secret:
                self.problems.append(f"{source}: {name} and [{section}] {key} both give a {what}; give one of them.")
            secret = self._password(f"{source}: {name}", path, what)
        return secret

    def _secrets(self, settings: Settings, section: str, key: str, previous: str) -> tuple[str, ...]:
        """A secret, then those that came before it; none where there is none."""
        given, secret = getattr(settings, section), self._secret(settings, section, key, "secret")
        earlier: tuple[str, ...] = getattr(given, previous)
        if earlier and not secret and not getattr(given, f"{key}_file"):
            self.problems.append(
                f"{self._place(section, previous)}: [{section}] {previous} is given; [{section}] {key} has to be given"
                " then."
            )
        return (secret, *earlier) if secret else ()

    def _webhook_keys(self, settings: Settings) -> tuple[bytes, ...]:
        secrets = self._secrets(settings, "notification", "webhook_secret", "webhook_previous_secrets")
        try:
            return tuple(map(webhook_key, secrets))
        except ValueError as error:  # of the file; those of settings were checked
            source = self._place("notification", "webhook_secret_file")
            self.problems.append(
                f"{source}: [notification] webhook_secret_file; {error}; it has to be a file that holds"
                f" {WEBHOOK_SECRET.accepts}."
            )
            return ()

    def _smtp_password(self, settings: Settings) -> str:
        given = settings.notification
        password = self._secret(settings, "notification", "smtp_user_password", "password")
        if bool(given.smtp_user_name) != bool(given.smtp_user_password or given.smtp_user_password_file):
            source = self._place("notification", "smtp_user_name", "smtp_user_password", "smtp_user_password_file")
            self.problems.append(
                f"{source}: [notification] smtp_user_name and smtp_user_password (or smtp_user_password_file) have to"
                " be given both or not at all."
            )
        return password

    def _user_password(self, settings: Settings, section: str) -> str:
        """The password of a user of Keystone, who is given in full or not at all."""
        given = getattr(settings, section)
        keys = ("auth_url", "user_id", "username", "password", "password_file")
        auth_url, user_id, username, *passwords = (getattr(given, key) for key in keys)
        if any((auth_url, user_id, username, *passwords)) and not (
            auth_url and bool(user_id) != bool(username) and any(passwords)
        ):
            self.problems.append(
                f"{self._place(section, *keys)}: [{section}] auth_url, one of user_id and username, and password (or"
                " password_file) have to be given all or not at all."
            )
        return self._secret(settings, section, "password", "password")

    def _policy_path(self, given: str) -> str:
        """Where the policy file is; only one that is named has to be there."""
        if not given:
            return os.path.join(self._folder, _POLICY_FILE) if self._folder else ""
        path = os.path.abspath(os.path.join(self._folder, given))
        if not os.path.exists(path):
            source = self._place("oslo_policy", "policy_file")
            self.problems.append(
                f"{source}: [oslo_policy] policy_file: {path} does not exist; it has to be a file with rules."
            )
        return path

    def _password(self, name: str, path: str, what: str = "password") -> str:
        try:
            password = Path(path).read_text(encoding=_TEXT).rstrip("\r\n")
        except OSError as error:
            why = error.strerror or "an error"
        except UnicodeDecodeError:
            why = "it is not UTF-8"
        else:
            if password:
                return password
            why = "it is empty"
        self.problems.append(f"{name}: {path} cannot be used: {why}; it has to be a file that holds the {what}.")
        return ""


def _hint(error: str) -> str:
    """What is wrong with TOML for those who write it as Zaqar's file is written."""
    if "Expected ']'" in error:
        return '; a section with colons is written ["drivers:transport:wsgi"]'
    if "Invalid value" in error:
        return '; text stands between quotes, as in uri = "redis://localhost", and truth is true or false'
    return ""


def _near_section(section: str) -> list[str]:
    """The section that somebody may have meant."""
    sections = {known for known, _ in KNOWN if known} | TABLES.keys()
    names = {name.lower(): f"[{name}]" for name in sections}
    return [names[near] for near in difflib.get_close_matches(section.lower(), names, 1)]


def _near(section: str, key: str) -> list[str]:
    """The names of settings that somebody may have meant, best first."""
    elsewhere = [option.name for option in KNOWN.values() if option.key == key]
    names = {option.name.lower(): option.name for option in KNOWN.values() if option.section == section}
    wanted = Option(section, key, TEXT, None, "").name.lower()
    return [*(names[near] for near in difflib.get_close_matches(wanted, names, 1, 0.75)), *elsewhere]


def _data_dir(given: str, environ: Mapping[str, str]) -> str:
    """The absolute path of the directory of the embedded Redis."""
    home = environ.get("HOME") or os.path.expanduser("~")
    if not given:
        base = environ.get("XDG_DATA_HOME", "")
        # The base directory specification has a relative path ignored.
        given = os.path.join(base if os.path.isabs(base) else os.path.join(home, ".local", "share"), "zaqar-gateway")
    elif given == "~" or given.startswith("~/"):
        given = home + given[1:]
    return os.path.abspath(given)


def load(path: str | None, environ: Mapping[str, str], overrides: Mapping[str, object]) -> Settings:
    """Read all settings; an override wins over the environment, and that over the file.

    :param path: a TOML file, or ``None`` for that of ``ZAQAR_GATEWAY_CONFIG``, which may be none.
    :param overrides: values by names such as ``storage.uri``, as the file would give them, or as text.
    :raises ConfigError: something is wrong; all of it is told.
    """
    reader = _Reader()
    path = path or environ.get(FILE_VARIABLE)
    if path:
        reader.file(path)
    reader.environment(environ)
    reader.overrides(overrides)
    return reader.settings(environ)
