"""A whole run: every scenario over every transport, repeated, with the targets taking turns.

The targets are running servers, whatever they are, so that other front ends (the gateway against an older revision of
itself, say) need only start two of them and call :func:`run`.
"""

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial

from bench import backlog as backlogs
from bench import live
from bench.load.audience import Audience
from bench.load.engine import LoadFailed
from bench.measure import Shape, fill, measure, queue, settle
from bench.progress import Progress
from bench.results import Results, Sample
from bench.scenarios import BACKLOG, SCENARIOS
from bench.servers import Target


@dataclass(frozen=True, slots=True)
class Plan:
    """What to measure."""

    scenarios: tuple[str, ...] = (*SCENARIOS, BACKLOG, *live.SCENARIOS)
    transports: tuple[str, ...] = ("http", "websocket")
    in_flight: tuple[int, ...] = (1, 16)
    repeat: int = 5
    shape: Shape = field(default_factory=Shape)
    backlog_sizes: tuple[int, ...] = backlogs.SIZES
    audiences: live.Audiences = field(default_factory=live.Audiences)

    def measurements(self, target: Target) -> int:
        """How many of them a target gets."""
        audiences = sum(len(self.audiences.rates(count)) for count in self.audiences.fanout)
        each = {BACKLOG: len(self.backlog_sizes), live.FANOUT: audiences, live.WAKEUP: 1}
        return sum(
            1 if name == live.IDLE else self.repeat * each.get(name, len(self.in_flight))
            for name in self.scenarios
            for transport in self.transports
            if target.serves(name, transport) and (transport == "websocket" or name not in (live.FANOUT, live.IDLE))
        )


def environment() -> dict[str, str]:
    """The machine and the interpreter."""
    model = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "processor": f"{model}, {os.cpu_count()} cores",
    }


def run(plan: Plan, targets: Sequence[Target], results: Results, progress: Progress) -> None:
    """Measure, and add to ``results``.  What cannot be measured becomes a line in ``results.failures``.

    Memory is measured first, and once: what a process has had before it uses again.
    """
    for name in sorted(plan.scenarios, key=lambda name: name != live.IDLE):
        for transport in plan.transports:
            able = [target for target in targets if target.serves(name, transport)]
            if name == BACKLOG:
                _backlog(plan, transport, able, results, progress)
            elif name == live.FANOUT:
                if transport == "websocket":
                    for count in sorted(plan.audiences.fanout):
                        _fanout(plan, count, able, results, progress)
            elif name == live.IDLE:
                if transport == "websocket":
                    idle = partial(live.measure_idle, count=plan.audiences.idle)
                    _take_turns(replace(plan, repeat=1), f"{name} {transport}", able, idle, results, progress)
            elif name == live.WAKEUP:
                wake = partial(live.measure_wakeup, transport=transport, shape=plan.shape)
                _take_turns(plan, f"{name} {transport}", able, wake, results, progress)
            else:
                for in_flight in plan.in_flight:
                    take = partial(
                        measure, scenario=SCENARIOS[name], transport=transport, in_flight=in_flight, shape=plan.shape
                    )
                    _take_turns(plan, f"{name} {transport}, {in_flight} in flight", able, take, results, progress)
    progress.end()


def _take_turns(
    plan: Plan,
    about: str,
    targets: Sequence[Target],
    take: Callable[..., Sample],
    results: Results,
    progress: Progress,
) -> None:
    """Measure again and again, one target after the other, each of them first in turn."""
    broken: set[str] = set()
    for number in range(1, plan.repeat + 1):
        for target in targets if number % 2 else reversed(targets):
            what = f"{about}, {target.name}, run {number}"
            if target.name not in broken:
                progress.begin(what)
                try:
                    _keep([take(target, run=number)], results, progress)
                except LoadFailed as error:
                    broken.add(target.name)
                    _fail(what, error, results, progress)
            progress.step()


def _fanout(plan: Plan, count: int, targets: Sequence[Target], results: Results, progress: Progress) -> None:
    """Each target has its audience; at each rate they take turns."""
    with ExitStack() as stack:
        people: dict[str, Audience] = {}

        def answer() -> None:
            for each in people.values():
                each.answer()  # also those of the others, who would be taken for dead

        for target in targets:
            what = f"{live.FANOUT} {count:,}, {target.name}"
            progress.begin(f"{what}: sockets subscribe")
            answer()
            settle(target)
            try:
                people[target.name] = stack.enter_context(live.audience(target, count))
            except LoadFailed as error:
                _fail(what, error, results, progress)
        able = [target for target in targets if target.name in people]
        for rate in plan.audiences.rates(count):

            def take(target: Target, run: int, rate: int = rate) -> Sample:
                return live.measure_fanout(target, people[target.name], rate, plan.shape, run, answer)

            at = f"{rate:,} a second" if rate else "as many as go"
            _take_turns(plan, f"{live.FANOUT} {count:,} websocket, {at}", able, take, results, progress)


def _keep(samples: list[Sample], results: Results, progress: Progress) -> None:
    results.samples += samples
    for sample in samples:
        if sample.errors:
            progress.say(f"{sample.errors} errors of {sample.target} in {sample.case.title}: {sample.complaints[0]}")


def _fail(what: str, error: Exception, results: Results, progress: Progress) -> None:
    line = f"{what}: {error}"
    results.failures.append(line)
    progress.say(f"failed: {line}")


def _backlog(plan: Plan, transport: str, targets: Sequence[Target], results: Results, progress: Progress) -> None:
    """One queue of each target grows from size to size; at each, the targets take turns."""
    with ExitStack() as stack:
        ready: list[tuple[Target, Callable[[int], None], Callable[[int], list[Sample]]]] = []
        for target in targets:
            what = f"{BACKLOG} {transport}, {target.name}"
            try:
                ready.append((target, *_backlog_of(target, transport, plan.shape, stack)))
            except LoadFailed as error:
                _fail(what, error, results, progress)
        for size in sorted(plan.backlog_sizes):
            for target, grow, _ in ready:
                progress.begin(f"filling a queue of {target.name} with {size:,} messages over {transport}")
                try:
                    grow(size)
                except LoadFailed as error:
                    ready = [each for each in ready if each[0] is not target]
                    _fail(f"{BACKLOG} {transport} at {size:,}, {target.name}", error, results, progress)
            for number in range(1, plan.repeat + 1):
                for target, _, take in ready:
                    what = f"{BACKLOG} {transport} at {size:,}, {target.name}, run {number}"
                    progress.begin(what)
                    settle(target)
                    try:
                        _keep(take(number), results, progress)
                    except LoadFailed as error:
                        ready = [each for each in ready if each[0] is not target]
                        _fail(what, error, results, progress)
                    progress.step()


def _backlog_of(
    target: Target, transport: str, shape: Shape, stack: ExitStack
) -> tuple[Callable[[int], None], Callable[[int], list[Sample]]]:
    """What makes the queue longer, and what measures."""
    client, api = stack.enter_context(queue(target, transport, 1, f"bench-backlog-{os.urandom(6).hex()}", 300.0))
    backlog = backlogs.Backlog(api)
    return (
        lambda size: backlog.filled(fill(client, api, size - len(backlog))),
        lambda number: backlogs.measure_backlog(target, transport, client, backlog, shape, number),
    )
