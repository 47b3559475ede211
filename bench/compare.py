"""A gate against slowness: two checkouts of the gateway side by side, and whether the newer one has lost.

Each run of the one is paired with the run of the other beside it, so that what the machine does besides touches both.  What is
compared is the CPU that an operation takes, of the server and of its Redis: on a machine that has other things to do it
varies by less than the rate does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import median

from bench.report.text import number
from bench.results import Case, Results, Sample

OLD, NEW = "old", "new"
LOSS_MAX = 0.07
_DEVIATION = 1.4826  # of a normal distribution, from the median of the distances from its median
_SURE = 2.0  # deviations of the median within which it is with 95 % certainty
_LEAST_PAIRS = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the pairs of a case say.

    :ivar loss: how much more an operation costs in the newer one, as a share; below 0: less.
    :ivar noise: by how much that may be wrong.
    """

    case: Case
    pairs: int
    old: float
    new: float
    loss: float
    noise: float

    @property
    def is_lost(self) -> bool:
        """Whether it lost more than may be, beyond the noise."""
        return self.loss - self.noise > LOSS_MAX

    @property
    def is_unsure(self) -> bool:
        """Whether it may have, and the noise hides it."""
        return not self.is_lost and (self.pairs < _LEAST_PAIRS or self.loss + self.noise > LOSS_MAX)


def cost(sample: Sample, by: str) -> float | None:
    """What an operation takes: microseconds, of CPU or of time."""
    if by == "rate":
        return 1e6 / sample.rate if sample.rate else None
    return None if sample.server_cpu_us is None else sample.server_cpu_us + (sample.redis_cpu_us or 0.0)


def verdicts(results: Results, by: str = "cpu") -> list[Verdict]:
    """What becomes of each case of which there is a pair of runs."""
    costs: dict[Case, dict[int, dict[str, float]]] = {}
    for sample in results.samples:
        taken = cost(sample, by)
        if taken:
            costs.setdefault(sample.case, {}).setdefault(sample.run, {})[sample.target] = taken
    found = []
    for case, runs in costs.items():
        pairs = [(run[OLD], run[NEW]) for run in runs.values() if len(run) == 2]
        if pairs:
            found.append(_verdict(case, pairs))
    return found


def _verdict(case: Case, pairs: Sequence[tuple[float, float]]) -> Verdict:
    ratios = [new / old for old, new in pairs]
    middle = median(ratios)
    spread = _DEVIATION * median(abs(ratio - middle) for ratio in ratios)
    noise = _SURE * spread / sqrt(len(ratios))
    return Verdict(
        case, len(pairs), median(old for old, _ in pairs), median(new for _, new in pairs), middle - 1, noise
    )


def table(found: Sequence[Verdict], by: str = "cpu") -> str:
    """The verdicts, in Markdown."""
    unit = "us of CPU" if by == "cpu" else "us"
    lines = [f"| scenario | {OLD}, {unit} | {NEW}, {unit} | change | noise | |", "| --- | ---: | ---: | ---: | ---: | --- |"]
    for each in found:
        said = "LOST" if each.is_lost else "unsure: measure longer" if each.is_unsure else "kept"
        lines.append(
            f"| {each.case.title} | {number(each.old)} | {number(each.new)} | {each.loss:+.1%} | {each.noise:.1%} | {said} |"
        )
    lost = [each.case.title for each in found if each.is_lost]
    lines += ["", f"Lost more than {LOSS_MAX:.0%} beyond noise: {', '.join(lost) if lost else 'nothing'}."]
    return "\n".join(lines)
