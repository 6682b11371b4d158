"""A bench of a served model: how long users wait, at which rate, and how much the server can do."""

import gc
import ssl
from collections.abc import Callable
from pathlib import Path

import msgspec

from lepton_ai.bundle import timestamp
from lepton_ai.core import ConfigError, this_machine
from lepton_ai.serving.bench_drive import ARRIVALS, Driver, arrivals
from lepton_ai.serving.bench_result import BenchRun, summarize
from lepton_ai.serving.bench_target import model_target
from lepton_ai.serving.client import Client, trusting

SHARES = (0.5, 0.7, 0.9)  # of what the server can do, where no rate is named


class BenchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`rates` in requests a second, each held for `seconds` after `warmup` seconds that do not count; without any, 50,
    70 and 90 % of what the server answers when each answer is followed by the next request.

    Requests arrive at random (`poisson`) or evenly (`uniform`), carry `rows` rows of random values each, in binary or
    JSON, and share so many `connections`. One that is not answered within `timeout` seconds has failed.
    """

    rates: tuple[float, ...] = ()
    seconds: float = 10.0
    warmup: float = 1.0
    connections: int = 64
    rows: int = 1
    binary: bool = True
    arrivals: str = "poisson"
    timeout: float = 30.0
    seed: int = 0

    def check(self) -> None:
        """Raises: ConfigError for settings that cannot be."""
        if min(self.seconds, self.timeout, *self.rates) <= 0 or min(self.connections, self.rows) < 1 or self.warmup < 0:
            raise ConfigError("rates, seconds, connections, rows and timeout are above 0", at="bench")
        if self.arrivals not in ARRIVALS:
            raise ConfigError(at="bench.arrivals", got=self.arrivals, expected=" or ".join(ARRIVALS))


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked of whom, and what was found. `capacity` is the run without a rate, None if rates were named."""

    url: str
    model: str
    version: str
    server: str
    machine: str
    created: str
    config: BenchConfig
    capacity: BenchRun | None
    runs: tuple[BenchRun, ...]


def bench(
    url: str,
    model: str,
    config: BenchConfig | None = None,
    *,
    version: str = "",
    token: str | None = None,
    tls: str | Path | ssl.SSLContext | None = None,
    tell: Callable[[BenchRun], object] = lambda _: None,
) -> Bench:
    """Ask a model of the server at `url` on a schedule, and say how long its answers took; `tell` hears of each run.

    Raises: ConfigError; UnavailableError if no server is there; NotFoundError if it has no such model.
    """
    config = config or BenchConfig()
    config.check()
    with Client(url, token=token, tls=tls) as client:
        metadata = client.metadata(model, version)
        server = client.server()
    context = trusting(tls) if url.startswith("https:") else None
    target = model_target(
        url,
        model,
        metadata.signature,
        version=version,
        rows=config.rows,
        binary=config.binary,
        token=token,
        tls=context,
    )
    driver = Driver(target, connections=config.connections, timeout=config.timeout)
    collected = gc.isenabled()
    gc.disable()  # a collection in the middle would look like a slow answer
    capacity: BenchRun | None = None
    runs: list[BenchRun] = []
    try:
        rates = config.rates
        if not rates:
            record = driver.closed(config.warmup + config.seconds)
            capacity = summarize(record, rate=None, warmup=config.warmup, seconds=config.seconds)
            tell(capacity)
            rates = tuple(max(1.0, share * capacity.throughput) for share in SHARES)
        for rate in rates:
            due = arrivals(rate, config.warmup + config.seconds, kind=config.arrivals, seed=config.seed)
            run = summarize(driver.scheduled(due), rate=rate, warmup=config.warmup, seconds=config.seconds)
            tell(run)
            runs.append(run)
            gc.collect()
    finally:
        driver.close()
        if collected:
            gc.enable()
    return Bench(
        url=url,
        model=model,
        version=version or (metadata.versions[-1] if metadata.versions else ""),
        server=f"{server.get('name', '')} {server.get('version', '')}".strip(),
        machine=this_machine().describe(),
        created=timestamp(),
        config=config,
        capacity=capacity,
        runs=tuple(runs),
    )
