"""The loop."""

import contextlib
import logging
import math
from pathlib import Path

import torch
from torch import nn

from lepton_ai.core import DivergedError, StorageError
from lepton_ai.data import Indexed
from lepton_ai.distributed import World
from lepton_ai.hal import applied, get_device
from lepton_ai.training.checkpoints import Checkpoints
from lepton_ai.training.diverged import bad_weight, first_bad
from lepton_ai.training.evaluate import evaluate
from lepton_ai.training.freezing import kept_frozen
from lepton_ai.training.history import History
from lepton_ai.training.interrupt import TERMINATED, Interrupt
from lepton_ai.training.job import Job
from lepton_ai.training.masked import answer, makes_masks
from lepton_ai.training.race import take_plan
from lepton_ai.training.reduction import get_reduction
from lepton_ai.training.run import Run, all_finite, device_batch, kept_generators
from lepton_ai.training.step import Step

log = logging.getLogger("lepton_ai.training")


def fit(job: Job) -> History:
    """Train until the epochs are done or a callback stops the run; the module then holds the weights.

    Ctrl-C ends the run after the step under way: the history so far is returned, marked `interrupted`, and a
    checkpoint is kept in the job's folder, from which the same job goes on; a job without a folder leaves it in
    `runs/interrupted`, and goes on only where that is given as its folder. A second Ctrl-C does not wait, and keeps
    the last checkpoint only. SIGTERM does the same and then ends the program, with exit code 75. Torch's own
    generators are as before when this returns.

    A checkpoint that cannot be written is a warning; training goes on.

    Raises: DivergedError naming the step whose loss is not finite; the module keeps its last good weights.
    """
    interrupt = Interrupt(worker=job.world.size > 1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_generators(get_device(job.plan.device)))
        stack.enter_context(kept_frozen(job.freezing))
        stack.enter_context(interrupt)
        line = "; ".join(filter(None, (job.settled, take_plan(job, interrupt))))
        run = Run(job, stack.enter_context(applied(job.plan, training=True)), interrupt)
        if job.world.size > 1 and job.pooled is not None:
            run.pool = stack.enter_context(job.pooled(job.world.sum))
        run.resume()
        run.history.plan = run.history.plan or line
        for callback in run.callbacks:
            callback.on_train_begin()
        try:
            while run.epoch < job.epochs and (run.step > 0 or not run.stopping):
                run.begin_epoch()
                train_epoch(run)
                logs = run.training_logs()
                with run.averaged():
                    if job.validation is not None and (run.epoch + 1) % job.validation_freq == 0:
                        world = World() if job.workers.exact else job.world  # sums over workers have other bits
                        measured = evaluate(
                            run.module, job.objective, job.validation, run.device, world, job.penalty, job.missing
                        )
                        logs |= {f"val_{name}": value for name, value in measured.items()}
                    run.end_epoch(logs)
                run.keep_epoch()
            run.take_average()
        except KeyboardInterrupt:
            if interrupt.insisted:
                raise
            run.history.interrupted = True
            if job.world.leads:
                _keep_interrupted(run)
            run.take_average()
        finally:
            for each in (run.module, *job.augment):
                if isinstance(each, nn.Module):
                    each.eval()
            run.optimizer.zero_grad(set_to_none=True)
            for callback in run.callbacks:
                callback.on_train_end()
            if job.result is not None and job.world.leads:
                run.save(job.result)
            if run.checkpoints is not None:
                run.checkpoints.wait()
    if interrupt.terminated:
        raise SystemExit(TERMINATED)
    return run.history


def _keep_interrupted(run: Run) -> None:
    """Write the checkpoint of a run that was interrupted; one that cannot be written must not cost the history."""
    # Of the runs that were given no folder, only the last one is kept.
    own = run.checkpoints if run.job.folder is not None else None
    checkpoints = own or Checkpoints(Path("runs/interrupted"), keep=1)
    try:
        checkpoints.save(run.epoch, run.step, run.snapshot)
        path = checkpoints.saved()
    except (StorageError, OSError) as error:
        log.error("interrupted in epoch %d, step %d; no checkpoint: %s", run.epoch + 1, run.step, error)
        return
    hint = "" if own is not None else f"; pass run={str(path.parent.parent)!r} to go on"
    log.warning("interrupted in epoch %d, step %d; checkpoint in %s%s", run.epoch + 1, run.step, path, hint)


def train_epoch(run: Run) -> None:
    """The steps of one epoch, from `run.step` on."""
    step = Step(run)
    reduction = get_reduction(run, step)
    run.gather = reduction.gather
    run.module.train()
    try:
        for batches in run.batches():
            made = reduction.make(batches)
            loss = made.loss.item()
            if not math.isfinite(loss):
                what = f"the loss became {loss} in epoch {run.epoch + 1}, step {run.step + 1}"
                with contextlib.nullcontext() if run.pool is None else run.pool.alone():
                    raise _diverged(run, what, first_bad(step, batches))
            step.update()
            reduction.updated()
            if run.average is not None:  # before callbacks, one of which may end the run
                run.average.update(run.total_steps + 1)
            run.end_step(loss, made.rows)
            if run.ending:
                break
            if made.due:
                run.checkpoint()
            if made.asked:
                if run.job.world.size > 1:
                    run.gather(go_on=True)
                raise KeyboardInterrupt
        reduction.end_epoch()
    finally:
        reduction.close()
    if not all_finite(run.module):
        # The last step's loss was finite and its gradient was not; no later step of this epoch would tell.
        what = f"the weights are not finite after the last step of epoch {run.epoch + 1}"
        raise _diverged(run, what, bad_weight(run.module))


def _diverged(run: Run, what: str, first: str) -> DivergedError:
    """The error to raise, after the module got back the last good weights if it lost them."""
    kept = "the weights from just before that step"
    if not _good(run):
        run.module.load_state_dict(run.last_good)
        kept = f"the weights from the start of epoch {run.epoch + 1}, the last that are known to be good"
    where = f"{first[0].upper()}{first[1:]}. " if first else ""
    error = DivergedError(
        f"{what}; the model keeps {kept}",
        at="fit",
        fix=f"{where}Lower the learning rate, scale the inputs to about -1 to 1, or look for extreme targets.",
    )
    error.history = run.history.history
    return error


@torch.no_grad()
def _good(run: Run) -> bool:
    """Whether the weights are finite and still give a finite loss where the epoch began."""
    if not all_finite(run.module):
        return False
    if run.step == 0 or not isinstance(run.job.loader.source, Indexed):
        return True
    batch = device_batch(next(iter(run.job.loader.epoch(run.epoch))), run.device)
    if batch.positions.numel() == 0:
        return True
    run.module.eval()
    outputs, masks = answer(run.module, batch.x, makes_masks(run.module))
    return math.isfinite(run.job.objective.total(run.job.objective.losses(outputs, batch, masks=masks)).item())
