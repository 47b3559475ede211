"""Settings of Sphinx, and the directive that shows the table of settings of the gateway."""

import os
import sys

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from twisted.internet.task import Clock

sys.path.insert(0, os.path.abspath(".."))

import zaqar_gateway  # noqa: E402
from zaqar_gateway import config  # noqa: E402
from zaqar_gateway.identity.signed_url import UrlSigner  # noqa: E402
from zaqar_gateway.limits import Limits  # noqa: E402
from zaqar_gateway.operations import registry  # noqa: E402
from zaqar_gateway.storage.memory import MemoryStorage  # noqa: E402

project = "zaqar-gateway"
author = "The zaqar-gateway contributors"
project_copyright = "2026, The zaqar-gateway contributors"
version = release = zaqar_gateway.__version__
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_extra_path = ["benchmark"]


class SettingsDirective(SphinxDirective):
    """``.. zaqar-settings::``: all settings, by section, from the code that checks them."""

    def run(self) -> list[nodes.Node]:
        """Write reST and have it parsed."""
        lines: list[str] = []
        section = None
        for option in config.OPTIONS:
            if option.section != section:
                section = option.section
                title = f"``[{section}]``" if section else "At the top of the file"
                lines += ["", f".. rubric:: {title}", "", ".. list-table::", "   :header-rows: 1", "   :widths: 25 15 60"]
                lines += ["", "   * - Key, variable", "     - Default", "     - Meaning"]
            default = config.to_toml(option.default)
            lines += [
                f"   * - ``{option.key}``",
                "",
                f"       ``{option.variable}``",
                f"     - ``{default}``",
                f"     - | {_literal(option.text)}",
                f"       | *Accepted:* {_literal(option.kind.accepts)}.",
            ]
        return self.parse_text_to_nodes(StringList(lines, source="zaqar_gateway/config/settings.py"))


def _operations() -> list[registry.Operation]:
    clock = Clock()
    return registry.operations(MemoryStorage(clock), Limits(), UrlSigner((), clock), clock)


class OperationsDirective(SphinxDirective):
    """``.. zaqar-operations::``: every operation with its route and action, from the registry."""

    def run(self) -> list[nodes.Node]:
        """Write reST and have it parsed."""
        lines = [".. list-table::", "   :header-rows: 1", "", "   * - HTTP", "     - WebSocket", "     - Policy rule"]
        for row in _operations():
            route = f"``{row.http.method} {row.http.path}``" if row.http else ""
            if row.http and row.http.when:
                route += f" with ``{row.http.when}``"
            lines += [
                f"   * - {route}",
                f"     - {f'``{row.name}``' if row.frame else ''}",
                f"     - ``{row.rule}``{' (admin mode)' if row.admin else ''}",
            ]
        return self.parse_text_to_nodes(StringList(lines, source="zaqar_gateway/operations/registry.py"))


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`").replace("|", "\\|").replace("_", "\\_")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("zaqar-settings", SettingsDirective)
    app.add_directive("zaqar-operations", OperationsDirective)
    return {"parallel_read_safe": True}
