"""Tables in plain text and in Markdown."""

from collections.abc import Callable, Sequence

from bench.results import IDENTITY, KNOWN, PLAIN, Case, Results, Summary
from bench.stats import median_or_none

BUSY = 0.9  # share of its time above which the load generator may be what is measured
IDLE = 0.8  # share of their core below which something else may have kept a server and its Redis from working


def number(value: float | None) -> str:
    """About three digits, as people write them."""
    if value is None:
        return "-"
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(ours: float, theirs: float) -> str:
    """How many times as much."""
    if not theirs:
        return "-"
    times = ours / theirs
    return f"{times:.1f}x" if times >= 1.05 or times < 0.05 else f"{times:.2f}x"


def advantage(case: Case, ours: Summary, theirs: Summary) -> str:
    """By what factor the first one is better: in rate, or in what else the case is about: median latency, memory."""
    if ours.memory_kib is not None and theirs.memory_kib is not None:
        return ratio(theirs.memory_kib, ours.memory_kib)
    if case.is_for_latency:
        return ratio(theirs.latency.p50, ours.latency.p50)
    return ratio(ours.rate, theirs.rate)


def identity_us(results: Results, case: Case) -> float | None:
    """What the gateway's CPU for a request is more with identity and policy than without, in microseconds: the median of the
    differences of runs that were made beside each other."""
    plain, known = (
        {each.run: each.server_cpu_us for each in results.samples if each.case == case and each.target == name}
        for name in (PLAIN, KNOWN)
    )
    pairs = [(plain[run], known[run]) for run in plain.keys() & known.keys()]
    return median_or_none([None if one is None or other is None else other - one for one, other in pairs])


def notes(results: Results) -> list[str]:
    """What a reader has to know to read the numbers rightly."""
    found = []
    summaries = results.summaries()
    everything = [summary for row in summaries.values() for summary in row.values()]
    fewer = {
        f"{each.target} ({each.connections} connections)"
        for each in everything
        if each.case.in_flight > 1 and each.per_connection == 1
    }
    if fewer:
        found.append(f"Not pipelined, but over more connections with one request each: {', '.join(sorted(fewer))}.")
    busy = [each for each in everything if each.client_busy > BUSY and not each.case.is_for_latency]
    if busy:
        what = ", ".join(f"{each.target} {each.case.title}" for each in busy)
        found.append(f"The load generator had something to do for over {BUSY:.0%} of the time, so the server may be faster: {what}.")
    idle = [
        each
        for each in everything
        if not each.case.is_for_latency
        and each.case.scenario != IDENTITY
        and each.memory_kib is None
        and each.server_busy is not None
        and each.server_busy < IDLE
        and each.client_busy <= BUSY
        and "core" in results.targets[each.target].get("pinning", "")
    ]
    if idle:
        what = ", ".join(f"{each.target} {each.case.title} {each.server_busy:.0%}" for each in idle)
        found.append(
            f"Less than {IDLE:.0%} of their core was used by a server and its Redis; was the machine busy? {what}"
        )
    for case in summaries:
        if case.scenario == IDENTITY and (added := identity_us(results, case)) is not None:
            found.append(
                f"Identity by a token that is remembered, and a policy file, take {added:.1f} us of the gateway's CPU for each"
                f" request over {'WebSocket' if case.transport == 'websocket' else 'HTTP'}, {case.in_flight} in flight."
            )
    errors = sum(each.errors for each in everything)
    if errors:
        bad = [each for each in everything if each.errors]
        found.append(f"{errors} errors: " + ", ".join(f"{each.target} {each.case.title} {each.errors}" for each in bad))
    return found


_COLUMNS = (
    "scenario",
    "target",
    "rate/s",
    "ratio",
    "p50 ms",
    "p90 ms",
    "p99 ms",
    "max ms",
    "server us",
    "redis us",
    "KiB each",
    "errors",
)


def terminal_table(results: Results) -> str:
    """Everything, in fixed columns."""
    lines: list[Sequence[str]] = [_COLUMNS]
    for case, row in results.summaries().items():
        base = row.get(results.baseline)
        title = case.title
        for target, each in row.items():
            latency = each.latency
            times = "" if base is None or target == results.baseline else advantage(case, each, base)
            percentiles = [number(value) for value in (latency.p50, latency.p90, latency.p99, latency.max)]
            cpu = [number(each.server_cpu_us), number(each.redis_cpu_us)]
            cpu.append("" if each.memory_kib is None else number(each.memory_kib))
            lines.append([title, target, number(each.rate), times, *percentiles, *cpu, str(each.errors)])
            title = ""
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    text = []
    for line in lines:
        cells = [
            cell.ljust(width) if at < 2 else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(cells).rstrip())
    return "\n".join([*text, "", *notes(results)])


def markdown_table(results: Results) -> str:
    """Scenario, reference, ours, ratio: tables of rates, of latencies by backlog or rate, and of memory."""
    summaries = results.summaries()
    others = [name for name in results.targets if name != results.baseline]
    heavy = [case for case, row in summaries.items() if any(each.memory_kib is not None for each in row.values())]
    rates = [case for case in summaries if not case.is_for_latency and case not in heavy]
    backlogs = [case for case in summaries if case.backlog]
    paced = [case for case in summaries if case.paced]
    text = []
    if rates:
        text += ["Operations per second:", "", *_markdown(results, rates, others, lambda each: number(each.rate)), ""]
    if backlogs:
        text += ["Latency by messages in the queue, median / 99th percentile in milliseconds:", ""]
        text += _markdown(results, backlogs, others, _latency)
        text.append("")
    if paced:
        text += ["Latency at a given rate, median / 99th percentile in milliseconds:", ""]
        text += _markdown(results, paced, others, _latency)
        text.append("")
    if heavy:
        text += ["Memory of the server for each connection, in KiB:", ""]
        text += _markdown(results, heavy, others, lambda each: number(each.memory_kib))
        text.append("")
    text += [f"* {note}" for note in notes(results)]
    text += [
        f"* {target}: {about['server']}, {about.get('redis', 'Redis unknown')}"
        for target, about in results.targets.items()
        if "server" in about
    ]
    about = results.about
    text += [f"* {about[key]}" for key in ("plan", "processor") if key in about]
    text += [f"* Python {about['python']}; pinning: {about['pinning']}"] if "python" in about else []
    text += [f"* `{about['command']}`"] if "command" in about else []
    return "\n".join(text).rstrip() + "\n"


def _latency(each: Summary) -> str:
    return f"{number(each.latency.p50)} / {number(each.latency.p99)}"


def _markdown(results: Results, cases: list[Case], others: list[str], show: Callable[[Summary], str]) -> list[str]:
    head = ["scenario", results.baseline]
    for name in others:
        head += [name, "ratio"]
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    summaries = results.summaries()
    for case in cases:
        row = summaries[case]
        base = row.get(results.baseline)
        cells = [case.title, show(base) if base else "-"]
        for name in others:
            each = row.get(name)
            cells += [show(each) if each else "-", advantage(case, each, base) if each and base else "-"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines
