"""Training with several workers on this machine."""

import dataclasses
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.nn.modules.batchnorm import _BatchNorm

from lepton_ai.core import ConfigError, DivergedError
from lepton_ai.data import Indexed, Stream
from lepton_ai.distributed import World, launch
from lepton_ai.layers import BatchNormalization
from lepton_ai.models.model import Model
from lepton_ai.training import Callback, History, Job, fit, load_result, progress

_NORMALISES = (BatchNormalization, _BatchNorm)


def distributed_train(
    model: Model,
    x: Any,
    y: Any = None,
    batch_size: int = 32,
    num_workers: int = 1,
    steps_per_epoch: int | None = None,
    epochs: int = 1,
    *,
    validation_data: Any = None,
    callbacks: list[Callback] | None = None,
    shuffle: bool = True,
    verbose: int | str = "auto",
    augment: Any = None,
    unfreeze: Mapping[int, str | Sequence[str]] | None = None,
    seed: int | None = None,
) -> History:
    """Train a compiled model with `num_workers` processes; it holds the trained weights afterwards.

    `batch_size` is the global batch. Every worker takes a contiguous part of each, gradients and metrics are
    summed, so the result is that of one worker up to the order of float summation. Batch normalisation is the
    exception: each worker normalises by its own part of the batch, and running statistics are averaged at the end
    of each epoch; a warning says so.

    `augment` and `unfreeze` are as of `Model.fit`. Callbacks run in the first worker, which is another process: what
    they change in themselves stays there.

    Raises: as `Model.fit`; WorkerError with the rank and the traceback of a worker that fails.
    """
    source = model.source(x, y)
    job = model.job(
        source,
        batch_size=batch_size,
        epochs=epochs,
        validation_data=validation_data,
        shuffle=shuffle,
        steps_per_epoch=steps_per_epoch,
        augment=augment,
        unfreeze=unfreeze,
        seed=seed,
    )
    job = dataclasses.replace(job, callbacks=[*(callbacks or []), *progress(verbose)])
    if isinstance(num_workers, bool) or not isinstance(num_workers, int) or num_workers < 1:
        raise ConfigError(at="distributed_train(num_workers=...)", got=num_workers, expected="a positive int")
    if num_workers > 1 and any(isinstance(each, _NORMALISES) for each in model.modules()):
        warnings.warn(
            f"{model.label} normalises batches: with {num_workers} workers each does so over its own part of the "
            "batch, and the result differs from that of one worker",
            UserWarning,
            stacklevel=2,
        )
    if num_workers == 1:
        model.history = fit(job)
    else:
        if not isinstance(source, Indexed | Stream):
            raise ConfigError(
                "several workers need data that can be fetched by index",
                at="distributed_train",
                fix="Give arrays, a data frame, a source, a Stream or a map-style torch Dataset.",
            )
        model.history = _fit_in_workers(job, num_workers)
    model.keep_data(source)
    return model.history


def _fit_in_workers(job: Job, workers: int) -> History:
    with tempfile.TemporaryDirectory(prefix="lepton-") as name:
        folder = Path(name)

        def work(world: World) -> None:
            share = job.loader.share(world.rank, world.size)
            held_out = None if job.validation is None else job.validation.share(world.rank, world.size)
            try:
                fit(dataclasses.replace(job, loader=share, validation=held_out, world=world, result=folder / "result"))
            except DivergedError as error:  # all workers see it; the caller gets the last good weights, and the error
                if world.leads:
                    (folder / "diverged").write_text(str(error))

        launch(work, workers, folder)
        history = load_result(folder / "result", job.module)
        if (folder / "diverged").exists():
            error = DivergedError((folder / "diverged").read_text())
            error.history = history.history
            raise error
        return history
