"""Plug-ins: what other packages bring as entry points, found and loaded once, at start."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from zope.interface.exceptions import Invalid
from zope.interface.interface import InterfaceClass
from zope.interface.verify import verifyObject

from zaqar_gateway.interfaces import INotifier

FILTERS = "zaqar_gateway.filters"
"""Makes an :class:`~zaqar_gateway.interfaces.IMessageFilter`; its name is used in ``storage.message_filters``."""

NOTIFIERS = "zaqar_gateway.notifiers"
"""Makes an :class:`~zaqar_gateway.interfaces.INotifier`."""

STORAGE = "zaqar_gateway.storage"
"""Makes an :class:`~zaqar_gateway.interfaces.IStorageBackend`; its name is the scheme of ``storage.uri``."""


class PluginError(Exception):
    """A plug-in cannot be used; the text has its name, the package that brings it, and the reason."""


def installed(group: str) -> list[str]:
    """The names of the plug-ins of a group, in order.  Nothing of them is imported."""
    return sorted({found.name for found in entry_points(group=group)})


def listed(names: Iterable[str]) -> str:
    """Names in words, for an error that says what there is."""
    return ", ".join(names) or "none"


def make(group: str, name: str, interface: InterfaceClass, *arguments: object) -> Any:
    """Load a plug-in and have it make what it is for.

    :param interface: what that has to provide.
    :param arguments: for the callable that the entry point names.
    :raises PluginError: it is not installed, or twice, or cannot be loaded, or refuses, or what it makes is another
        thing.
    """
    entry = _find(group, name)
    who = _who(entry)
    try:
        factory = entry.load()
    except Exception as error:  # importing a module of somebody else may raise anything
        raise PluginError(f"{who} cannot be loaded: {_told(error)}") from error
    try:
        made = factory(*arguments)
    except ValueError as error:
        raise PluginError(f"{who} refuses its settings: {error}") from error
    except Exception as error:
        raise PluginError(f"{who} cannot be made: {_told(error)}") from error
    _verify(who, interface, made)
    return made


def verify(group: str, name: str, parts: Iterable[tuple[InterfaceClass, Callable[[], object]]]) -> None:
    """Look at parts of what a plug-in has made.  They need not say that they provide their interfaces.

    :param parts: what each has to provide, and what gives it.
    :raises PluginError: one lacks something of its interface, or cannot be had.
    """
    who = _who(_find(group, name))
    for interface, part in parts:
        try:
            found = part()
        except Exception as error:
            raise PluginError(f"{who} cannot be used: {_told(error)}") from error
        _verify(who, interface, found, says=False)


def notifiers(tables: Mapping[str, Mapping[str, object]], reactor: Any) -> dict[str, INotifier]:
    """All installed notifiers, by the schemes that they deliver to.

    :param tables: the settings of each, by its name; none are an empty table.
    :raises PluginError: one cannot be used, or two deliver to the same scheme.
    """
    found: dict[str, INotifier] = {}
    owners: dict[str, str] = {}
    for name in installed(NOTIFIERS):
        made: INotifier = make(NOTIFIERS, name, INotifier, dict(tables.get(name, {})), reactor)
        for scheme in _schemes(name, made):
            if scheme in found:
                raise PluginError(
                    f"{owners[scheme]} and {name} (entry points of {NOTIFIERS}) both deliver to {scheme}:; one of the"
                    " packages that bring them has to be uninstalled"
                )
            found[scheme], owners[scheme] = made, name
    return found


def _schemes(name: str, notifier: INotifier) -> Collection[str]:
    """What a notifier delivers to.

    :raises PluginError: no subscriber could have such a scheme.
    """
    given: object = notifier.schemes
    if isinstance(given, Collection) and not isinstance(given, str | bytes):
        if all(isinstance(one, str) and one and one == one.lower() and ":" not in one for one in given):
            return given
    raise PluginError(
        f"{_who(_find(NOTIFIERS, name))} cannot be used: its schemes are {given!r}; they have to be a list or a tuple of texts in"
        " lower case without a colon"
    )


def _verify(who: str, interface: InterfaceClass, made: object, *, says: bool = True) -> None:
    try:
        verifyObject(interface, made, tentative=not says)
    except Invalid as error:
        # The text of zope.interface goes over lines and names the object by its address.
        why = re.sub(r"\s+", " ", re.sub(r"<(\S+) object at 0x[0-9a-f]+>", r"\1", str(error))).strip()
        raise PluginError(f"{who} does not provide {interface.__name__}: {why}") from error


def _find(group: str, name: str) -> EntryPoint:
    # A package that is installed for editing may be seen twice.
    found = {(entry.value, _source(entry)): entry for entry in entry_points(group=group, name=name)}
    if not found:
        raise PluginError(f"{name} is not installed; entry points of {group} that are: {listed(installed(group))}")
    if len(found) > 1:
        raise PluginError(
            f"{name} is brought by more than one package: {listed(sorted(source for _, source in found))}; one of them"
            f" has to be uninstalled, or has to give its entry point of {group} another name"
        )
    return found.popitem()[1]


def _who(entry: EntryPoint) -> str:
    return f"{entry.name} ({_source(entry)}, entry point {entry.value} of {entry.group})"


def _source(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
