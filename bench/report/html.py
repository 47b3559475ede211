"""One self-contained page: plots, all numbers, and how they came about."""

from collections.abc import Callable, Sequence
from html import escape

from bench.report.svg import Bar, Line, Range, bars, lines, ranges
from bench.report.text import advantage, notes, number
from bench.results import Case, Results, Summary

_COLOURS = ("#8a8f98", "#0b7285", "#c2571a", "#6741d9", "#2b8a3e", "#a61e4d")

_STYLE = """
:root { --ink: #1b1e23; --soft: #666c75; --line: #dcdfe4; --paper: #fff; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa1ab; --line: #3a3f47; --paper: #16181c; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
  margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; }
svg { max-width: 100%; height: auto; display: block; margin: .5rem 0; }
svg text { font: 12px system-ui, sans-serif; fill: var(--ink); } svg text.name { font-weight: 600; }
svg text.axis { fill: var(--soft); font-size: 11px; } .grid { stroke: var(--line); } .spread { stroke: var(--ink); }
.thick { stroke-width: 5; } .thin { stroke-width: 1.5; } .path { fill: none !important; stroke-width: 2; }
.dashed { stroke-dasharray: 4 4; } .redis { opacity: .45; } .panels { display: flex; flex-wrap: wrap; gap: .5rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; } td, th { padding: .15rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
td:first-child, th:first-child, td.left { text-align: left; } code { font-size: 13px; overflow-wrap: anywhere; }
.key { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; } .soft { color: var(--soft); }
"""


def page(results: Results) -> str:
    """The report."""
    summaries = results.summaries()
    css = {name: f"t{at}" for at, name in enumerate(results.targets)}
    colours = "".join(
        f".{css[name]} {{ fill: {_COLOURS[at % len(_COLOURS)]}; stroke: {_COLOURS[at % len(_COLOURS)]}; "
        f"background: {_COLOURS[at % len(_COLOURS)]}; }}\n rect.{css[name]} {{ stroke: none; }}\n"
        for at, name in enumerate(results.targets)
    )
    legend = "".join(f'<span class="key {css[name]}"></span>{escape(name)}' for name in results.targets)
    plain: dict[tuple[str, int], list[Case]] = {}
    for case in summaries:
        if not case.backlog:
            plain.setdefault((case.transport, case.in_flight), []).append(case)

    body = [f"<p>{legend}</p>"]
    body += [f"<p>{escape(note)}</p>" for note in notes(results)]
    if plain:
        body.append("<h2>Operations per second</h2>")
        body.append(
            '<p class="soft">Each scenario on its own scale; the thin line reaches from the slowest run to the fastest.'
            f" In brackets: times the rate of {escape(results.baseline)}.</p>"
        )
        body += _each(plain, lambda cases: bars("Operations per second", _rates(results, cases, summaries, css)))
        body.append("<h2>Latency</h2>")
        body.append(
            '<p class="soft">Dot: median. Thick: to the 90th percentile. Thin: to the 99th. Tick: maximum. '
            "Beside it: median / 99th percentile.</p>"
        )
        body += _each(plain, lambda cases: ranges("Latency", "ms", _latencies(cases, summaries, css)))
        body.append("<h2>CPU for each operation</h2>")
        body.append(
            '<p class="soft">Microseconds; solid: the server, pale: its Redis. Each scenario on its own scale.</p>'
        )
        body += _each(plain, lambda cases: bars("CPU for each operation", _cpu(cases, summaries, css)))
    body += _backlog(summaries, css)
    body += _numbers(results, summaries)
    body += _about(results)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Messaging API benchmark</title>'
        f"<style>{_STYLE}{colours}</style>\n<h1>Messaging API benchmark</h1>\n" + "\n".join(body) + "\n</html>\n"
    )


def _each(plain: dict[tuple[str, int], list[Case]], draw: Callable[[list[Case]], str]) -> list[str]:
    parts = []
    for (transport, in_flight), cases in plain.items():
        name = "WebSocket" if transport == "websocket" else "HTTP"
        parts.append(f"<h3>{name}, {in_flight} in flight on each connection</h3>{draw(cases)}")
    return parts


def _rates(
    results: Results, cases: list[Case], summaries: dict[Case, dict[str, Summary]], css: dict[str, str]
) -> list[tuple[str, Sequence[Bar]]]:
    groups: list[tuple[str, Sequence[Bar]]] = []
    for case in cases:
        base = summaries[case].get(results.baseline)
        members = []
        for target, each in summaries[case].items():
            times = f" ({advantage(case, each, base)})" if base and target != results.baseline else ""
            spread = (each.slowest, each.fastest)
            members.append(Bar(target, ((each.rate, css[target]),), number(each.rate) + times, spread))
        groups.append((case.scenario, members))
    return groups


def _latencies(
    cases: list[Case], summaries: dict[Case, dict[str, Summary]], css: dict[str, str]
) -> list[tuple[str, Sequence[Range]]]:
    groups: list[tuple[str, Sequence[Range]]] = []
    for case in cases:
        members = []
        for target, each in summaries[case].items():
            at = each.latency
            value = f"{number(at.p50)} / {number(at.p99)} ms"
            members.append(Range(target, (at.p50, at.p90, at.p99, at.max), css[target], value))
        groups.append((case.scenario, members))
    return groups


def _cpu(
    cases: list[Case], summaries: dict[Case, dict[str, Summary]], css: dict[str, str]
) -> list[tuple[str, Sequence[Bar]]]:
    groups: list[tuple[str, Sequence[Bar]]] = []
    for case in cases:
        members = []
        for target, each in summaries[case].items():
            parts = ((each.server_cpu_us or 0.0, css[target]), (each.redis_cpu_us or 0.0, f"redis {css[target]}"))
            members.append(Bar(target, parts, f"{number(each.server_cpu_us)} + {number(each.redis_cpu_us)}"))
        groups.append((case.scenario, members))
    return groups


def _backlog(summaries: dict[Case, dict[str, Summary]], css: dict[str, str]) -> list[str]:
    panels: dict[tuple[str, str], dict[str, list[Summary]]] = {}
    for case, row in summaries.items():
        if case.backlog:
            for target, each in row.items():
                panels.setdefault((case.transport, case.scenario), {}).setdefault(target, []).append(each)
    if not panels:
        return []
    drawn = []
    for (transport, scenario), by_target in panels.items():
        paths = []
        for target, points_of in by_target.items():
            for dashed in (False, True):
                points = tuple((s.case.backlog, s.latency.p99 if dashed else s.latency.p50) for s in points_of)
                paths.append(Line(points, css[target], dashed))
        where = "WebSocket" if transport == "websocket" else "HTTP"
        drawn.append(lines(f"{scenario.removeprefix('backlog ')}, {where}", "messages in the queue", "ms", paths))
    return [
        "<h2>Latency by backlog</h2>",
        '<p class="soft">One connection. Solid: median. Dashed: 99th percentile.</p>',
        f'<div class="panels">{"".join(drawn)}</div>',
    ]


_COLUMNS = (
    "scenario", "target", "rate/s", "slowest", "fastest", "ratio", "p50 ms", "p90 ms", "p99 ms", "max ms",
    "server us", "redis us", "KiB each", "generator busy", "errors",
)  # fmt: skip


def _numbers(results: Results, summaries: dict[Case, dict[str, Summary]]) -> list[str]:
    rows = ["".join(f"<th>{column}</th>" for column in _COLUMNS)]
    for case, row in summaries.items():
        base = row.get(results.baseline)
        for target, each in row.items():
            at = each.latency
            times = advantage(case, each, base) if base and target != results.baseline else ""
            values = (each.rate, each.slowest, each.fastest)
            cells = [*(number(value) for value in values), times]
            cells += [
                number(value) for value in (at.p50, at.p90, at.p99, at.max, each.server_cpu_us, each.redis_cpu_us)
            ]
            memory = "" if each.memory_kib is None else number(each.memory_kib)
            cells += [memory, f"{each.client_busy:.0%}", str(each.errors)]
            head = f'<td>{escape(case.title)}</td><td class="left">{escape(target)}</td>'
            rows.append(head + "".join(f"<td>{cell}</td>" for cell in cells))
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    complaints = {f"{each.target}, {each.case.title}: {text}" for each in results.samples for text in each.complaints}
    troubles = [*results.failures, *sorted(complaints)]
    listed = "".join(f"<li><code>{escape(each[:500])}</code></li>" for each in troubles[:50])
    return [
        f'<h2>All numbers</h2><div class="wide"><table>{table}</table></div>',
        '<p class="soft">Medians of all runs. In the backlog scenario, CPU is that of a whole round of post, claim, '
        "delete and list. Where it is about latency, by backlog or at a given rate, the ratio is that of median latencies. "
        "An operation of fanout is a delivery to one socket, its latency reaches from the post to the receipt; "
        "KiB are the memory of the server for each connection.</p>",
        f"<h3>Errors and failures</h3><ul>{listed}</ul>" if troubles else "",
    ]


def _about(results: Results) -> list[str]:
    rows = [("command", results.about.get("command", ""))]
    rows += [(key, value) for key, value in results.about.items() if key != "command"]
    for target, about in results.targets.items():
        rows += [(f"{target}: {key}", value) for key, value in about.items()]
    table = "".join(
        f'<tr><td>{escape(key)}</td><td class="left"><code>{escape(value)}</code></td></tr>' for key, value in rows
    )
    return [f'<h2>How it was measured</h2><div class="wide"><table>{table}</table></div>']
