"""Settings of Sphinx, and directives that show what the code knows: settings, operations, and the tests that show them."""

import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, os.path.abspath(".."))

import zaqar_gateway  # noqa: E402
from zaqar_gateway import config  # noqa: E402
from zaqar_gateway.admin.catalogue import METRICS  # noqa: E402
from zaqar_gateway.describing import KINDS, description, rows_of  # noqa: E402
from zaqar_gateway.operations import registry  # noqa: E402

project = "zaqar-gateway"
author = "The zaqar-gateway contributors"
project_copyright = "2026, The zaqar-gateway contributors"
version = release = zaqar_gateway.__version__
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_extra_path = ["benchmark"]
html_static_path = ["_static"]


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


class MetricsDirective(SphinxDirective):
    """``.. zaqar-metrics::``: every metric of the admin listener, from the code that tells them."""

    def run(self) -> list[nodes.Node]:
        """Write reST and have it parsed."""
        lines = [".. list-table::", "   :header-rows: 1", "   :widths: 45 55", "", "   * - Metric", "     - Meaning"]
        for each in METRICS.values():
            labels = ", ".join(f"``{label}``" for label in each.labels)
            lines += [
                f"   * - ``{each.shown}``",
                "",
                f"       {each.kind}{f', by {labels}' if labels else ''}{f'; {each.when}' if each.when else ''}",
                f"     - {_literal(each.text)}",
            ]
        return self.parse_text_to_nodes(StringList(lines, source="zaqar_gateway/admin/catalogue.py"))


def _operations() -> list[registry.Operation]:
    return rows_of(config.load(None, {}, {"storage.uri": "memory:", "admin_mode": True, "pooling": True}))


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


class ConformanceDirective(SphinxDirective):
    """``.. zaqar-conformance:: part``: what the API promises and the tests that show it, from conformance.toml."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Write reST and have it parsed."""
        source = Path(self.env.srcdir, "conformance.toml")
        self.env.note_dependency(str(source))
        part: Any = tomllib.loads(source.read_text(encoding="utf-8"))[self.arguments[0]]
        if isinstance(part, dict):
            part = [{"what": _asked(row), **part[row.name]} for row in _operations()]
        titles = ["Request", *(["Result"] if "gives" in part[0] else []), "Tests"]
        widths = "30 15 55" if "gives" in part[0] else "35 65"
        lines = [".. list-table::", "   :header-rows: 1", "   :class: conformance", f"   :widths: {widths}", ""]
        for cells in (titles, *map(_cells, part)):
            for number, cell in enumerate(cells):
                first, *more = cell.splitlines()
                lines += [f"   {'  -' if number else '* -'} {first}", *(f"       {line}" for line in more)]
        return self.parse_text_to_nodes(StringList(lines, source=str(source)))


def _cells(row: Mapping[str, Any]) -> list[str]:
    """The cells of a row of the tables, in reST."""
    cells = [row[key].replace("`", "``") for key in ("what", "gives") if key in row]
    tests = [
        f"{title}:\n\n" + "".join(f"* ``{test}``\n" for test in row[key])
        for key, title in (("http", "HTTP"), ("websocket", "WebSocket"))
        if key in row
    ]
    return [*cells, "\n".join(tests)]


def _asked(row: registry.Operation) -> str:
    """Route and action of an operation."""
    route = f"`{row.http.method} {row.http.path}`" if row.http else ""
    if row.http and row.http.when:
        route += f" with `{row.http.when}`"
    return ", ".join(filter(None, (route, f"`{row.name}`" if row.frame else "")))


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`").replace("|", "\\|").replace("_", "\\_")


def write_descriptions(app: Sphinx, failure: Exception | None) -> None:
    """Put the descriptions of a gateway without settings beside the pages that link to them."""
    if failure is None and app.builder.format == "html":
        for kind in KINDS:
            Path(app.outdir, f"{kind}.json").write_text(description(kind, config.load(None, {}, {})), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known, and what is written besides."""
    app.add_directive("zaqar-settings", SettingsDirective)
    app.add_directive("zaqar-metrics", MetricsDirective)
    app.add_directive("zaqar-operations", OperationsDirective)
    app.add_directive("zaqar-conformance", ConformanceDirective)
    app.connect("build-finished", write_descriptions)
    return {"parallel_read_safe": True}
