"""Results to make reports of."""

from bench.results import Case, Latency, Results, Sample

POST = Case("post1", "http", 1)
CYCLE = Case("cycle", "websocket", 16)


def sample(
    target: str,
    case: Case = POST,
    rate: float = 100.0,
    *,
    seconds: float = 2.0,
    errors: int = 0,
    p50: float = 1.0,
    busy: float = 0.2,
    per_connection: int | None = None,
    server_us: float = 500.0,
) -> Sample:
    """One measurement."""
    return Sample(
        target=target,
        case=case,
        run=1,
        connections=16,
        per_connection=case.in_flight if per_connection is None else per_connection,
        operations=int(rate * 2),
        seconds=seconds,
        latency=Latency(p50, 2 * p50, 3 * p50, 4 * p50),
        server_cpu_us=server_us,
        redis_cpu_us=None if target == "other" else 50.0,
        client_busy=busy,
        errors=errors,
        complaints=("status 503 <b>instead</b> of 201",) if errors else (),
    )


def results() -> Results:
    """Two targets, two scenarios, and a backlog."""
    found = Results(
        about={"command": "python -m bench --quick", "pinning": "none", "python": "3.11"},
        targets={"zaqar": {"server": "Zaqar 23.0.1", "redis": "Redis 7.0.15"}, "gateway": {"server": "zaqar_gateway"}},
        baseline="zaqar",
    )
    for target, times in (("zaqar", 1.0), ("gateway", 8.0)):
        found.samples += [sample(target, POST, 1000 * times), sample(target, CYCLE, 300 * times)]
        for size in (1_000, 100_000):
            found.samples.append(sample(target, Case("backlog post", "http", 1, size), 100, p50=1 / times))
    return found
