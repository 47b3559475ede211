"""The command line."""

import argparse
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bench import backlog, compare, flame, goals, keystone, live, peer_zaqar
from bench.load import ceiling
from bench.load.audience import allow_sockets
from bench.load.engine import LoadFailed
from bench.measure import Shape
from bench.progress import Progress
from bench.report import tables, write_reports
from bench.report.text import terminal_table
from bench.results import IDENTITY, KNOWN, PLAIN, Results
from bench.scenarios import BACKLOG, SCENARIOS
from bench.servers import ROOT, TRANSPORTS, Cores, StartFailed, Target, gateway, parse_target
from bench.suite import Plan, environment, run

_T = TypeVar("_T")
_NAMES = (*SCENARIOS, BACKLOG, *live.SCENARIOS)
_STARTED = ("gateway", "zaqar")
_WORKERS = "workers"
_GATED = ("post1", "post10", "cycle", "claim20", "list10", "get", "pop10")
_RAW = argparse.RawDescriptionHelpFormatter

_EXAMPLES = """\
examples:
  python -m bench setup-zaqar                     install the reference, once
  python -m bench --quick                         all of it in small, to see that it works
  python -m bench                                 gateway and Zaqar, every scenario, five times
  python -m bench --targets gateway --scenarios post1,cycle --transports http
  python -m bench --targets gateway --target other=http://127.0.0.1:8888,ws=ws://127.0.0.1:9000,pid=4711
  python -m bench goals latency                   what is not a rate, against its bounds
  python -m bench page bench-results              what was measured, into docs/performance.rst
  python -m bench compare ../before . --in-flight 16 --repeat 9
  python -m bench ceiling                         how fast the load generator is by itself

"python -m bench run --help" has the options of a run; "run" itself may be left out.
"""


class _Wrong(Exception):
    """The arguments cannot be followed."""


def _words(kind: str, known: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    def parse(text: str) -> tuple[str, ...]:
        words = tuple(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
        for word in words:
            if word not in known:
                raise argparse.ArgumentTypeError(f"there is no {kind} {word!r}; choose from {', '.join(known)}")
        if not words:
            raise argparse.ArgumentTypeError(f"name at least one {kind}: {', '.join(known)}")
        return words

    return parse


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)


def _counts(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_count(each.strip().replace("_", "")) for each in text.split(",")))


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0 to 3600")
    return value


def _core(text: str) -> int:
    if not text.isdecimal() or int(text) not in os.sched_getaffinity(0):
        usable = ", ".join(map(str, sorted(os.sched_getaffinity(0))))
        raise argparse.ArgumentTypeError(f"{text!r} is not a core that this process may use ({usable})")
    return int(text)


def _checkout(text: str) -> Path:
    path = Path(text)
    if not (path / "zaqar_gateway" / "__init__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text!r} is no checkout of the gateway: it has no zaqar_gateway/__init__.py")
    return path.resolve()


def _target(text: str) -> Target:
    try:
        return parse_target(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def parser() -> argparse.ArgumentParser:
    """The parser of everything."""
    top = argparse.ArgumentParser(
        prog="python -m bench",
        description="Compare servers that speak the messaging API v2, side by side in one run.",
        epilog=_EXAMPLES,
        formatter_class=_RAW,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="command")
    runs = commands.add_parser(
        "run", help="measure (the default)", description=_about_scenarios(), formatter_class=_RAW
    )
    _run_options(runs)
    runs.set_defaults(function=_run)

    gate = commands.add_parser(
        "compare",
        help="say whether one checkout of the gateway is slower than another",
        description="Start the gateways of two checkouts and measure them in turns.  Exits with 1 where one scenario takes more"
        f" than {compare.LOSS_MAX:.0%} more in the newer one, beyond what may be noise.",
    )
    gate.add_argument("old", type=_checkout, metavar="OLD_CHECKOUT", help="the directory of one checkout")
    gate.add_argument("new", type=_checkout, metavar="NEW_CHECKOUT", help="and of the other")
    gate.add_argument(
        "--by", choices=("cpu", "rate"), default="cpu", help="what is compared (default: %(default)s of an operation)"
    )
    _how_options(gate, _GATED)
    _pin_options(gate)
    _out_options(gate)
    gate.set_defaults(function=_compare)

    reports = commands.add_parser("report", help="write the reports of an earlier run again")
    reports.add_argument("file", type=Path, help="the results.json of the run")
    reports.add_argument("--output", type=Path, metavar="DIR", help="default: the directory of the file")
    reports.add_argument("--markdown", type=Path, metavar="FILE", help="write the Markdown table to this file")
    reports.set_defaults(function=_report)

    aims = commands.add_parser(
        "goals",
        help="measure what is not a rate, against its bounds",
        description="\n".join(f"  {name:8} {about}" for name, about in goals.ABOUT.items()),
        formatter_class=_RAW,
    )
    aims.add_argument(
        "names", type=_words("goal", tuple(goals.ABOUT)), nargs="?", default=tuple(goals.ABOUT), metavar="NAME,..."
    )
    aims.add_argument("--quick", action="store_true", help="in small, to see that it works")
    aims.add_argument("--minutes", type=_seconds, metavar="N", help="at full load, for memory (default: 10)")
    aims.add_argument("--reference", action="store_true", help="also measure what Zaqar needs to store a message")
    aims.add_argument("--zaqar-dir", type=Path, default=peer_zaqar.DEFAULT_DIR, metavar="DIR", help="as for run")
    _pin_options(aims)
    _output_option(aims, "goals.json, in which other goals stay as they were")
    aims.set_defaults(function=_goals)

    flames = commands.add_parser("flame", help="draw where the time of a post goes in a checkout")
    flames.add_argument("checkout", type=_checkout, metavar="CHECKOUT", help="its directory")
    flames.add_argument("file", type=Path, metavar="FILE", help="the SVG to write")
    flames.add_argument("--scenario", choices=_GATED, default="post1", help="default: %(default)s")
    flames.add_argument("--transport", choices=TRANSPORTS, default="http", help="default: %(default)s")
    flames.add_argument("--duration", type=_seconds, default=5.0, metavar="S", help="default: %(default)s")
    _pin_options(flames)
    flames.set_defaults(function=_flame)

    pages = commands.add_parser("page", help="write the tables of docs/performance.rst")
    pages.add_argument(
        "sources", type=Path, nargs="+", metavar="DIR", help="has results.json, goals.json, or both; of live delivery several count"
    )
    pages.add_argument("--docs", type=Path, default=ROOT / "docs", metavar="DIR", help="default: %(default)s")
    pages.set_defaults(function=_page)

    setup = commands.add_parser("setup-zaqar", help="install the reference in a virtual environment of its own")
    setup.add_argument("--dir", type=Path, default=peer_zaqar.DEFAULT_DIR, help="where (default: %(default)s)")
    setup.set_defaults(function=_setup)

    limit = commands.add_parser("ceiling", help="measure the load generator against a responder that does nothing")
    limit.add_argument("--connections", type=_count, default=16, metavar="N", help="default: %(default)s")
    limit.add_argument("--in-flight", type=_counts, default=(1, 16), metavar="N,...", help="default: 1,16")
    limit.add_argument("--duration", type=_seconds, default=2.0, metavar="S", help="default: %(default)s")
    _pin_options(limit)
    limit.set_defaults(function=_ceiling)
    return top


def _about_scenarios() -> str:
    lines = [f"  {each.name:8} {each.about}" for each in SCENARIOS.values()]
    lines.append(
        f"  {BACKLOG:8} latency of post, claim with delete, and list, with more and more messages in the queue"
    )
    lines += [f"  {name:8} {about}" for name, about in live.SCENARIOS.items()]
    return "Measure.  Message bodies are JSON of 200 bytes.  The scenarios:\n\n" + "\n".join(lines)


def _run_options(runs: argparse.ArgumentParser) -> None:
    what = runs.add_argument_group("what is compared")
    what.add_argument(
        "--targets",
        type=_words("target", (*_STARTED, _WORKERS)),
        metavar="NAME,...",
        help="servers that are started for the run: gateway, zaqar (default: both; none where --target is given), and workers, the"
        " gateway as several processes",
    )
    what.add_argument(
        "--workers",
        type=_count,
        default=2,
        metavar="N",
        help="how many processes workers is (default: %(default)s); give them cores by --no-pin",
    )
    what.add_argument(
        "--target",
        type=_target,
        action="append",
        default=[],
        metavar="NAME=URL[,...]",
        help="a server that runs already: NAME=http://HOST:PORT, then any of ws=ws://HOST:PORT, pid=N, redis_pid=N, "
        "pipelining=no, most_connections=N, joined by commas; may be repeated",
    )
    what.add_argument(
        "--baseline", metavar="NAME", help="the target that ratios refer to (default: zaqar, or the first)"
    )
    what.add_argument(
        "--zaqar-dir",
        type=Path,
        default=peer_zaqar.DEFAULT_DIR,
        metavar="DIR",
        help="where setup-zaqar installed it (default: %(default)s)",
    )

    _how_options(runs, _NAMES)
    _pin_options(runs)
    _out_options(runs)


def _how_options(command: argparse.ArgumentParser, scenarios: tuple[str, ...]) -> None:
    how = command.add_argument_group("how it is measured")
    how.add_argument(
        "--scenarios",
        type=_words("scenario", _NAMES),
        default=scenarios,
        metavar="NAME,...",
        help=f"default: {'all' if scenarios == _NAMES else ','.join(scenarios)}",
    )
    how.add_argument(
        "--transports",
        type=_words("transport", TRANSPORTS),
        default=TRANSPORTS,
        metavar="NAME,...",
        help="http, websocket (default: both)",
    )
    how.add_argument("--connections", type=_count, metavar="N", help="default: 16")
    how.add_argument(
        "--in-flight", type=_counts, metavar="N,...", help="requests in flight on each connection (default: 1,16)"
    )
    how.add_argument("--duration", type=_seconds, metavar="S", help="measured seconds each time (default: 3)")
    how.add_argument("--warmup", type=_seconds, metavar="S", help="seconds before that (default: 1)")
    how.add_argument("--repeat", type=_count, metavar="N", help="measurements, of which the median counts (default: 5)")
    how.add_argument(
        "--backlog-sizes",
        type=_counts,
        metavar="N,...",
        help="messages in the queue (default: " + ",".join(map(str, backlog.SIZES)) + ")",
    )
    how.add_argument(
        "--audiences",
        type=_counts,
        metavar="N,...",
        help="sockets in fanout (default: " + ",".join(map(str, live.AUDIENCES)) + ")",
    )
    how.add_argument(
        "--idle-sockets", type=_count, metavar="N", help=f"sockets in idle (default: {live.IDLE_SOCKETS})"
    )
    how.add_argument(
        "--quick",
        action="store_true",
        help="defaults for a short run: 0.3 s, warm-up 0.1 s, once, 4 connections, backlogs of 1,000 and 5,000, audiences of "
        "10 and 100, 200 idle sockets",
    )


def _out_options(command: argparse.ArgumentParser) -> None:
    out = _output_option(command, "results.json and report.html")
    out.add_argument("--markdown", type=Path, metavar="FILE", help="write a Markdown table to this file")


def _output_option(command: argparse.ArgumentParser, what: str) -> argparse._ArgumentGroup:
    out = command.add_argument_group("what is written")
    out.add_argument(
        "--output", type=Path, default=Path("bench-results"), metavar="DIR", help=f"gets {what} (default: %(default)s)"
    )
    return out


def _pin_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("cores")
    group.add_argument(
        "--server-core", type=_core, metavar="N", help="for servers and their Redis (default: the first)"
    )
    group.add_argument("--client-core", type=_core, metavar="N", help="for the load generator (default: the second)")
    group.add_argument("--no-pin", action="store_true", help="leave it to the kernel")


def _cores(options: argparse.Namespace) -> Cores:
    usable = sorted(os.sched_getaffinity(0))
    if options.no_pin or len(usable) < 2:
        return Cores(None, None)
    server = usable[0] if options.server_core is None else options.server_core
    client = next(each for each in usable if each != server) if options.client_core is None else options.client_core
    if client == server:
        raise _Wrong("--server-core and --client-core have to differ")
    return Cores(server, client)


def plan_of(options: argparse.Namespace) -> Plan:
    """What the options of a run ask for."""

    def pick(given: _T | None, usual: _T, short: _T) -> _T:
        if given is not None:
            return given
        return short if options.quick else usual

    shape = Shape(
        connections=pick(options.connections, 16, 4),
        duration_s=pick(options.duration, 3.0, 0.3),
        warmup_s=pick(options.warmup, 1.0, 0.1),
    )
    if not shape.duration_s:
        raise _Wrong("--duration has to be more than 0")
    sizes = pick(options.backlog_sizes, backlog.SIZES, (1_000, 5_000))
    if min(sizes) < 100:
        raise _Wrong("--backlog-sizes: at least 100 messages, of which pages are listed")
    return Plan(
        scenarios=options.scenarios,
        transports=options.transports,
        in_flight=pick(options.in_flight, (1, 16), (1, 16)),
        repeat=pick(options.repeat, 5, 1),
        shape=shape,
        backlog_sizes=sizes,
        audiences=live.Audiences(
            pick(options.audiences, live.AUDIENCES, (10, 100)), pick(options.idle_sockets, live.IDLE_SOCKETS, 200)
        ),
    )


def _run(options: argparse.Namespace, command: str) -> int:
    plan, cores = plan_of(options), _cores(options)
    started = options.targets if options.targets is not None else () if options.target else _STARTED
    names = [*started, *(target.name for target in options.target)]
    if KNOWN in names:
        raise _Wrong(f"a target cannot be called {KNOWN}, which is the gateway that the scenario {IDENTITY} starts besides")
    if len(set(names)) < len(names):
        raise _Wrong(f"two targets have the same name: {', '.join(names)}")
    if options.baseline is not None and options.baseline not in names:
        raise _Wrong(f"--baseline {options.baseline}: there is no such target among {', '.join(names)}")
    for transport in plan.transports:
        for target in options.target:
            if target.address(transport) is None:
                print(f"{target.name} has no {transport} address and is left out there", file=sys.stderr)
    baseline = options.baseline or ("zaqar" if "zaqar" in names else names[0])
    options.output.mkdir(parents=True, exist_ok=True)

    settings = _settings_for(plan)
    with ExitStack() as stack:
        targets = []
        for name in started:
            print(f"starting {name} ...", file=sys.stderr)
            if name == PLAIN:
                start = gateway(cores, settings=settings)
            elif name == _WORKERS:
                start = gateway(cores, name, settings={**settings, "LISTEN_WORKERS": str(options.workers)})
            else:
                start = peer_zaqar.zaqar(cores, options.zaqar_dir, pushes=live.FANOUT in plan.scenarios)
            targets.append(stack.enter_context(start))
        if PLAIN in started and IDENTITY in plan.scenarios:
            targets.append(stack.enter_context(keystone.known_gateway(cores)))
        targets += options.target
        results = _measured(plan, targets, baseline, cores, command)
    results.save(options.output / "results.json")
    _publish(results, options.output, options.markdown)
    excused = results.baseline if len(targets) > 1 else None
    wrong = [sample for sample in results.samples if sample.errors and sample.target != excused]
    return 1 if results.failures or wrong else 0


def _settings_for(plan: Plan) -> dict[str, str]:
    """See to it that there may be as many sockets as a plan takes; what a gateway has to be told for that."""
    if {live.FANOUT, live.IDLE}.isdisjoint(plan.scenarios):
        return {}
    allow_sockets(plan.audiences.most)  # before the servers are started, which inherit it
    return {"WEBSOCKET_MAX_SOCKETS_PER_PROJECT": "0"}


def _measured(plan: Plan, targets: Sequence[Target], baseline: str, cores: Cores, command: str) -> Results:
    """Follow a plan; what was measured is kept where that is interrupted."""
    if cores.client is not None:
        os.sched_setaffinity(0, {cores.client})
    about = {"command": command, "pinning": str(cores), **environment(), "plan": _plan_text(plan)}
    results = Results(about, {target.name: target.about for target in targets}, baseline)
    try:
        run(plan, targets, results, Progress(sum(map(plan.measurements, targets))))
    except KeyboardInterrupt:
        results.failures.append("the run was interrupted")
        print("\ninterrupted; what was measured is kept", file=sys.stderr)
    return results


def _compare(options: argparse.Namespace, command: str) -> int:
    plan, cores = plan_of(options), _cores(options)
    if IDENTITY in plan.scenarios:
        raise _Wrong(f"--scenarios: {IDENTITY} is not about checkouts")
    options.output.mkdir(parents=True, exist_ok=True)
    settings = _settings_for(plan)
    with ExitStack() as stack:
        targets = []
        for name, root in ((compare.OLD, options.old), (compare.NEW, options.new)):
            print(f"starting {name}: {root} ...", file=sys.stderr)
            targets.append(stack.enter_context(gateway(cores, name, root, settings)))
        results = _measured(plan, targets, compare.OLD, cores, command)
    results.save(options.output / "results.json")
    found = compare.verdicts(results, options.by)
    text = compare.table(found, options.by)
    print(text)
    (options.output / "comparison.md").write_text(text + "\n")
    for path in write_reports(results, options.output, options.markdown):
        print(f"written: {path}")
    return 1 if results.failures or any(each.is_lost for each in found) else 0


def _goals(options: argparse.Namespace, command: str) -> int:
    cores, sizes = _cores(options), goals.QUICK if options.quick else goals.Sizes()
    if options.minutes is not None:
        sizes = replace(sizes, minutes=options.minutes)
    options.output.mkdir(parents=True, exist_ok=True)
    if goals.MEMORY in options.names:
        allow_sockets(sizes.sockets)
    if cores.client is not None:
        os.sched_setaffinity(0, {cores.client})
    path, measured, failures = options.output / "goals.json", list[goals.Figure](), list[str]()
    for name in options.names:
        found = list[goals.Figure]()
        print(f"measuring {name} ...", file=sys.stderr)
        try:
            with gateway(cores, settings=goals.settings_for(name)) as target:
                for figure in goals.GOALS[name](target, sizes):
                    found.append(figure)
            if name == goals.MEMORY and options.reference:
                with peer_zaqar.zaqar(cores, options.zaqar_dir) as target:
                    found += goals.stored(target, sizes)
        except LoadFailed as error:
            failures.append(f"{name}: {error}")
        goals.keep(path, found)
        measured += found
    print(goals.table(measured))
    for failure in failures:
        print(f"failed: {failure}")
    print(f"written: {path}")
    return 1 if failures or any(each.is_met is False for each in measured) else 0


def _flame(options: argparse.Namespace, command: str) -> int:
    cores = _cores(options)
    if cores.client is not None:
        os.sched_setaffinity(0, {cores.client})
    scenario = SCENARIOS[options.scenario]
    flame.record(options.checkout, options.file, scenario, options.transport, options.duration, cores)
    print(f"written: {options.file}")
    return 0


def _page(options: argparse.Namespace, command: str) -> int:
    texts: dict[str, str] = {}
    plot, report = "", None
    live: Results | None = None
    try:
        for source in options.sources:
            aims = source / "goals.json"
            if aims.exists():
                texts["goals"] = tables.figures(goals.load_figures(aims))
            if not (source / "results.json").exists():
                continue
            found = Results.load(source / "results.json")
            are_live = {tables.is_live(sample.case) for sample in found.samples}
            if False in are_live:
                plot, report = tables.plot(found, PLAIN), source / "report.html"
                shown = "\n.. image:: benchmark/ratios.svg\n   :alt: Times the rate of the reference, beside the goals\n"
                texts |= {
                    "rates": tables.rates(found, PLAIN) + (shown if plot else ""),
                    "backlogs": tables.backlogs(found, PLAIN),
                    "setting": tables.setting(found),
                }
            if True in are_live:
                live = live or Results(found.about, found.targets, found.baseline)
                live.samples += found.samples
    except (OSError, ValueError) as error:
        raise _Wrong(str(error)) from None
    if live is not None:
        texts["live"] = tables.live(live, PLAIN)
    if not texts:
        raise _Wrong(f"{', '.join(map(str, options.sources))}: there is neither results.json nor goals.json")
    folder = options.docs / "figures"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / f"{name}.inc").write_text(text)
    pictures = options.docs / "benchmark"
    pictures.mkdir(exist_ok=True)
    if plot:
        (pictures / "ratios.svg").write_text(plot)
    if report is not None and report.exists():
        shutil.copy(report, pictures / "report.html")
    print(f"written: {', '.join(f'{name}.inc' for name in texts)} in {folder}")
    return 0


def _plan_text(plan: Plan) -> str:
    shape = plan.shape
    return (
        f"{shape.connections} connections, {shape.duration_s:g} s each after {shape.warmup_s:g} s of warm-up, "
        f"medians of {plan.repeat}, targets taking turns"
    )


def _publish(results: Results, output: Path, markdown: Path | None) -> None:
    print(terminal_table(results))
    for path in write_reports(results, output, markdown):
        print(f"written: {path}")


def _report(options: argparse.Namespace, command: str) -> int:
    try:
        results = Results.load(options.file)
    except (OSError, ValueError) as error:
        raise _Wrong(str(error)) from None
    output = options.output or options.file.parent
    output.mkdir(parents=True, exist_ok=True)
    _publish(results, output, options.markdown)
    for failure in results.failures:
        print(f"failed: {failure}")
    return 0


def _setup(options: argparse.Namespace, command: str) -> int:
    peer_zaqar.setup(options.dir.absolute())
    print(f"Zaqar {peer_zaqar.VERSION} is in {options.dir}")
    return 0


def _ceiling(options: argparse.Namespace, command: str) -> int:
    cores = _cores(options)
    if cores.client is not None:
        os.sched_setaffinity(0, {cores.client})
    for transport in TRANSPORTS:
        for lanes in options.in_flight:
            rate, cpu_us = ceiling.measure(transport, options.connections, lanes, options.duration, cores.server)
            print(
                f"{transport:9} {options.connections} x {lanes:<3} {rate:10,.0f} requests/s {cpu_us:6.1f} us CPU each"
            )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; what is wrong with it goes to standard error.

    :return: 0; 1 where something could not be measured, or a target other than the baseline answered wrongly; 2 for
        arguments that make no sense.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    command = "python -m bench " + shlex.join(given)
    if not given or (given[0].startswith("-") and given[0] not in ("-h", "--help")):
        given.insert(0, "run")
    options = parser().parse_args(given)
    affinity = os.sched_getaffinity(0)
    try:
        code: int = options.function(options, command.rstrip())
    except _Wrong as error:
        print(f"python -m bench: error: {error}", file=sys.stderr)
        return 2
    except (StartFailed, LoadFailed) as error:
        print(f"python -m bench: {error}", file=sys.stderr)
        return 1
    finally:
        os.sched_setaffinity(0, affinity)
    return code
