"""How the workers' parts of a step become one: gradients summed, gradients summed in a fixed order, weights averaged.

One worker alone takes the same way and asks nobody.
"""

import time
from typing import NamedTuple

import torch
from torch import Tensor

from lepton_ai.data import Batch
from lepton_ai.distributed import FACTS, Gradients
from lepton_ai.rng import derive
from lepton_ai.training.run import Run
from lepton_ai.training.stand_in import stand_in
from lepton_ai.training.step import Step, shard_of


class Made(NamedTuple):
    """A step whose gradients are in the weights: its mean loss over `rows`, and what the workers agreed on.

    `asked`: the run is to end here. `due`: a checkpoint is to be taken after this step.
    """

    loss: Tensor
    rows: int
    asked: bool
    due: bool


class Alone:
    """One worker: nothing to exchange."""

    def __init__(self, run: Run, step: Step) -> None:
        self.run, self.step = run, step

    def make(self, batches: list[Batch]) -> Made:
        """Leave the gradients of all workers in the weights."""
        loss = self.step.gradients(batches)
        return Made(loss, batches[0].global_rows, self.run.interrupt.asked, self.run.checkpoint_due())

    def updated(self) -> None:
        """The optimiser has taken the step."""

    def end_epoch(self) -> None:
        """All steps of the epoch are made."""

    def gather(self, *, go_on: bool = False) -> None:
        """Let the sums of this epoch be those of all workers; to `go_on`, the leader alone keeps them."""

    def close(self) -> None:
        """The run is over."""


class Summed(Alone):
    """Gradients are summed, while the backward pass goes on where it is the only one of its step."""

    def __init__(self, run: Run, step: Step) -> None:
        super().__init__(run, step)
        wire = torch.bfloat16 if run.job.workers.wire == "bfloat16" else torch.float32
        self.gradients = Gradients(run.module.parameters(), run.job.world, wire, run.gradient_group())
        step.before_backward, step.may_retry = self.gradients.begin, lambda: not self.gradients.sent

    def make(self, batches: list[Batch]) -> Made:
        run = self.run
        if run.pool is not None and batches[0].positions.numel() == 0:
            loss = stand_in(self.step, batches, run.pool)
        else:
            loss = self.step.gradients(batches)
        facts = torch.zeros(FACTS, device=loss.device)
        facts[0], facts[1], facts[2] = loss, float(run.interrupt.asked), float(run.checkpoint_due())
        total, asked, due, _ = self.gradients.end(facts)
        return Made(total, batches[0].global_rows, bool(asked > 0), bool(due > 0))

    def end_epoch(self) -> None:
        self.run.job.world.average(self.run.module)

    def gather(self, *, go_on: bool = False) -> None:
        world = self.run.job.world
        for each in self.run.partial_sums():
            world.sum(each)
            if go_on and not world.leads:
                each.zero_()

    def close(self) -> None:
        self.gradients.close()


class InOrder(Alone):
    """Gradients are made for each shard of the global batch by itself, and summed in the order of the shards.

    So are metrics and the changes of running statistics. What a worker computes of a shard does not depend on which
    worker it is, nor do the sums: every number of workers gives the same bits. The seconds that this takes are counted.
    """

    def make(self, batches: list[Batch]) -> Made:
        run, job = self.run, self.run.job
        began, computed = time.perf_counter(), 0.0
        mine = job.workers.shards // job.world.size
        buffers = [each for each in run.module.buffers() if each.is_floating_point()]
        counts = [each for each in run.module.buffers() if not each.is_floating_point()]
        uncounted = counted = [each.clone() for each in counts]
        sums = run.partial_sums()
        before = [each.clone() for each in (*buffers, *sums)]
        rows = batches[0].global_rows
        self.step.sizes = self.step.sizes_of(batches) if self.step.masked else None
        floats, doubles, dtype = [], [], next(run.module.parameters()).dtype
        for number in range(mine):
            _write([*before, *uncounted], [*buffers, *sums, *counts])
            for each in sums:
                each.zero_()
            parts = [shard_of(batch, number) for batch in batches]
            self.step.number = job.world.rank * mine + number
            before_this = time.perf_counter()
            loss = self.step.gradients(parts)
            self.step.count()
            computed += time.perf_counter() - before_this
            share = sum(part.positions.numel() for part in parts) / rows
            changes = [(each - start) * share for each, start in zip(buffers, before, strict=False)]
            if number == 0:  # a step is one batch, for what counts them
                counted = [each.clone() for each in counts]
            floats.append(_flat([*self._take(), *changes], dtype, loss.device))
            doubles.append(_flat([loss, *sums], torch.float64, loss.device))
        _write(counted, counts)
        total = job.world.ordered_sum(torch.stack(floats))
        facts = job.world.ordered_sum(torch.stack(doubles))
        places = [each.grad for each in self.trained()]
        _spill(total, [*places, *buffers])  # type: ignore[list-item]
        for buffer, start in zip(buffers, before, strict=False):
            buffer.add_(start)
        loss = torch.zeros((), dtype=torch.float64, device=total.device)
        _spill(facts, [loss, *sums])
        for each, start in zip(sums, before[len(buffers) :], strict=True):
            each.add_(start)
        asked, due = job.world.sum(torch.tensor([float(run.interrupt.asked), float(run.checkpoint_due())])).tolist()
        run.ordered += time.perf_counter() - began - computed
        return Made(loss, rows, asked > 0, due > 0)

    def trained(self) -> list[torch.nn.Parameter]:
        """The weights that train, each with a gradient to write to."""
        found = [each for each in self.run.module.parameters() if each.requires_grad]
        for each in found:
            if each.grad is None:
                each.grad = torch.zeros_like(each)
        return found

    def _take(self) -> list[Tensor]:
        """The gradients of one shard, out of the weights."""
        found = []
        for weight in self.run.module.parameters():
            if weight.requires_grad:
                found.append(torch.zeros_like(weight) if weight.grad is None else weight.grad)
                weight.grad = None
        return found


class Averaged(Alone):
    """Each worker takes steps of its own, with a seed of its own; after every so many the weights are averaged."""

    def __init__(self, run: Run, step: Step) -> None:
        super().__init__(run, step)
        self._made, self._bad = 0, 0.0
        step.row_seed = derive(run.job.seed, "worker", run.job.world.rank)

    def make(self, batches: list[Batch]) -> Made:
        run, world = self.run, self.run.job.world
        rows = sum(batch.positions.numel() for batch in batches)
        loss = self.step.gradients([batch._replace(global_rows=max(1, rows)) for batch in batches])
        self._made += 1
        if self._made % run.job.workers.every:
            # What one worker alone finds out, all must hear of, at the same step.
            return Made(torch.nan_to_num(loss, 0.0, 0.0, 0.0), rows, False, False)
        facts = torch.stack([loss, *loss.new_tensor([float(run.interrupt.asked), float(run.checkpoint_due())])])
        total, asked, due = world.sum(facts)
        shown = loss if bool(torch.isfinite(total)) else total
        return Made(shown, rows, bool(asked > 0), bool(due > 0))

    def updated(self) -> None:
        if self._made % self.run.job.workers.every == 0:
            self.run.job.world.average(self.run.module, weights=True)

    def end_epoch(self) -> None:
        self.run.job.world.average(self.run.module, weights=True)

    def gather(self, *, go_on: bool = False) -> None:
        run, world = self.run, self.run.job.world
        rows, loss_sum = world.sum(torch.tensor([run.rows, run.loss_sum], dtype=torch.float64)).tolist()
        for each in run.partial_sums():
            world.sum(each)
            if go_on and not world.leads:
                each.zero_()
        run.rows, run.loss_sum = (0, 0.0) if go_on and not world.leads else (int(rows), loss_sum)


def get_reduction(run: Run, step: Step) -> Alone:
    """The reduction that a job asks for."""
    workers, world = run.job.workers, run.job.world
    if workers.exact:
        return InOrder(run, step)
    if world.size == 1:
        return Alone(run, step)
    return Averaged(run, step) if workers.sync == "parameters" else Summed(run, step)


def _flat(tensors: list[Tensor], dtype: torch.dtype, device: torch.device) -> Tensor:
    flat = [each.detach().to(device, dtype).reshape(-1) for each in tensors]
    return torch.cat(flat) if flat else torch.zeros(0, dtype=dtype, device=device)


def _write(values: list[Tensor], into: list[Tensor]) -> None:
    for each, value in zip(into, values, strict=True):
        each.copy_(value)


def _spill(flat: Tensor, into: list[Tensor]) -> None:
    """Write `flat` into these tensors, one after the other."""
    start = 0
    for each in into:
        each.copy_(flat[start : start + each.numel()].view(each.shape))
        start += each.numel()
