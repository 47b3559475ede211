"""Flame graphs: where the time of a gateway goes, by the functions that are being called."""

import os
import signal
import sys
import tempfile
import time
from contextlib import suppress
from html import escape
from pathlib import Path

from bench.load.engine import LoadFailed
from bench.measure import fill, queue
from bench.scenarios import Scenario
from bench.servers import Address, Cores, Target, free_port, listens, process, revision, wait_until

_SAMPLER = Path(__file__).with_name("sampled.py")
_WIDTH, _ROW, _LEAST = 1200, 16, 0.0015  # pixels; and the share below which a frame is left out
_PATIENCE_S = 20.0

_COLOURS = {"zaqar_gateway": "#f28e5c", "twisted": "#7aa6d6", "autobahn": "#8fc98a"}
_OTHER = "#c9c2b8"


class _Node:
    """A function that was called from the one above it; how often it was seen, with all that it called."""

    def __init__(self) -> None:
        self.count = 0
        self.below: dict[str, _Node] = {}


def record(root: Path, output: Path, scenario: Scenario, transport: str, seconds: float, cores: Cores) -> None:
    """Run the gateway of a checkout under load, and draw where its time went.

    :raises LoadFailed: there is nothing to be seen.
    """
    http, websocket = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    with tempfile.TemporaryDirectory(prefix="bench-flame-") as directory:
        home = Path(directory)
        stacks, log = home / "stacks", home / "log"
        command = [sys.executable, str(_SAMPLER), str(stacks), "-n", "--pidfile=", "zaqar-gateway"]
        command += [f"--{name}=tcp:{at.port}:interface={at.host}" for name, at in (("http", http), ("websocket", websocket))]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        with process([*command, f"--data-dir={home / 'data'}"], log=log, core=cores.server, cwd=root, env=environment) as child:
            wait_until(lambda: listens(http) and listens(websocket), child, log, str(root))
            target = Target("gateway", http, websocket, (child.pid,))
            with queue(target, transport, 16, "bench-flame") as (client, api):
                workload = scenario.make(api)
                if workload.stock:
                    workload.stocked(fill(client, api, workload.stock))
                if workload.takes:
                    fill(client, api, int(20_000 * (seconds + 1)))
                client.run(workload.begin, seconds=1.0)
                os.kill(child.pid, signal.SIGUSR1)
                load = client.run(workload.begin, seconds=seconds)
                os.kill(child.pid, signal.SIGUSR2)
            if load.errors:
                raise LoadFailed(load.complaints[0])
            deadline = time.monotonic() + _PATIENCE_S
            text = ""
            while not text and time.monotonic() < deadline:
                time.sleep(0.1)
                with suppress(OSError):
                    text = stacks.read_text()
    title = f"{scenario.about}, {transport}, 16 connections; {revision(root)}"
    output.write_text(draw(text.splitlines(), title))


def draw(lines: list[str], title: str) -> str:
    """The SVG of stacks as ``sampled.py`` writes them down.

    :raises LoadFailed: there are none.
    """
    top = _Node()
    for line in lines:
        stack, _, count = line.rpartition(" ")
        node = top
        node.count += int(count)
        for name in stack.split(";"):
            node = node.below.setdefault(name, _Node())
            node.count += int(count)
    if not top.count:
        raise LoadFailed("no stack was seen")
    while len(top.below) == 1 and next(iter(top.below.values())).count == top.count:  # what runs the reactor
        top = next(iter(top.below.values()))
    parts: list[str] = []
    deepest = _draw(parts, top, 0.0, 0, top.count)
    height = (deepest + 1) * _ROW + 30
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">'
        f'<text x="4" y="16" font-size="13">{escape(title)}: {top.count} samples</text>{"".join(parts)}</svg>\n'
    )


def _draw(parts: list[str], node: _Node, x: float, depth: int, whole: int) -> int:
    deepest = depth
    for name, below in sorted(node.below.items(), key=lambda each: -each[1].count):
        share = below.count / whole
        if share < _LEAST:
            continue
        width, y = share * _WIDTH, depth * _ROW + 26
        module, _, function = name.partition(":")
        colour = _COLOURS.get(module.partition(".")[0], _OTHER)
        shown = function[: max(0, int(width / 6.2))] if width > 18 else ""
        parts.append(
            f"<g><title>{escape(name)}: {share:.1%}</title>"
            f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.5):.1f}" height="{_ROW - 1}" fill="{colour}"/>'
            + (f'<text x="{x + 2:.1f}" y="{y + 11}">{escape(shown)}</text>' if shown else "")
            + "</g>\n"
        )
        deepest = max(deepest, _draw(parts, below, x, depth + 1, whole))
        x += width
    return deepest
