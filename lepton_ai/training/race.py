"""The race that picks an execution plan: candidates against the best, on the real model and its first batches."""

import dataclasses
import hashlib
import json
import logging
import math
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import torch
from torch import nn

from lepton_ai.core import this_machine
from lepton_ai.data import Indexed
from lepton_ai.hal import ChosenPlan, ExecutionPlan, applied, get_device, recall, remember
from lepton_ai.training.checkpoints import Checkpoints
from lepton_ai.training.fields import read_plan
from lepton_ai.training.interrupt import Interrupt
from lepton_ai.training.job import Job
from lepton_ai.training.run import Run
from lepton_ai.training.step import Step

log = logging.getLogger("lepton_ai.training")

GAIN, SIDE, CHANCE = 1.05, 0.8, 0.04  # to be won: median ratio, share of rounds, and the odds of a coin to do the same
SHARE, MOST = 0.05, 10.0  # of the run, and seconds, that a race may take
ROUND, LEAST, ROUNDS = 0.05, 5, 11  # seconds of each side of a round; rounds
BATCHES = 8
# Compiling took 10 to 40 s for convolutional networks of a dozen layers, and happens again for the last, smaller batch.
COMPILE, COMPILE_LAYER = 4.0, 1.0
_TOLERANCES = {"float32": (1e-3, 1e-2), "bfloat16": (3e-2, 1e-1)}  # relative, of the loss and the gradient's norm


class Outcome(NamedTuple):
    """The plan to run, and a line that says why."""

    plan: ExecutionPlan
    line: str


def take_plan(job: Job, interrupt: Interrupt) -> str:
    """Give a job the plan that it will run by, and say in a line which, and why.

    That of its newest checkpoint comes first, if the same was asked for there: a plan that won, or what was left of
    one that failed.
    """
    path, _, values = (None if job.folder is None else Checkpoints(job.folder).load()) or (Path(), {}, {})
    if "plan" in values and job.given == values.get("given_plan"):
        job.plan = read_plan(path, values)
        return f"plan: {job.plan.describe()}, of the checkpoint"
    if not job.race:
        return f"plan: {job.plan.describe()}"
    job.plan, line = settle(job, interrupt)
    return line


def settle(job: Job, interrupt: Interrupt) -> Outcome:
    """The plan for a job that asks for a race: the one of an earlier race over the same work, or of a race now.

    The module is as before afterwards. Nothing is raced with several workers, nor on data that comes but once.
    """
    default = job.plan
    if job.world.size > 1 or not isinstance(job.loader.source, Indexed):
        why = "several workers share the cores" if job.world.size > 1 else "the data comes but once"
        return Outcome(default, f"plan: {default.describe()}; no race, since {why}")
    key, work = _identity(job)
    known = recall(key)
    if known is not None:
        return Outcome(known.plan, f"plan: {known.describe()}, chosen before")
    started = time.perf_counter()
    with applied(default, training=True) as device:
        race = Race(job, device, interrupt)
        best, gain = race.choose()
    seconds = time.perf_counter() - started
    if not race.raced:
        return Outcome(default, f"plan: {default.describe()}; {race.why_not}")
    chosen = ChosenPlan(key=key, work=work, plan=best, gain=gain, seconds=seconds)
    if not interrupt.asked:
        remember(chosen)
    return Outcome(best, f"plan: {chosen.describe()}, chosen in {seconds:.1f} s")


def wins(ratios: list[float]) -> bool:
    """Whether a candidate won: 1.05 times as fast in the median, and faster in four rounds of five, which must be
    more than a coin would do in one race of 25.

    Args:
        ratios: seconds of the best so far over the candidate's, a round each.

    Example:
        >>> wins([1.2, 1.3, 1.1, 1.2, 1.4]), wins([1.2, 1.3, 0.9, 1.2, 1.4]), wins([1.01] * 11)
        (True, False, False)
    """
    rounds, faster = len(ratios), sum(ratio > 1 for ratio in ratios)
    coin = sum(math.comb(rounds, heads) for heads in range(faster, rounds + 1)) / 2**rounds
    return rounds >= LEAST and statistics.median(ratios) >= GAIN and faster >= SIDE * rounds and coin <= CHANCE


def candidates(device: torch.device, base: ExecutionPlan) -> Iterator[dict[str, Any]]:
    """What may be faster than `base`, the changes of one field each, those that may gain most first."""
    if has_bfloat16(device):
        yield {"precision": "bfloat16"}
    if device.type == "cpu":
        now, cores = torch.get_num_threads(), this_machine().cores
        for threads in sorted({1, (cores + 1) // 2, cores} - {now}, reverse=True):
            yield {"threads": threads}
    if device.type != "cpu" or shutil.which("c++") or shutil.which("g++"):
        yield {"compile": True}


def has_bfloat16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16, instead of imitating it."""
    if device.type == "cpu":
        return any(flag in this_machine().cpu_flags for flag in ("amx_bf16", "avx512_bf16", "bf16"))
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)


class Race:
    """Plans on one job, in a run of their own whose module is given back as it was."""

    def __init__(self, job: Job, device: torch.device, interrupt: Interrupt) -> None:
        self.job, self.interrupt = job, interrupt
        self.run = Run(
            dataclasses.replace(job, race=False, callbacks=[], folder=None, validation=None), device, interrupt
        )
        self.device = device
        self.batches = list(islice(self.run.batches(), BATCHES))
        self.raced, self.why_not = 0, ""

    def choose(self) -> tuple[ExecutionPlan, float]:
        """The plan that won, and how much faster it is than the default."""
        best, gain, started = self.job.plan, 1.0, time.perf_counter()
        with self.module_as_it_is():
            wanted = self.check(best)
            step = self.seconds(best, 1)
        expected = step * (self.run.steps_per_epoch or 0) * (self.job.epochs - self.job.initial_epoch)
        budget = min(MOST, SHARE * expected)
        for change in candidates(self.device, best):
            candidate = msgspec.structs.replace(best, **change)
            spent = time.perf_counter() - started
            if self.interrupt.asked or spent + self._cost(candidate, step) > budget:
                continue
            with self.module_as_it_is():
                try:
                    if not agree(wanted, self.check(candidate), candidate.precision):
                        log.info("plan: %s gives another loss, and is out", candidate.describe())
                        continue
                    ratios = self.compare(best, candidate, started + budget)
                except Exception as error:  # whatever goes wrong with a candidate, there is the default
                    log.info("plan: %s fails, and is out: %s", candidate.describe(), str(error).partition("\n")[0])
                    continue
            self.raced += 1
            if wins(ratios) and self.run.parts == 1:
                best, gain = candidate, gain * statistics.median(ratios)
        self.why_not = f"{budget:.2f} s, a twentieth of this run, are too few for a race"
        return best, gain

    def compare(self, best: ExecutionPlan, candidate: ExecutionPlan, end: float) -> list[float]:
        """How often faster the candidate is, by rounds; the two take turns in going first."""
        self.seconds(best, 1), self.seconds(candidate, 1)
        slower = max(self.seconds(best, 1), self.seconds(candidate, 1))
        steps, ratios = max(1, math.ceil(ROUND / slower)), list[float]()
        while len(ratios) < ROUNDS and (len(ratios) < LEAST or time.perf_counter() + 2 * ROUND < end):
            pair = (best, candidate) if len(ratios) % 2 else (candidate, best)
            took = {plan: self.seconds(plan, steps) for plan in pair}
            ratios.append(took[best] / took[candidate])
            if self.interrupt.asked or (len(ratios) == LEAST and statistics.median(ratios) < 1):
                break
        return ratios

    def check(self, plan: ExecutionPlan) -> tuple[float, float]:
        """The loss of the first batch, and the norm of its gradient."""
        with self._under(plan) as step:
            loss = step.gradients(self.batches[0])
            gradients = [each.grad.float() for each in self.run.module.parameters() if each.grad is not None]
            norm = torch.nn.utils.get_total_norm(gradients)
            step.count()
            self.run.optimizer.zero_grad(set_to_none=True)
            return loss.item(), norm.item()

    def seconds(self, plan: ExecutionPlan, steps: int) -> float:
        """Seconds for a step, the mean of so many."""
        with self._under(plan) as step:
            self._wait()
            started = time.perf_counter()
            for batches in islice(cycle(self.batches), steps):
                step.gradients(batches).item()
                step.update()
            self._wait()
            return (time.perf_counter() - started) / steps

    @contextmanager
    def module_as_it_is(self) -> Iterator[None]:
        """Whatever is trained inside, the weights and statistics are those of before at the end."""
        held = [*self.run.module.parameters(), *self.run.module.buffers()]
        before = [each.detach().clone() for each in held]
        try:
            yield
        finally:
            with torch.no_grad():
                for each, value in zip(held, before, strict=True):
                    each.copy_(value)
            self.run.optimizer.zero_grad(set_to_none=True)
            self.run.module.eval()

    @contextmanager
    def _under(self, plan: ExecutionPlan) -> Iterator[Step]:
        # The allocator stays as the race found it: given back and taken again, it would cost page faults.
        with applied(msgspec.structs.replace(plan, allocator=False)):
            self.run.forward = self._forward(plan)
            self.run.module.train()
            yield Step(self.run)

    def _forward(self, plan: ExecutionPlan) -> Callable[..., Any]:
        if not plan.compile:
            return self.run.module
        if not hasattr(self, "_compiled"):
            self._compiled = torch.compile(self.run.module)
        return self._compiled

    def _cost(self, plan: ExecutionPlan, step: float) -> float:
        cost = 2 * LEAST * max(ROUND, step) + 5 * step
        leaves = sum(not list(module.children()) for module in self.run.module.modules())
        return cost + (2 * (COMPILE + COMPILE_LAYER * leaves) if plan.compile else 0)

    def _wait(self) -> None:
        if self.device.type != "cpu":
            torch.get_device_module(self.device).synchronize(self.device)


def agree(wanted: tuple[float, float], got: tuple[float, float], precision: str) -> bool:
    """Whether loss and gradient norm are those of the default plan, as far as the precision allows."""
    pairs = zip(wanted, got, _TOLERANCES[precision], strict=True)
    return all(math.isclose(one, other, rel_tol=tolerance, abs_tol=1e-6) for one, other, tolerance in pairs)


def _identity(job: Job) -> tuple[str, str]:
    """A key for the work that a step is, on this machine, with these versions; and its name for people."""
    from_config = getattr(job.module, "get_config", None)
    try:
        config = None if from_config is None else {k: v for k, v in from_config().items() if k != "name"}
        architecture = json.dumps(config, sort_keys=True)
    except Exception:  # what cannot be written down is known by its layers
        architecture = repr(job.module)
    x = job.loader.source.fetch(torch.arange(1))[0] if isinstance(job.loader.source, Indexed) else None
    shapes = [(tuple(each.shape[1:]), str(each.dtype)) for each in _tensors(x)]
    machine = this_machine()
    facts = [
        architecture, shapes, job.loader.batch_size, type(job.optimizer).__name__,
        job.optimizer.gradient_accumulation_steps, [repr(each) for each in job.augment],
        [type(head.loss).__name__ for head in job.objective.heads], [*map(_size, job.module.parameters())],
        msgspec.to_builtins(job.plan), str(get_device(job.plan.device)), torch.get_num_threads(),
        machine.processor, machine.cores, machine.cpu_flags, str(torch.__version__), version("lepton-ai"),
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:16]
    inputs = ", ".join("x".join(map(str, shape)) or "scalar" for shape, _ in shapes)
    return key, f"{type(job.module).__name__} of {inputs}, batches of {job.loader.batch_size}"


def _size(parameter: nn.Parameter) -> list[int]:
    return [*parameter.shape]


def _tensors(tree: Any) -> list[torch.Tensor]:
    if isinstance(tree, dict):
        return [tensor for each in tree.values() for tensor in _tensors(each)]
    if isinstance(tree, tuple | list):
        return [tensor for each in tree for tensor in _tensors(each)]
    return [tree] if isinstance(tree, torch.Tensor) else []
