"""Settings for a latency that was asked for: measured on this machine, with this model, in under a minute.

First the bare runtime is timed at several batch sizes, instances and threads. What could not keep the target even in a
queue of one batch is left out. The most promising settings are then loaded by requests that arrive at random, by a
schedule that waits for nobody, at the highest rate at which the target still holds; the fastest wins.
"""

import asyncio
import concurrent.futures
import hashlib
import itertools
import math
import re
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from lepton_ai.bundle import Array, Bundle, Signature, numpy_dtype
from lepton_ai.core import ConfigError, LeptonError, cache_folder, this_machine, write_atomic
from lepton_ai.runtime import Runtime, choose_variant, open_model
from lepton_ai.serving.batcher import Batcher
from lepton_ai.serving.config import ServerConfig

BATCHES = (1, 4, 16, 64)
_SHARE = 0.8  # of the target: the rest is for HTTP, which is not measured here
_FINALISTS = 3
_STEPS = 5
_SECONDS = 1.0  # for one rate
_FASTEST = 20_000.0  # requests a second: more than one process takes over HTTP
_BEHIND = 0.25  # seconds behind the schedule at which a rate is given up
_TARGET = re.compile(r"p(50|90|95|99)=([0-9]+(?:\.[0-9]+)?)(us|ms|s)")
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """So many per cent of the requests answered within so many seconds."""

    percent: int
    seconds: float


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What is chosen."""

    max_batch: int
    instances: int
    threads: int


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """At `rate` requests a second, the latencies in seconds."""

    rate: float
    p50: float
    p99: float
    reached: float  # at the target's own percentile


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The best settings, the highest rate at which they keep the target, and all that was measured of them."""

    settings: Settings
    rate: float
    curve: tuple[Point, ...]


def parse_target(text: str) -> Target:
    """A target as people write it.

    Raises: ConfigError.

    Example:
        >>> parse_target("p99=5ms")
        Target(percent=99, seconds=0.005)
    """
    found = _TARGET.fullmatch(text.strip().lower())
    if found is None or not float(found[2]):
        raise ConfigError(at="target", got=text, expected="one of p50, p90, p95, p99 and a time, such as p99=5ms")
    return Target(percent=int(found[1]), seconds=float(found[2]) * _UNITS[found[3]])


def tune(path: str | Path, target: Target, *, variant: str | None = None, fresh: bool = False) -> Found:
    """The best settings for the bundle at `path` here; from the last time, if model, machine and target are the same
    and not `fresh`.

    Raises: BundleError; ConfigError if nothing keeps the target.
    """
    bundle = Bundle.open(path)
    variant = choose_variant(bundle, variant)
    folder = cache_folder()
    kept = None if folder is None else folder / "serving" / f"{_key(bundle, variant, target)}.json"
    if kept is not None and not fresh:
        try:
            return msgspec.json.decode(kept.read_bytes(), type=Found)
        except (OSError, msgspec.DecodeError):
            pass

    def load(settings: Settings) -> Runtime:
        return open_model(bundle, variant, threads=settings.threads, spinning=False)

    signature = bundle.manifest.graphs[variant].signature
    found = search(candidates(this_machine().cores), target, Measure(load, signature, target))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, msgspec.json.encode(found))
    return found


def candidates(cores: int) -> list[Settings]:
    """Settings that use no more threads than there are cores."""
    sizes = [size for size in (1, 2, 4, 8, 16, 32, 64) if size <= cores]
    return [
        Settings(max_batch=batch, instances=instances, threads=threads)
        for instances, threads in itertools.product(sizes, sizes)
        if instances * threads <= cores
        for batch in BATCHES
    ]


def search(settings: Iterable[Settings], target: Target, measure: "Measure") -> Found:
    """The settings that keep the target at the highest rate.

    Raises: ConfigError if none keeps it at any.
    """
    limit = target.seconds * _SHARE
    timed = [(each, measure.batch_seconds(each)) for each in settings]
    # Whoever comes while a batch is computed waits for its end and then for its own.
    able = [(each.instances * each.max_batch / seconds, each) for each, seconds in timed if 2 * seconds <= limit]
    able.sort(key=lambda pair: -pair[0])
    best: Found | None = None
    for capacity, each in able[:_FINALISTS]:
        curve: list[Point] = []
        low, high = 0.0, min(capacity, _FASTEST)
        for _ in range(_STEPS):
            rate = (low + high) / 2
            point = measure.load(each, rate)
            curve.append(point)
            if point.reached <= limit:
                low = rate
            else:
                high = rate
        if low and (best is None or low > best.rate):
            best = Found(settings=each, rate=low, curve=tuple(sorted(curve, key=lambda point: point.rate)))
    if best is None:
        fastest = min((seconds for _, seconds in timed), default=0.0)
        raise ConfigError(
            f"nothing keeps p{target.percent} within {target.seconds * 1000:g} ms here",
            at="target",
            fix=f"The model alone takes {fastest * 1000:.3g} ms; ask for several times that.",
        )
    return best


def config_for_target(
    path: str | Path, target: str, config: ServerConfig, *, variant: str | None = None
) -> tuple[ServerConfig, str]:
    """The config that keeps a target such as "p99=5ms" for the bundle at `path`, and the curve for people; see `tune`.

    Raises: BundleError; ConfigError for a target that is none, or that nothing keeps.
    """
    wanted = parse_target(target)
    found = tune(path, wanted, variant=variant)
    return apply(found, config), show(found, wanted)


def apply(found: Found, config: ServerConfig) -> ServerConfig:
    """The config with what was found."""
    chosen = found.settings
    return msgspec.structs.replace(
        config, max_batch=chosen.max_batch, instances=chosen.instances, threads=chosen.threads
    )


def show(found: Found, target: Target) -> str:
    """The curve, for people."""
    chosen = found.settings
    lines = [
        f"lepton: p{target.percent} within {target.seconds * 1000:g} ms up to {found.rate:.0f} requests a second, "
        f"with max_batch={chosen.max_batch}, instances={chosen.instances}, threads={chosen.threads}",
        "  requests/s    p50 ms    p99 ms",
    ]
    lines += [f"  {point.rate:>10.0f}{point.p50 * 1000:>10.2f}{point.p99 * 1000:>10.2f}" for point in found.curve]
    return "\n".join(lines)


class Measure:
    """Times a model that `load` opens."""

    def __init__(self, load: Callable[[Settings], Runtime], signature: Signature, target: Target) -> None:
        self._load, self._signature, self._target = load, signature, target

    def batch_seconds(self, settings: Settings, *, repeats: int = 5) -> float:
        """The median time of a full batch while all instances compute."""
        runtime = self._load(settings)
        feed = rows_of(self._signature, settings.max_batch)
        try:
            with concurrent.futures.ThreadPoolExecutor(settings.instances) as pool:

                def run(_: int) -> float:
                    started = time.perf_counter()
                    runtime.run(feed)
                    return time.perf_counter() - started

                times = list(pool.map(run, range((repeats + 1) * settings.instances)))
        finally:
            runtime.close()
        return float(np.median(times[settings.instances :]))

    def load(self, settings: Settings, rate: float) -> Point:
        """The latencies at `rate` requests a second of one row each, from when each was due."""
        ordered = sorted(asyncio.run(self._drive(settings, rate)))

        def within(percent: int) -> float:
            return ordered[math.ceil(percent / 100 * len(ordered)) - 1]

        return Point(rate=rate, p50=within(50), p99=within(99), reached=within(self._target.percent))

    async def _drive(self, settings: Settings, rate: float) -> Sequence[float]:
        batcher = Batcher(
            self._load(settings), instances=settings.instances, max_batch=settings.max_batch, max_queue=100_000
        )
        feed = rows_of(self._signature, 1)
        latencies: list[float] = []
        count = max(20, int(rate * _SECONDS))
        gaps = np.random.default_rng(0).exponential(1 / rate, count)
        started = time.perf_counter()

        async def ask(due: float) -> None:
            try:
                await batcher.infer(feed)
                latencies.append(time.perf_counter() - due)
            except LeptonError:
                latencies.append(float("inf"))

        asked: list[asyncio.Future[None]] = []
        for due in (started + np.cumsum(gaps)).tolist():
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            elif wait < -_BEHIND:
                latencies += [float("inf")] * (count - len(asked))
                break
            asked.append(asyncio.ensure_future(ask(due)))
        await asyncio.gather(*asked)
        await batcher.close()
        return latencies


def rows_of(signature: Signature, count: int) -> dict[str, Array]:
    """Inputs of `count` rows: zeros, and empty texts."""
    feed = {}
    for spec in signature.inputs:
        shape = [count if index == 0 and size == -1 else max(1, size) for index, size in enumerate(spec.shape)]
        feed[spec.name] = np.full(shape, "" if spec.dtype == "BYTES" else 0, numpy_dtype(spec.dtype))
    return feed


def _key(bundle: Bundle, variant: str, target: Target) -> str:
    graph = bundle.manifest.files[bundle.manifest.graphs[variant].file].sha256
    machine = this_machine()
    facts = f"1 {graph} {machine.processor} {machine.cores} {machine.memory} {target.percent} {target.seconds}"
    return hashlib.sha256(facts.encode()).hexdigest()[:32]
