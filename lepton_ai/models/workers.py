"""A job done by several workers: those that torchrun made, or others on this machine, which are forked."""

import dataclasses
import functools
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from lepton_ai.core import ConfigError, DivergedError
from lepton_ai.data import Indexed, Stream, is_resident
from lepton_ai.distributed import Workers, World, check_shards, joined, launch, run_on_cluster
from lepton_ai.layers import normalizes_batches, pooled
from lepton_ai.models.network import Network
from lepton_ai.training import History, Job, fit, load_result


def train(job: Job, workers: Workers, cluster: str | None = None) -> History:
    """Do the job with these workers; its module holds the trained weights afterwards.

    In a program that torchrun started, each process is one of the workers, whatever `workers.count` says.

    Raises: as `training.fit`; WorkerError with the rank and the traceback of a worker that fails; ConfigError for data
        that workers cannot share.
    """
    world = joined(workers.timeout)
    if max(world.size, workers.count) > 1 and not isinstance(job.loader.source, Indexed | Stream):
        raise ConfigError(
            "several workers need data that can be fetched by index",
            at="fit",
            fix="Give arrays, a data frame, a source, a Stream or a map-style torch Dataset.",
        )
    if world.size > 1:
        world.lead(job.module)
        return fit(shared(job, workers, world))
    if cluster is not None:
        return _send(job, workers, cluster)
    if workers.count > 1:
        return _fork(job, workers)
    return fit(shared(job, workers, world) if workers.exact else job)


def shared(job: Job, workers: Workers, world: World) -> Job:
    """The job of one of the workers.

    Raises: ConfigError if an exact reduction cannot be dealt out to them.
    """
    check_shards(msgspec.structs.replace(workers, count=world.size), "fit")
    plan, held_out = job.plan, job.validation
    if workers.exact:  # kernels with other numbers of threads give other bits
        plan = msgspec.structs.replace(plan, threads=1)
    elif held_out is not None:
        held_out = held_out.share(world.rank, world.size)
    whole = workers.batch_norm == "global" and workers.sync == "gradients" and not workers.exact
    return dataclasses.replace(
        job,
        loader=job.loader.share(world.rank, world.size, workers.shards if workers.exact else None),
        validation=held_out,
        world=world,
        workers=workers,
        plan=plan,
        race=job.race and not workers.exact,
        pooled=functools.partial(pooled, job.module) if whole and normalizes_batches(job.module) else None,
        ragged=not is_resident(job.loader.source) and _takes_any_length(job.module),
    )


def _takes_any_length(module: nn.Module) -> bool:
    """Whether what the module is given may have other sizes in each batch."""
    if not isinstance(module, Network):
        return False
    specs = module.input_specs if module.front is None else module.front.ends.values()
    return any(None in spec.shape[1:] for spec in specs)


def _send(job: Job, workers: Workers, cluster: str) -> History:
    check_shards(workers, "fit")
    found = run_on_cluster(functools.partial(_away, job, workers), workers, cluster)
    job.module.load_state_dict({name: torch.from_numpy(value.copy()) for name, value in found["weights"].items()})
    history = History(**found["history"])
    if found["diverged"]:
        error = DivergedError(found["diverged"])
        error.history = history.history
        raise error
    return history


def _away(job: Job, workers: Workers, world: World) -> dict[str, Any]:
    """The job on a node of a cluster; what of it goes back to the caller."""
    own, diverged = shared(job, workers, world), ""
    try:
        history = fit(own)
    except DivergedError as error:
        diverged, history = str(error), History(history=error.history)
    weights = {name: value.detach().cpu().contiguous().numpy() for name, value in job.module.state_dict().items()}
    return {"weights": weights, "history": history.to_dict(), "diverged": diverged}


def _fork(job: Job, workers: Workers) -> History:
    with tempfile.TemporaryDirectory(prefix="lepton-") as name:
        folder = Path(name)

        def work(world: World) -> None:
            own = shared(job, workers, world)
            snapshots = folder / "snapshots" if job.folder is None and workers.restarts else None
            try:
                fit(dataclasses.replace(own, result=folder / "result", snapshots=snapshots))
            except DivergedError as error:  # all workers see it; the caller gets the last good weights, and the error
                if world.leads:
                    (folder / "diverged").write_text(str(error))

        launch(work, workers.count, folder, timeout=workers.timeout, restarts=workers.restarts)
        history = load_result(folder / "result", job.module)
        if (folder / "diverged").exists():
            error = DivergedError((folder / "diverged").read_text())
            error.history = history.history
            raise error
        return history
