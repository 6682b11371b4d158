"""A run: the job that was given, and everything needed to go on with it."""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor, nn

from lepton_ai.core import StorageError
from lepton_ai.data import Batch
from lepton_ai.hal import place
from lepton_ai.training.callbacks import Callback, overrides
from lepton_ai.training.checkpoint import (
    Snapshot,
    flatten_optimizer,
    load_checkpoint,
    restore_optimizer,
    take_snapshot,
    write_checkpoint,
)
from lepton_ai.training.checkpoints import Checkpoints, get_every
from lepton_ai.training.facts import differences, job_facts
from lepton_ai.training.fields import COUNTERS, check_tensors, check_values
from lepton_ai.training.history import History
from lepton_ai.training.interrupt import Interrupt
from lepton_ai.training.job import Job
from lepton_ai.training.ragged import padded

log = logging.getLogger("lepton_ai.training")


class Run:
    """The state of a job under way: `epoch` and `step` (in the epoch) come next, `total_steps` are done."""

    def __init__(self, job: Job, device: torch.device, interrupt: Interrupt) -> None:
        if job.world.size > 1:
            job.world = dataclasses.replace(job.world, where=lambda: f"epoch {self.epoch + 1}, step {self.step + 1}")
        self.job, self.device, self.interrupt = job, device, interrupt
        self.module = job.module
        place(self.module, job.plan, device)
        self.forward: Callable[..., Any] = torch.compile(self.module) if job.plan.compile else self.module
        for each in job.augment:
            if isinstance(each, nn.Module):
                each.to(device).train()
        self.optimizer = job.optimizer.build(self.module.named_parameters(), fused=job.plan.fused_optimizer)
        steps = job.loader.steps_per_epoch
        self.accumulated = job.optimizer.gradient_accumulation_steps or 1
        self.steps_per_epoch = None if steps is None else -(-steps // self.accumulated)
        self.schedule = job.optimizer.schedule(
            None if self.steps_per_epoch is None else self.steps_per_epoch * job.epochs
        )
        self.average = job.optimizer.average(self.module.parameters())
        self.class_weight = None if job.class_weight is None else job.class_weight.to(device)
        self.facts = job_facts(job, device)
        job.objective.prepare(device)
        if job.world.leads:
            job.objective.warn_of_pairs(job.world.size)
        self.history = History()
        self.epoch, self.step, self.total_steps = job.initial_epoch, 0, 0
        self.head_sums = torch.zeros(len(job.objective.trained), dtype=torch.float64, device=device)
        self.rows, self.loss_sum = 0, 0.0
        self.learning_rate_scale = 1.0
        self.stopping = self.ending = self._asked = False
        self.parts = 1  # that each batch is taken in; more where memory did not suffice
        self.last_good: dict[str, Tensor] = {}
        self.epoch_started = self.waited = 0.0  # the seconds of this epoch in which there was no batch yet
        self.ordered = 0.0  # those in which an exact reduction exchanged and added what other workers made
        self._seconds_before, self._began = 0.0, time.perf_counter()
        every = get_every(job.checkpoint_every)
        kept_in = job.folder or job.snapshots
        self.checkpoints = None if kept_in is None else Checkpoints(kept_in, every)
        self.pool: Any = None  # what layers share that normalise batches over several workers
        self.gather: Callable[..., None] = lambda **_: None  # makes the epoch's sums those of all workers
        self._group: Any = None
        self.callbacks = job.callbacks if job.world.leads else []
        for callback in self.callbacks:
            callback.model, callback.run = job.module, self
        self.batch_hooks = [each for each in self.callbacks if overrides(each, "on_train_batch_end")]

    # -- what callbacks may use --------------------------------------------------------------------------

    def stop(self, *, now: bool = False) -> None:
        """End training after this epoch; `now` ends the epoch after the step under way (not with several workers)."""
        self.stopping = True
        self.ending = now and self.job.world.size == 1

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return self.schedule(self.total_steps) * self.learning_rate_scale

    @property
    def seconds(self) -> float:
        """How long this run has trained, in earlier processes too."""
        return self._seconds_before + time.perf_counter() - self._began

    # -- what the loop tells -----------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """Start counting, and keep the weights in case this epoch diverges."""
        if self.step == 0:
            self.job.objective.reset()
            self.head_sums.zero_()
            self.rows, self.loss_sum = 0, 0.0
            self.epoch_started, self.waited, self.ordered = self.seconds, 0.0, 0.0
        if self.job.freezing is not None:
            self.job.freezing.thaw(self.epoch)
        self.last_good = {name: value.detach().clone() for name, value in self.module.state_dict().items()}
        self._tell(self.callbacks, "on_epoch_begin", self.epoch)

    def batches(self) -> Iterator[list[Batch]]:
        """The batches of each step that is left of this epoch, as many as the optimiser accumulates.

        Their `global_rows` count the rows of all of them, so that their losses add up to the mean over the step.
        """
        flow = self.job.loader.epoch(self.epoch, self.step * self.accumulated)
        while True:
            began = time.perf_counter()
            group = list(islice(flow, self.accumulated))
            self.waited += time.perf_counter() - began
            if not group:
                return
            if self.job.ragged and self.job.world.size > 1:
                group = [padded(batch, self.job.world) for batch in group]
            if self.accumulated == 1:
                yield group
            else:
                rows = sum(batch.global_rows for batch in group)
                yield [batch._replace(global_rows=rows) for batch in group]

    def averaged(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the weights are their running mean, if the optimiser keeps one."""
        return contextlib.nullcontext() if self.average is None else self.average.shown()

    def take_average(self) -> None:
        """Let the weights be their running mean for good, if the optimiser keeps one."""
        if self.average is not None:
            self.average.take_over()

    def end_step(self, loss: float, rows: int) -> None:
        """Count a step that was made."""
        self.loss_sum += loss * rows
        self.rows += rows
        self.step += 1
        self.total_steps += 1
        if self.batch_hooks:
            self._tell(self.batch_hooks, "on_train_batch_end", self.step - 1, {"loss": loss})

    def training_logs(self) -> dict[str, float]:
        """The epoch's loss and metrics over all workers."""
        self.gather()
        objective, rows = self.job.objective, max(1, self.rows)
        logs = {"loss": self.loss_sum / rows}
        if len(objective.heads) > 1:
            sums = self.head_sums.tolist()
            logs |= {f"{head.name}_loss": each / rows for head, each in zip(objective.trained, sums, strict=True)}
        return logs | objective.results()

    def end_epoch(self, logs: dict[str, float]) -> None:
        """Write history, let callbacks decide."""
        self.history.append(self.epoch, logs, seconds=self.seconds - self.epoch_started, waited=self.waited)
        self.epoch, self.step = self.epoch + 1, 0
        self._tell(self.callbacks, "on_epoch_end", self.epoch - 1, logs)
        facts = [float(self.stopping), self.learning_rate_scale, float(self.interrupt.asked)]
        stopping, self.learning_rate_scale, asked = self.job.world.agree(facts)
        # Not into `interrupt`: a signal that comes just now would be lost, or seen by one worker alone.
        self.stopping, self._asked = bool(stopping), bool(asked)

    def keep_epoch(self) -> None:
        """Have a checkpoint written after an epoch, and end here if that was asked for."""
        # A run's own folder holds every epoch; for replacements alone, what is due suffices.
        kept = self.checkpoints if self.job.world.leads else None
        if kept is not None and (self.job.folder is not None or kept.due(self.total_steps)):
            kept.save(self.epoch, self.step, self.snapshot)
        if self._asked:
            raise KeyboardInterrupt

    def _tell(self, callbacks: list[Callback], hook: str, *facts: Any) -> None:
        for callback in callbacks:
            try:
                getattr(callback, hook)(*facts)
            except KeyboardInterrupt:
                if self.job.world.size == 1:
                    raise
                self.interrupt.asked = True  # the other workers must stop at the same step

    def stop_compiling(self, reason: str) -> None:
        """Go on without the compiler, which failed; checkpoints from here on say so."""
        log.warning("the model cannot be compiled here (%s); training goes on without", reason)
        self.forward = self.module
        self.job.plan = msgspec.structs.replace(self.job.plan, compile=False)
        self.facts = job_facts(self.job, self.device)
        self.history.plan += "; the compiler failed, and is not used"

    # -- checkpoints -------------------------------------------------------------------------------------

    def checkpoint_due(self) -> bool:
        """Whether it is time for a checkpoint after the step under way, in the middle of an epoch; the leader knows."""
        return self.checkpoints is not None and self.job.world.leads and self.checkpoints.due(self.total_steps + 1)

    def checkpoint(self) -> None:
        """Have a checkpoint written, unless the weights are not finite, which the next step will tell.

        Called on all workers, after the same step.
        """
        self.gather(go_on=True)
        if self.checkpoints is not None and self.job.world.leads and all_finite(self.module):
            self.checkpoints.save(self.epoch, self.step, self.snapshot)

    def partial_sums(self) -> list[Tensor]:
        """What this worker has counted in this epoch, and the others have not."""
        return [self.head_sums, *(metric.state for metric in self.job.objective.states)]

    def gradient_group(self) -> Any:
        """The process group in which gradients travel."""
        if self._group is None:
            self._group = torch.distributed.new_group()
        return self._group

    def save(self, path: Path) -> None:
        """Write everything that the next process needs to go on."""
        write_checkpoint(path, self.snapshot())

    def snapshot(self) -> Snapshot:
        """A copy of everything that the next process needs to go on."""
        optimizer, optimizer_values = flatten_optimizer(self.optimizer)
        states = [callback.get_state() for callback in self.callbacks]
        tensors = {
            **{f"weights/{name}": value for name, value in self.module.state_dict().items()},
            **{f"optimizer/{name}": value for name, value in optimizer.items()},
            **{f"metric/{i}": metric.state for i, metric in enumerate(self.job.objective.states)},
            **{f"callback/{i}/{k}": v for i, own in enumerate(states) for k, v in own.items() if isinstance(v, Tensor)},
            **{f"average/{i}": each for i, each in enumerate(self.average.means if self.average else ())},
            "head_sums": self.head_sums,
        }
        values = {
            "optimizer": optimizer_values,
            "callbacks": [{k: v for k, v in own.items() if not isinstance(v, Tensor)} for own in states],
            "history": self.history.to_dict(),
            "seed": self.job.seed,
            "job": self.facts,
            "given_plan": self.job.given,
            "plan": msgspec.to_builtins(self.job.plan),
            "seconds": self.seconds,
            **{name: getattr(self, name) for name in COUNTERS},
        }
        return take_snapshot(tensors, values)

    def resume(self) -> None:
        """Go on from the newest checkpoint in the job's folder, if there is one.

        Raises: StorageError as `restore`, or if all are damaged.
        """
        found = None if self.checkpoints is None else self.checkpoints.load()
        if found is not None:
            self._take(*found)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises: StorageError if it is damaged, or of another model, optimiser, objective or plan, of other data or
            batches, or of another version of torch; if it lacks something, or has what nobody would take.
        """
        self._take(path, *load_checkpoint(path))

    def _take(self, path: Path, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        check_values(path, values)
        groups = _grouped(tensors)
        if values["seed"] != self.job.seed:
            raise StorageError(
                f"belongs to a run with seed {values['seed']}, this one has {self.job.seed}",
                at=str(path),
                fix="Use another run folder, or remove this one.",
            )
        found = differences(values["job"], self.facts)
        if found:
            fix = "Use another run folder, or remove this one."
            if "plan." in found:
                fix += " To go on with it, compile with the plan that it had: plan=ExecutionPlan(...)."
            raise StorageError(f"belongs to a run with {found}", at=str(path), fix=fix)
        averaged = self.average.parameters if self.average is not None and values["total_steps"] else ()
        metrics = [f"metric/{index}" for index in range(len(self.job.objective.states))]
        check_tensors(path, tensors, ["head_sums", *metrics, *(f"average/{index}" for index in range(len(averaged)))])
        try:
            self.module.load_state_dict(groups["weights"])
            restore_optimizer(self.optimizer, groups.get("optimizer", {}), values["optimizer"])
        except (RuntimeError, KeyError, ValueError) as error:
            raise StorageError(
                f"belongs to another model or optimiser ({str(error).splitlines()[0]})",
                at=str(path),
                fix="Use another run folder, or remove this one.",
            ) from error
        means = groups.get("average", {})
        if self.average is not None and means:
            self.average.restore([means[str(index)] for index in range(len(means))])
        for index, metric in enumerate(self.job.objective.states):
            metric.state.copy_(groups["metric"][str(index)])
        self.head_sums.copy_(groups["head_sums"][""])
        for index, (callback, own) in enumerate(zip(self.callbacks, values["callbacks"], strict=False)):
            prefix = f"{index}/"
            mine = {k.removeprefix(prefix): v for k, v in groups.get("callback", {}).items() if k.startswith(prefix)}
            if own or mine:
                try:
                    callback.set_state(own | mine)
                except KeyError as error:
                    raise StorageError(
                        f"holds no {error} for callbacks[{index}]",
                        at=str(path),
                        expected=f"what a {type(callback).__name__} keeps",
                        fix="Give the callbacks that the run had, in their order, or use another run folder.",
                    ) from error
        if self.job.world.size > 1 and not self.job.world.leads and not self.job.workers.exact:
            for each in self.partial_sums():  # which the leader has
                each.zero_()
        self.history = History(**values["history"] | {"interrupted": False})
        for name in COUNTERS:
            setattr(self, name, values[name])
        self._seconds_before, self._began = values["seconds"], time.perf_counter()


def all_finite(module: nn.Module) -> bool:
    """Whether all weights and running statistics are."""
    return all(bool(torch.isfinite(value).all()) for value in module.state_dict().values())


def _grouped(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    groups: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = value
    return groups


def load_result(path: Path, module: nn.Module) -> History:
    """Take over the weights and the history of a run that ended in another process."""
    tensors, values = load_checkpoint(path)
    module.load_state_dict(_grouped(tensors)["weights"])
    return History(**values["history"])


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the default generators that a step on `device` draws from.

    `torch.manual_seed` would do, but where an accelerator is absent it notes the caller's stack for it: 0.8 ms.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextlib.contextmanager
def kept_generators(device: torch.device) -> Iterator[None]:
    """Torch's default generators get back the state that they had."""
    held = torch.default_generator.get_state()
    module = None if device.type == "cpu" else torch.get_device_module(device)
    there = None if module is None else module.get_rng_state()
    try:
        yield
    finally:
        torch.default_generator.set_state(held)
        if module is not None:
            module.set_rng_state(there)


def device_batch(batch: Batch, device: torch.device) -> Batch:
    """The batch on `device`."""
    if device.type == "cpu":
        return batch

    def move(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: move(each) for key, each in value.items()}
        if isinstance(value, tuple | list):
            return tuple(move(each) for each in value)
        return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

    return batch._replace(x=move(batch.x), y=move(batch.y), weight=move(batch.weight), positions=move(batch.positions))
