"""The gradient of one step, from one batch or several, each taken whole or in parts."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lepton_ai.data import Batch, check_batch, is_resident
from lepton_ai.rng import StepContext, derive, step_context
from lepton_ai.training.masked import answer, makes_masks
from lepton_ai.training.mixing import augmented
from lepton_ai.training.run import Run, device_batch, seed_device

log = logging.getLogger("lepton_ai.training")


class Piece(NamedTuple):
    """What goes through the module at once: rows of one batch.

    `parts` are the batch, or several with its inputs whose losses add up to its own (see `Mixing`). `unchecked` are
    the targets on the CPU, of a source that was not checked as a whole.
    """

    batch: Batch
    parts: list[Batch]
    unchecked: Any

    def cut(self, number: int) -> "list[Piece]":
        """The rows in so many parts, as even as can be; fewer if there are not so many rows."""
        rows = self.batch.positions.numel()
        cuts = sorted({index * rows // number for index in range(number + 1)})
        return [
            Piece(
                _rows(self.batch, low, high),
                [_rows(each, low, high) for each in self.parts],
                _cut(self.unchecked, low, high),
            )
            for low, high in pairwise(cuts)
        ]


class _Counted(NamedTuple):
    """What the metrics have yet to see."""

    outputs: Any
    batch: Batch
    masks: Any
    losses: list[Tensor]


class Step:
    """The steps of one epoch, forwards and backwards; everything else that a step is about is the loop's."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.resident, self.masked = is_resident(run.job.loader.source), makes_masks(run.module)
        self._pending: _Counted | None = None
        # What a reduction over several workers sets.
        self.before_backward: Callable[[], None] | None = None  # of a step with one backward pass
        self.may_retry: Callable[[], bool] | None = None
        self.number, self.row_seed = run.job.world.rank, run.job.seed
        self.sizes: Tensor | None = None

    def gradients(self, batches: list[Batch]) -> Tensor:
        """Leave the gradients of the mean loss over the rows of `batches` in the weights; returns this worker's share
        of the loss. Their `global_rows` are those of all of them together.

        Where memory does not suffice, the step is made again in halves, and so are those that follow.
        """
        while True:
            held = self._counts() if self.several(batches) else None
            try:
                return self._attempt(batches)
            except RuntimeError as error:
                uncompiled = self.run.forward is not self.run.module and is_of_compiler(error)
                if not uncompiled and not (is_out_of_memory(error) and self._can_halve(batches)):
                    raise
                reason = str(error).strip().partition("\n")[0]
            # The error is gone here, and with it the tensors that it kept alive.
            self._forget(held)
            if uncompiled:
                self.run.stop_compiling(reason)
            else:
                self._halve(reason)

    def update(self) -> None:
        """Let the optimiser take the step whose gradients are in the weights, and count it."""
        run = self.run
        for group in run.optimizer.param_groups:
            group["lr"] = run.learning_rate * group.get("rate", 1.0)
        run.optimizer.step()
        if run.job.constrain is not None:
            run.job.constrain()
        run.optimizer.zero_grad(set_to_none=True)
        self.count()

    def count(self) -> None:
        """Let the metrics see what they have not seen of this step."""
        if self._pending is None:
            return
        outputs, batch, masks, losses = self._pending
        self._pending = None
        objective = self.run.job.objective
        if len(objective.heads) > 1:
            self.run.head_sums += torch.stack(losses).detach() * batch.global_rows
        objective.update(outputs, batch.y, masks)

    def pieces(self, batches: list[Batch]) -> Iterator[Piece]:
        """The batches on the device, changed as training changes them, in the parts that memory allows."""
        run, job = self.run, self.run.job
        for cpu_batch in batches:
            if not self.resident:
                check_batch(cpu_batch, allow_nan=job.missing)
            batch = device_batch(cpu_batch, run.device)
            parts = [batch]
            if job.augment and batch.positions.numel():
                batch, parts = augmented(job.augment, batch, job.objective, self.context(batch))
            piece = Piece(batch, parts, None if self.resident else cpu_batch.y)
            if run.parts == 1:
                yield piece
            else:
                yield from piece.cut(run.parts) or [piece]

    def context(self, batch: Batch) -> StepContext:
        """What random layers draw from."""
        return StepContext(seed=self.row_seed, epoch=self.run.epoch, positions=batch.positions)

    def within(self, batch: Batch) -> contextlib.AbstractContextManager[object]:
        """Inside, random layers draw for these rows."""
        return step_context(self.context(batch))

    def seed(self) -> None:
        """Seed torch's own generator, which foreign modules draw from: a resumed run draws the same."""
        run = self.run
        seed_device(run.device, derive(self.row_seed, "foreign", run.total_steps, self.number))

    def _attempt(self, batches: list[Batch]) -> Tensor:
        self.seed()
        # Rows divide a sum of losses; where masks leave some out, how many are left must be known before the first
        # part is. A step of one part finds out on the way.
        several = self.several(batches)
        sizes = self.sizes
        if sizes is None and self.masked and several:
            sizes = self.sizes_of(batches)
        total: Tensor | None = None
        for piece in self.pieces(batches):
            self.count()
            loss = self._loss(piece, sizes)
            if self._pending is not None:
                if self.before_backward is not None and not several:
                    self.before_backward()
                loss.backward()  # type: ignore[no-untyped-call]
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total

    def _loss(self, piece: Piece, sizes: Tensor | None) -> Tensor:
        """The piece's share of the loss; its outputs are pending, unless this worker has no rows."""
        run, job, batch = self.run, self.run.job, piece.batch
        if batch.positions.numel() == 0:
            if self.masked and sizes is None:  # the others count their steps together
                job.world.sum(torch.zeros(len(job.objective.trained), dtype=torch.float64, device=run.device))
            return torch.zeros((), device=run.device)
        with self.within(batch):
            outputs, masks = answer(run.forward, batch.x, self.masked)
        if self.masked and sizes is None:
            sizes = job.world.sum(job.objective.sizes(outputs, masks))
        if piece.unchecked is not None:
            job.objective.check(piece.unchecked, outputs)
            if run.class_weight is not None:
                job.objective.check_classes(piece.unchecked)
        losses = job.objective.losses(outputs, piece.parts[0], run.class_weight, masks, sizes)
        for other in piece.parts[1:]:
            more = job.objective.losses(outputs, other, run.class_weight, masks, sizes)
            losses = [a + b for a, b in zip(losses, more, strict=True)]
        self._pending = _Counted(outputs, batch, masks, losses)
        loss = job.objective.total(losses)
        penalty = None if job.penalty is None else job.penalty()
        if penalty is not None:
            # Every row carries an equal part of the penalty, so that the workers' parts add up to all of it.
            loss = loss + penalty * (batch.positions.numel() / batch.global_rows)
        return loss

    @torch.no_grad()
    def sizes_of(self, batches: list[Batch]) -> Tensor:
        """How many steps count in each trained output, over all pieces and workers."""
        run, objective = self.run, self.run.job.objective
        sizes = torch.zeros(len(objective.trained), dtype=torch.float64, device=run.device)
        run.module.eval()
        for piece in self.pieces(batches):
            if piece.batch.positions.numel():
                sizes += objective.sizes(*answer(run.module, piece.batch.x, self.masked))
        run.module.train()
        return run.job.world.sum(sizes)

    def several(self, batches: list[Batch]) -> bool:
        """Whether the step is made in more than one pass."""
        return len(batches) > 1 or self.run.parts > 1

    def _can_halve(self, batches: list[Batch]) -> bool:
        # Workers that count masks or normalise batches together must all make the same number of attempts.
        alone = self.run.job.world.size == 1 or not (self.masked or self.run.pool is not None)
        alone = alone and (self.may_retry is None or self.may_retry())
        return alone and self.run.parts < max(each.positions.numel() for each in batches)

    def _counts(self) -> list[Tensor]:
        return [each.clone() for each in self._counters()]

    def _counters(self) -> list[Tensor]:
        return [self.run.head_sums, *(metric.state for metric in self.run.job.objective.states)]

    def _forget(self, held: list[Tensor] | None) -> None:
        """Make nothing of the attempt that failed."""
        self._pending = None
        for now, before in zip(self._counters(), held or (), strict=held is not None):
            now.copy_(before)
        self.run.optimizer.zero_grad(set_to_none=True)

    def _halve(self, reason: str) -> None:
        """Take twice as many parts from now on."""
        run = self.run
        if run.device.type != "cpu":
            torch.get_device_module(run.device).empty_cache()
        run.parts *= 2
        log.warning(
            "epoch %d, step %d: out of memory (%s); this step and all that follow take each batch in %d parts. A "
            "smaller batch_size with gradient_accumulation_steps in the optimiser does the same from the start",
            run.epoch + 1,
            run.step + 1,
            reason,
            run.parts,
        )


def is_of_compiler(error: RuntimeError) -> bool:
    """Whether a model could not be compiled: no compiler, or code that it does not take."""
    rooms = ("torch._dynamo", "torch._inductor", "torch._functorch")
    return any(kind.__module__.startswith(rooms) for kind in type(error).__mro__)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not get memory for a tensor, on any device."""
    text = str(error)
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in text or "out of memory" in text


def shard_of(batch: Batch, number: int) -> Batch:
    """Shard `number` of those that a worker has, in memory of its own: kernels' last bits may go by where rows lie."""
    part = _rows(batch, batch.cuts[number], batch.cuts[number + 1])
    x, y, weight = (_copied(each) for each in (part.x, part.y, part.weight))
    return part._replace(x=x, y=y, weight=weight, cuts=())


def _copied(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _copied(each) for key, each in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(_copied(each) for each in tree)
    return tree.clone() if isinstance(tree, Tensor) else tree


def _rows(batch: Batch, low: int, high: int) -> Batch:
    x, y, weight, positions = (_cut(each, low, high) for each in (batch.x, batch.y, batch.weight, batch.positions))
    return batch._replace(x=x, y=y, weight=weight, positions=positions)


def _cut(tree: Any, low: int, high: int) -> Any:
    if isinstance(tree, dict):
        return {key: _cut(each, low, high) for key, each in tree.items()}
    if isinstance(tree, tuple | list):
        return tuple(_cut(each, low, high) for each in tree)
    return tree if tree is None else tree[low:high]
