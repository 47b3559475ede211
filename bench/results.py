"""What a benchmark leaves behind: samples, their medians, and the JSON file that holds them."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from bench.stats import median, median_or_none, percentile

FORMAT = 1

IDENTITY = "identity"
PLAIN, KNOWN = "gateway", "keystone"
"""The scenario of what identity and policy cost, and the gateways that it compares: without, and with them."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        """From latencies in seconds, in any order."""
        ordered = sorted(seconds)
        return cls(*(percentile(ordered, share) * 1e3 for share in (0.5, 0.9, 0.99, 1.0)))

    @classmethod
    def median(cls, several: Iterable[Self]) -> Self:
        """The median of each percentile."""
        rows = [(each.p50, each.p90, each.p99, each.max) for each in several]
        return cls(*(median(column) for column in zip(*rows, strict=True)))


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured, apart from whom and how often.

    ``backlog`` is 0 save in the backlog scenario; ``paced`` is how many operations a second are asked for, 0: as many as go.
    """

    scenario: str
    transport: str
    in_flight: int
    backlog: int = 0
    paced: int = 0

    @property
    def is_for_latency(self) -> bool:
        """Whether latency is what counts, and not the rate."""
        return bool(self.backlog or self.paced)

    @property
    def title(self) -> str:
        """For people."""
        where = "WebSocket" if self.transport == "websocket" else "HTTP"
        size = f" at {self.backlog:,}" if self.backlog else f", {self.in_flight} in flight"
        size = f" at {self.paced:,}/s" if self.paced else size
        return f"{self.scenario} {where}{size}"


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.  CPU is in microseconds for each operation, ``None`` where it could not be read.

    ``memory_kib`` is that of the server for each connection, where that was measured.
    """

    target: str
    case: Case
    run: int
    connections: int
    per_connection: int  # requests in flight on each connection
    operations: int
    seconds: float
    latency: Latency
    server_cpu_us: float | None
    redis_cpu_us: float | None
    client_busy: float  # share of the time in which the load generator had something to do
    errors: int = 0
    complaints: tuple[str, ...] = ()
    memory_kib: float | None = None

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.operations / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Summary:
    """The medians of all samples of one target in one case."""

    target: str
    case: Case
    runs: int
    connections: int
    per_connection: int
    rate: float
    slowest: float  # rate of the slowest run
    fastest: float
    latency: Latency
    server_cpu_us: float | None
    redis_cpu_us: float | None
    client_busy: float
    errors: int
    memory_kib: float | None = None

    @property
    def server_busy(self) -> float | None:
        """Share of one core that the server and its Redis used; ``None`` where their CPU could not be read."""
        if self.server_cpu_us is None:
            return None
        return self.rate * (self.server_cpu_us + (self.redis_cpu_us or 0.0)) / 1e6

    @classmethod
    def of(cls, samples: list[Sample]) -> Self:
        """
        :param samples: one or more, all of the same target and case.
        """
        first, rates = samples[0], [sample.rate for sample in samples]
        return cls(
            target=first.target,
            case=first.case,
            runs=len(samples),
            connections=first.connections,
            per_connection=first.per_connection,
            rate=median(rates),
            slowest=min(rates),
            fastest=max(rates),
            latency=Latency.median(sample.latency for sample in samples),
            server_cpu_us=median_or_none([sample.server_cpu_us for sample in samples]),
            redis_cpu_us=median_or_none([sample.redis_cpu_us for sample in samples]),
            client_busy=median([sample.client_busy for sample in samples]),
            errors=sum(sample.errors for sample in samples),
            memory_kib=median_or_none([sample.memory_kib for sample in samples]),
        )


@dataclass(slots=True)
class Results:
    """Everything that a report needs.

    ``about`` has the command line, versions and pinning, as text by name; ``targets`` the same for each target.
    """

    about: dict[str, str]
    targets: dict[str, dict[str, str]]
    baseline: str
    samples: list[Sample] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def cases(self) -> list[Case]:
        """The cases in the order in which they were measured."""
        return list(dict.fromkeys(sample.case for sample in self.samples))

    def summaries(self) -> dict[Case, dict[str, Summary]]:
        """Medians by case and target."""
        groups: dict[tuple[Case, str], list[Sample]] = {}
        for sample in self.samples:
            groups.setdefault((sample.case, sample.target), []).append(sample)
        found: dict[Case, dict[str, Summary]] = {}
        for (case, target), samples in groups.items():
            found.setdefault(case, {})[target] = Summary.of(samples)
        return found

    def save(self, path: Path) -> None:
        """Write the JSON file."""
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a file of :meth:`save`.

        :raises ValueError: it is not one.
        """
        try:
            document = json.loads(path.read_text())
            if document.pop("format") != FORMAT:
                raise ValueError(f"{path} has another format than this version reads ({FORMAT})")
            samples = [_sample(each) for each in document.pop("samples")]
            return cls(**document, samples=samples)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is not a result of this benchmark: {error!r}") from None


def _sample(document: dict[str, Any]) -> Sample:
    case, latency = Case(**document.pop("case")), Latency(**document.pop("latency"))
    return Sample(**{**document, "complaints": tuple(document["complaints"])}, case=case, latency=latency)
