"""The loop."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lepton_ai.core import DivergedError, StorageError
from lepton_ai.data import Batch, Indexed, check_batch, is_resident
from lepton_ai.hal import applied
from lepton_ai.rng import StepContext, derive, step_context
from lepton_ai.training.evaluate import evaluate
from lepton_ai.training.history import History
from lepton_ai.training.interrupt import Interrupt
from lepton_ai.training.run import Job, Run, device_batch, kept_generators, seed_device

log = logging.getLogger("lepton_ai.training")


def fit(job: Job) -> History:
    """Train until the epochs are done or a callback stops the run; the module then holds the weights.

    Ctrl-C ends the run after the step under way: the history so far is returned, marked `interrupted`, and a
    checkpoint is kept in the job's folder, from which the same job goes on; a job without a folder leaves it in
    `runs/interrupted`, and goes on only where that is given as its folder. A second Ctrl-C does not wait, and keeps
    the checkpoint of the last epoch only. Torch's own generators are as before when this returns.

    Raises: DivergedError naming the step whose loss is not finite; the module keeps its last good weights.
    """
    interrupt = Interrupt(worker=job.world.size > 1)
    with applied(job.plan) as device, kept_generators(device), interrupt:
        run = Run(job, device, interrupt)
        checkpoint = None if job.folder is None else job.folder / "checkpoint"
        if checkpoint is not None and checkpoint.exists():
            run.restore(checkpoint)
        forward = torch.compile(run.module) if job.plan.compile else run.module
        for callback in run.callbacks:
            callback.on_train_begin()
        try:
            while run.epoch < job.epochs and not run.stopping:
                run.begin_epoch()
                train_epoch(run, forward)
                logs = run.training_logs()
                if job.validation is not None and (run.epoch + 1) % job.validation_freq == 0:
                    measured = evaluate(
                        run.module, job.objective, job.validation, device, job.world, job.penalty, job.missing
                    )
                    logs |= {f"val_{name}": value for name, value in measured.items()}
                run.end_epoch(logs)
        except KeyboardInterrupt:
            if interrupt.insisted:
                raise
            run.history.interrupted = True
            if job.world.leads:
                _keep_interrupted(run, checkpoint or Path("runs/interrupted/checkpoint"))
        finally:
            run.module.eval()
            run.optimizer.zero_grad(set_to_none=True)
            for callback in run.callbacks:
                callback.on_train_end()
            if job.result is not None and job.world.leads:
                run.save(job.result)
    return run.history


def _keep_interrupted(run: Run, path: Path) -> None:
    """Write the checkpoint of a run that was interrupted; one that cannot be written must not cost the history."""
    try:
        run.save(path)
    except (StorageError, OSError) as error:
        log.error("interrupted in epoch %d, step %d; no checkpoint: %s", run.epoch + 1, run.step, error)
        return
    hint = "" if run.job.folder is not None else f"; pass run={str(path.parent)!r} to go on"
    log.warning("interrupted in epoch %d, step %d; checkpoint in %s%s", run.epoch + 1, run.step, path, hint)


def train_epoch(run: Run, forward: Callable[[Any], Any]) -> None:
    """The steps of one epoch, from `run.step` on."""
    job, world = run.job, run.job.world
    parameters = list(run.module.parameters())
    resident = is_resident(job.loader.source)
    run.module.train()
    for cpu_batch in job.loader.epoch(run.epoch, run.step):
        if not resident:
            check_batch(cpu_batch, allow_nan=job.missing)
        batch = device_batch(cpu_batch, run.device)
        # Foreign modules draw from torch's own generator: a seed per step makes a resumed run draw the same.
        seed_device(run.device, derive(job.seed, "foreign", run.total_steps, world.rank))
        loss, outputs = _loss(run, forward, batch, None if resident else cpu_batch.y)
        if outputs is not None:
            loss.backward()  # type: ignore[no-untyped-call]
        total, asked = world.sum_gradients(parameters, loss.detach(), run.interrupt.asked)
        if not math.isfinite(total.item()):
            raise _diverged(run, f"the loss became {total.item()} in epoch {run.epoch + 1}, step {run.step + 1}")
        for group in run.optimizer.param_groups:
            group["lr"] = run.learning_rate
        run.optimizer.step()
        run.optimizer.zero_grad(set_to_none=True)
        if outputs is not None:
            job.objective.update(outputs, batch.y)
        run.end_step(total, batch)
        if asked:
            raise KeyboardInterrupt
    if not _finite(run.module):
        # The last step's loss was finite and its gradient was not; no later step of this epoch would tell.
        raise _diverged(run, f"the weights are not finite after the last step of epoch {run.epoch + 1}")
    world.average_buffers(run.module)


def _loss(run: Run, forward: Callable[[Any], Any], batch: Batch, unchecked: Any) -> tuple[Tensor, object]:
    """This worker's share of the batch's loss, and its outputs; a worker without rows has neither.

    `unchecked` are the targets on the CPU, of a source that was not checked as a whole.
    """
    job = run.job
    if batch.positions.numel() == 0:
        return torch.zeros((), device=run.device), None
    context = StepContext(seed=job.seed, epoch=run.epoch, positions=batch.positions)
    with step_context(context):
        outputs = forward(batch.x)
    if unchecked is not None:
        job.objective.check(unchecked, outputs)
        if run.class_weight is not None:
            job.objective.check_classes(unchecked)
    losses = job.objective.losses(outputs, batch, run.class_weight)
    if len(job.objective.heads) > 1:
        run.head_sums += torch.stack(losses).detach() * batch.global_rows
    loss = job.objective.total(losses)
    penalty = None if job.penalty is None else job.penalty()
    if penalty is not None:
        # Every row carries an equal part of the penalty, so that the workers' parts add up to all of it.
        loss = loss + penalty * (batch.positions.numel() / batch.global_rows)
    return loss, outputs


def _diverged(run: Run, what: str) -> DivergedError:
    """The error to raise, after the module got back the last good weights if it lost them."""
    kept = "the weights from just before that step"
    if not _good(run):
        run.module.load_state_dict(run.last_good)
        kept = f"the weights from the start of epoch {run.epoch + 1}, the last that are known to be good"
    error = DivergedError(
        f"{what}; the model keeps {kept}",
        at="fit",
        fix="Lower the learning rate, scale the inputs to about -1 to 1, or look for extreme targets.",
    )
    error.history = run.history.history
    return error


@torch.no_grad()
def _good(run: Run) -> bool:
    """Whether the weights are finite and still give a finite loss where the epoch began."""
    if not _finite(run.module):
        return False
    if run.step == 0 or not isinstance(run.job.loader.source, Indexed):
        return True
    batch = device_batch(next(iter(run.job.loader.epoch(run.epoch))), run.device)
    if batch.positions.numel() == 0:
        return True
    run.module.eval()
    return math.isfinite(run.job.objective.total(run.job.objective.losses(run.module(batch.x), batch)).item())


def _finite(module: nn.Module) -> bool:
    """Whether all weights and running statistics are."""
    return all(bool(torch.isfinite(value).all()) for value in module.state_dict().values())
