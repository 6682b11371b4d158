"""Training with several workers, by the arguments that say so."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from lepton_ai.distributed import Workers, check_workers
from lepton_ai.models.model import Model
from lepton_ai.training import Callback, History


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
    run: str | Path | None = None,
    checkpoint_every: int | str = "5min",
    reduction: Literal["sum", "exact"] = "sum",
    shards: int = 4,
    batch_norm: Literal["global", "local"] = "global",
    sync: Literal["gradients", "parameters"] = "gradients",
    every: int = 1,
    wire: Literal["float32", "bfloat16"] = "float32",
    timeout: float = 300.0,
    restarts: int = 3,
) -> History:
    """Train a compiled model with `num_workers` processes; it holds the trained weights afterwards.

    `batch_size` is the global batch. Every worker takes a contiguous part of each, gradients and metrics are
    summed, and batches normalised as wholes, so the result is that of one worker up to the order of float summation;
    with `reduction="exact"` it has the same bits for each number of workers that divides `shards`.

    The arguments from `reduction` on are those of `Workers`, the others those of `Model.fit`, which takes workers too.
    Callbacks run in the first worker, which is another process: what they change in themselves stays there.

    Raises: as `Model.fit`; WorkerError with the rank and the traceback of a worker that fails.
    """
    workers = Workers(
        count=num_workers,
        reduction=reduction,
        shards=shards,
        batch_norm=batch_norm,
        sync=sync,
        every=every,
        wire=wire,
        timeout=timeout,
        restarts=restarts,
    )
    return model.fit(
        x,
        y,
        batch_size,
        epochs,
        verbose,
        callbacks,
        validation_data=validation_data,
        shuffle=shuffle,
        steps_per_epoch=steps_per_epoch,
        augment=augment,
        unfreeze=unfreeze,
        seed=seed,
        run=run,
        checkpoint_every=checkpoint_every,
        workers=check_workers(workers, "distributed_train"),
    )
