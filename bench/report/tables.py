"""The tables of ``docs/performance.rst``: files that it includes, made of what was measured."""

from collections.abc import Sequence

from bench.goals import ABOUT, Figure
from bench.live import SCENARIOS as LIVE
from bench.live import WAKEUP
from bench.report.svg import Bar, bars
from bench.report.text import advantage, number
from bench.results import Case, Results, Summary

GOALS = {
    ("post1", "http"): 15,
    ("cycle", "http"): 15,
    ("claim20", "http"): 20,
    ("list10", "http"): 20,
    ("pop10", "http"): 20,
    ("get", "http"): 12,
    ("post1", "websocket"): 10,
    ("cycle", "websocket"): 15,
    ("list10", "websocket"): 15,
}
"""How many times as many operations a second as the reference it is to do, with one request in flight on each connection."""

_FACTS = {"command": "``{}``", "plan": "{}", "processor": "{}", "pinning": "{}", "python": "Python {}"}
_PIPELINED = {("post1", "websocket"): 12}


def list_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]) -> str:
    """A table in reStructuredText."""
    lines = [
        f".. list-table:: {title}",
        "   :header-rows: 1",
        f"   :widths: {' '.join(map(str, widths))}",
        "",
    ]
    for row in (head, *rows):
        lines += [f"   {'*' if not at else ' '} - {cell}".rstrip() for at, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


def rates(results: Results, ours: str) -> str:
    """Operations a second, against the goals."""
    rows = []
    for case, row in results.summaries().items():
        base, own = row.get(results.baseline), row.get(ours)
        if case.is_for_latency or base is None or own is None or is_live(case):
            continue
        goal = _goal(case)
        rows.append(
            [
                case.title,
                f"{goal}x" if goal else "",
                number(base.rate),
                number(own.rate),
                advantage(case, own, base),
                _us(own.server_cpu_us),
                _us(own.redis_cpu_us),
            ]
        )
    head = ["Scenario", "Goal", "Zaqar", "Gateway", "Ratio", "CPU of the gateway, µs", "of its Redis, µs"]
    return list_table("Operations a second", head, rows, [34, 8, 12, 12, 10, 12, 12])


_STYLE = (
    "text { font: 12px sans-serif; fill: #333; } .name { font-weight: 600; } .goal { fill: #c9c2b8; } .ours { fill: #f28e5c; }"
)


def plot(results: Results, ours: str) -> str:
    """How many times the rate of the reference, beside the goals: an SVG; empty where there is nothing to show."""
    groups: list[tuple[str, Sequence[Bar]]] = []
    for case, row in results.summaries().items():
        base, own = row.get(results.baseline), row.get(ours)
        goal = _goal(case)
        if goal and base is not None and own is not None and base.rate:
            times = own.rate / base.rate
            pair = Bar("goal", ((goal, "goal"),), f"{goal}x"), Bar("reached", ((times, "ours"),), f"{times:.1f}x")
            groups.append((case.title.partition(",")[0] + ("" if case.in_flight == 1 else ", pipelined"), pair))
    if not groups:
        return ""
    drawn = bars("Times the rate of the reference", groups)
    return drawn.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1).replace(
        "</title>", f"</title><style>{_STYLE}</style>", 1
    )


def _goal(case: Case) -> int | None:
    return (GOALS if case.in_flight == 1 else _PIPELINED).get((case.scenario, case.transport))


def _us(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"


def backlogs(results: Results, ours: str) -> str:
    """Latency with many messages in the queue."""
    rows = []
    for case, row in results.summaries().items():
        base, own = row.get(results.baseline), row.get(ours)
        if case.backlog and base is not None and own is not None:
            rows.append([case.title, _percentiles(base), _percentiles(own), advantage(case, own, base)])
    head = ["Scenario", "Zaqar", "Gateway", "Ratio"]
    return list_table("Latency in ms, median / 99th percentile", head, rows, [50, 20, 20, 10])


def live(results: Results, ours: str) -> str:
    """What reaches those who wait for it, how soon, and what they cost while nothing does."""
    rows = []
    for case, row in results.summaries().items():
        own = row.get(ours)
        if own is not None and is_live(case):
            base = row.get(results.baseline) if results.baseline != ours else None
            measured = [_live(case, each) if each is not None else "" for each in (base, own)]
            rows.append([case.title, *measured, advantage(case, own, base) if base is not None else ""])
    head = ["Scenario", "Zaqar", "Gateway", "Ratio"]
    return list_table("Live delivery; latency as median / 99th percentile", head, rows, [40, 22, 22, 10])


def is_live(case: Case) -> bool:
    """Whether it is about live delivery."""
    return case.scenario.partition(" ")[0] in LIVE


def _live(case: Case, each: Summary) -> str:
    if each.memory_kib is not None:
        return f"{number(each.memory_kib)} KiB a socket"
    if case.is_for_latency or case.scenario == WAKEUP:
        return f"{_percentiles(each)} ms"
    return f"{number(each.rate)} deliveries a second"


def _percentiles(each: Summary) -> str:
    return f"{each.latency.p50:.2f} / {each.latency.p99:.2f}"


def figures(measured: Sequence[Figure]) -> str:
    """What has a bound of its own, by goal."""
    text = []
    for goal, about in ABOUT.items():
        rows = [
            [
                each.what if each.target == "gateway" else f"{each.what} ({each.target})",
                _bound(each),
                f"{number(each.value)} {each.unit}",
                {None: "", True: "yes", False: "no"}[each.is_met],
            ]
            for each in measured
            if each.goal == goal
        ]
        if rows:
            text.append(list_table(f"``{goal}``: {about}", ["What", "Goal", "Gateway", "Met"], rows, [58, 16, 16, 10]))
    return "\n".join(text)


def _bound(each: Figure) -> str:
    if each.bound is None:
        return ""
    return f"{'at least' if each.is_least else 'at most'} {each.bound:g} {each.unit}"


def setting(results: Results) -> str:
    """Where and how it was measured."""
    about = results.about
    facts = [form.format(about[key]) for key, form in _FACTS.items() if key in about]
    for name, told in results.targets.items():
        if "server" in told:
            facts.append(f"{name}: {told['server']}, {told.get('redis', 'Redis unknown')}")
    return "\n".join(f"* {fact}" for fact in facts) + "\n"
