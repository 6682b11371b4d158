"""Compile, fit, evaluate, predict: Keras' face over the training engine."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lepton_ai.bundle import Profile
from lepton_ai.core import ConfigError, UsageError
from lepton_ai.data import (
    Arrays,
    Batches,
    Indexed,
    Loader,
    Stream,
    Table,
    as_source,
    build_profile,
    check_source,
    map_inputs,
)
from lepton_ai.distributed import Workers, check_workers
from lepton_ai.hal import ExecutionPlan, applied, get_plan, place
from lepton_ai.layers import Layer
from lepton_ai.models.arguments import (
    as_augmentation,
    as_callbacks,
    as_class_weight,
    as_fraction,
    as_seed,
    hold_out,
    maybe_whole,
    validation_parts,
    whole,
)
from lepton_ai.models.fine_tuning import Unfreezing
from lepton_ai.models.inputs import conform, is_table, raw_source
from lepton_ai.models.missing import missing_inputs
from lepton_ai.models.network import Network, specs_of
from lepton_ai.models.workers import train
from lepton_ai.rng import get_seed
from lepton_ai.training import (
    Callback,
    History,
    Job,
    Mixing,
    Objective,
    Optimizer,
    evaluate,
    get_optimizer,
    predict,
    progress,
    settle_batch_size,
)


class Trainer(Network):
    """A network that learns."""

    objective: Objective | None = None
    optimizer: Optimizer | None = None
    plan: ExecutionPlan = ExecutionPlan()
    race: bool = False
    profile: Profile | None = None
    labels: tuple[str, ...] = ()
    history: History | None = None

    def compile(
        self,
        optimizer: str | Optimizer = "rmsprop",
        loss: Any = None,
        loss_weights: list[float] | dict[str, float] | None = None,
        metrics: list[Any] | dict[str, Any] | None = None,
        plan: str | ExecutionPlan = "default",
    ) -> None:
        """Say how to train: optimiser, loss and metrics by their Keras names or as objects.

        `plan="auto"` lets `fit` race execution plans, and keep the fastest for this model, machine and data.
        With several outputs, `loss`, `metrics` and `loss_weights` are lists in their order or dicts by name.

        Raises: UnknownNameError with the nearest name.
        """
        self.optimizer = get_optimizer(optimizer)
        self.objective = Objective(loss, metrics, loss_weights)
        self.plan, self.race = get_plan(plan), plan == "auto"

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | Literal["auto"] | None = None,
        epochs: int = 1,
        verbose: int | str = "auto",
        callbacks: list[Callback] | Callback | None = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: dict[int, float] | None = None,
        sample_weight: Any = None,
        initial_epoch: int = 0,
        steps_per_epoch: int | None = None,
        validation_batch_size: int | None = None,
        validation_freq: int = 1,
        *,
        augment: Any = None,
        unfreeze: Mapping[int, str | Sequence[str]] | None = None,
        seed: int | None = None,
        run: str | Path | None = None,
        checkpoint_every: int | str = "5min",
        workers: int | Workers = 1,
        cluster: str | None = None,
    ) -> History:
        """Train on arrays, tensors, data frames, sources, torch datasets or loaders.

        Args:
            batch_size: rows per step, 32 if not given; "auto" takes the fastest that fits, by `find_batch_size`, or
                that of the run that goes on.
            verbose: 0 silent, 1 a bar, 2 a line per epoch; on a terminal "auto" is a bar, "curves" draws the loss.
            validation_split: the last part of the rows is held out, before shuffling, as in Keras.
            class_weight: weight of each class' rows in the loss.
            steps_per_epoch: length of an epoch; data that ends sooner starts over in a new order.
            augment: what changes inputs and targets together in training: `MixUp()`, `CutMix()`, random layers
                (which move masks with their images, and leave labels), or a list of these.
            unfreeze: layers by the epoch from which they train, `{0: ["head"], 2: ["body.top"], 4: "all"}`; until then
                they are frozen. Afterwards each is as trainable as before.
            seed: of order, dropout and augmentation; `set_seed`'s if not given.
            run: a folder for checkpoints; if one is there, training goes on from the newest, as if it had never
                stopped. The data's size, the batches, the model, the objective and the plan must be the same; epochs
                may be more. A run that is complete gives its history and does not train.
            checkpoint_every: with `run`, a checkpoint after so many steps or such a time ("30s", "5min", "1h"), and
                one after every epoch in any case. The last three are kept.
            workers: how many processes train together, with the result of one; or how, as `Workers`. In a program that
                torchrun or `lepton launch` started they are those that it made.
            cluster: the address of a Ray cluster whose nodes they run on, "auto" or "ray://head:10001".

        Returns: the History. After Ctrl-C, the history so far, marked `interrupted`.

        Raises: UsageError before `compile`; DataError and ShapeError for data that does not fit;
            DivergedError if the loss is not finite; StorageError if `run` holds another run; WorkerError with the
            rank and the traceback of a worker that fails.
        """
        self._compiled("fit")
        epochs, validation_freq = whole("fit", "epochs", epochs), whole("fit", "validation_freq", validation_freq)
        initial_epoch = whole("fit", "initial_epoch", initial_epoch, 0)
        if initial_epoch >= epochs:
            fix = "epochs is the number of the last epoch, not of those to come."
            raise ConfigError(
                at="fit(initial_epoch=...)", got=initial_epoch, expected=f"below epochs={epochs}", fix=fix
            )
        validation_split, listed = as_fraction(validation_split), as_callbacks(callbacks)
        together = check_workers(workers, "fit", "workers")
        source = self.source(x, y, sample_weight)
        if validation_split:
            if not isinstance(source, Indexed) or validation_data is not None:
                raise UsageError("validation_split needs rows with an index, and no validation_data", at="fit")
            source, validation_data = hold_out(source, validation_split)
        folder, settled = None if run is None else Path(run), ""
        if batch_size == "auto":
            batch_size, settled = settle_batch_size(self, source, folder)
        job = self.job(
            source,
            batch_size=batch_size,
            epochs=epochs,
            validation_data=validation_data,
            shuffle=shuffle,
            steps_per_epoch=steps_per_epoch,
            validation_batch_size=validation_batch_size,
            augment=augment,
            unfreeze=unfreeze,
            seed=seed,
        )
        job = dataclasses.replace(
            job,
            initial_epoch=initial_epoch,
            validation_freq=validation_freq,
            callbacks=[*listed, *progress(verbose)],
            class_weight=self._class_weight(class_weight, job.loader),
            folder=folder,
            settled=settled,
            checkpoint_every=checkpoint_every,
        )
        self.history = train(job, together, cluster)
        self.plan = job.plan
        self.keep_data(source)
        return self.history

    def job(
        self,
        source: Indexed | Batches,
        *,
        batch_size: int | None,
        epochs: int,
        validation_data: Any = None,
        shuffle: bool = True,
        steps_per_epoch: int | None = None,
        validation_batch_size: int | None = None,
        augment: Any = None,
        unfreeze: Mapping[int, str | Sequence[str]] | None = None,
        seed: int | None = None,
    ) -> Job:
        """The engine's job for this model: data checked, model built, objective bound."""
        objective = self._compiled("fit")
        epochs, steps = whole("fit", "epochs", epochs), maybe_whole("fit", "steps_per_epoch", steps_per_epoch)
        batch_size = maybe_whole("fit", "batch_size", batch_size) or 32
        validation_batch_size = maybe_whole("fit", "validation_batch_size", validation_batch_size)
        seed = get_seed() if seed is None else as_seed(seed)
        changes = as_augmentation(augment)
        mixings = [each for each in changes if isinstance(each, Mixing)]
        source = self._for_torch(source)
        loader = Loader(source, batch_size, shuffle=shuffle, seed=seed, steps=steps, pairs=bool(mixings))
        missing = missing_inputs(self)
        check_source(source, allow_nan=missing)
        self._bind(objective, loader)
        for each in mixings:
            each.check(objective)
        validation = None
        if validation_data is not None:
            held_out = self._for_torch(self.source(*validation_parts(validation_data)))
            check_source(held_out, allow_nan=missing)
            validation = Loader(held_out, validation_batch_size or batch_size)
            self._bind(objective, validation)
        assert self.optimizer is not None
        self.optimizer.check_rates(name for name, _ in self.named_parameters())
        return Job(
            module=self,
            objective=objective,
            optimizer=self.optimizer,
            loader=loader,
            epochs=epochs,
            validation=validation,
            penalty=self.penalty if self._regularized() else None,
            constrain=self.constrain if self._constrained() else None,
            freezing=None if unfreeze is None else Unfreezing(self, unfreeze),
            augment=changes,
            plan=ExecutionPlan() if self.race else self.plan,
            race=self.race,
            missing=missing,
            seed=seed,
        )

    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: int | str = "auto",
        sample_weight: Any = None,
        *,
        return_dict: bool = False,
    ) -> Any:
        """The loss and the metrics on held-out data: a list as Keras gives it (a number if there is only the
        loss), or a dict. The result does not depend on `batch_size`, which is 256 if not given."""
        # A copy, since a callback may evaluate while the original counts the epoch under way.
        objective = self._compiled("evaluate").copy()
        source, missing = self._for_torch(self.source(x, y, sample_weight)), missing_inputs(self)
        loader = Loader(source, maybe_whole("evaluate", "batch_size", batch_size) or 256)
        check_source(source, allow_nan=missing)
        self._bind(objective, loader)
        with applied(self.plan) as device:
            place(self, self.plan, device)
            logs = evaluate(
                self,
                objective,
                loader,
                device,
                penalty=self.penalty if self._regularized() else None,
                missing=missing,
            )
        if verbose not in ("auto", 0):
            print("  ".join(f"{name} {value:.4g}" for name, value in logs.items()))  # noqa: T201
        values = list(logs.values())
        return logs if return_dict else values[0] if len(values) == 1 else values

    def predict(self, x: Any, batch_size: int | None = None, verbose: int | str = 0) -> Any:
        """The outputs for all rows of `x`, as numpy arrays."""
        source, missing = self._for_torch(self.source(x)), missing_inputs(self)
        loader = Loader(source, maybe_whole("predict", "batch_size", batch_size) or 256)
        check_source(source, allow_nan=missing)
        with applied(self.plan) as device:
            self._first_outputs(loader)
            place(self, self.plan, device)
            return predict(self, loader, device, missing)

    # -- for the rooms above -----------------------------------------------------------------------------

    def source(self, x: Any, y: Any = None, sample_weight: Any = None) -> Indexed | Batches:
        """The data as the model is given it, before its stages; tables give columns to several inputs by name."""
        if self.front is not None:
            return raw_source(x, y, sample_weight, self.input_specs, self.front.missing)
        if len(self.input_specs) > 1 and is_table(x):
            if isinstance(x, Table) and y is None and x.target is not None:
                y = x.target_values()
            x = conform(x, self.input_specs)
        return as_source(x, y, sample_weight)

    def penalty(self) -> Tensor | None:
        """The sum of all regularisers."""
        terms = list(self.regularization())
        return torch.stack(terms).sum() if terms else None

    def keep(self, samples: Any, profile: Profile | None, labels: tuple[str, ...] = ()) -> None:
        """Keep rows and a profile for the bundle.

        Raises: ShapeError if the rows do not fit the model.
        """
        self.check_inputs(samples)
        self.samples, self.profile, self.labels = samples, profile, labels

    def keep_data(self, source: Indexed | Batches) -> None:
        """Keep the first rows of `source`, and its profile, for the bundle; `fit` does so."""
        if isinstance(source, Stream):
            source = source.head(10_000) if self.front is None else Arrays(*source.peek(10_000), texts=True)
        if isinstance(source, Indexed):
            samples = source.fetch(torch.arange(min(8, len(source))))[0]
            if self.front is not None:
                samples = self.front.conform(samples)
            names = [spec.name for spec in self.input_specs]
            profile = build_profile(source, names=source.names or None, labels=source.labels or None, input_names=names)
            self.keep(samples, profile, tuple(source.labels))

    # -- inside ------------------------------------------------------------------------------------------

    def _for_torch(self, source: Indexed | Batches) -> Indexed | Batches:
        """The data as torch takes it, behind the stages."""
        return source if self.front is None else map_inputs(source, self.front.encode)

    def _compiled(self, verb: str) -> Objective:
        if self.objective is None or self.optimizer is None:
            raise UsageError(
                f"{verb} was called before compile",
                at=self.label,
                fix='Write model.compile(optimizer="adam", loss="mse") first.',
            )
        if self.objective.loss is None:
            raise UsageError("compile was not given a loss", at=self.label, fix='Write compile(loss="mse").')
        return self.objective

    def _bind(self, objective: Objective, loader: Loader) -> None:
        outputs, targets, masks = self._first_outputs(loader)
        if outputs is None:
            return
        objective.bind(outputs, self.output_names(), targets, masks)
        every = loader.source.y_all if isinstance(loader.source, Indexed) else None
        objective.check(targets if every is None else every, outputs)
        objective.check_outputs(outputs)

    @torch.no_grad()
    def _first_outputs(self, loader: Loader) -> tuple[Any, Any, Any]:
        """The outputs for the first two rows, which builds the model; their targets; the outputs' masks."""
        x, y = self._first_rows(loader)
        self.check_inputs(x)
        if not self.input_specs:
            self.input_specs = specs_of(x)
        x = self.on_own_device(x)
        if self.makes_mask:
            outputs, masks = self(x, training=False, return_mask=True)
            return outputs, y, masks
        return self(x, training=False), y, None

    @staticmethod
    def _first_rows(loader: Loader) -> tuple[Any, Any]:
        if isinstance(loader.source, Indexed):
            return loader.source.fetch(torch.arange(min(2, len(loader.source))))[:2]
        return loader.source.peek(loader.batch_size)[:2]

    def _regularized(self) -> bool:
        return any(isinstance(layer, Layer) and layer._regularizers for layer in self.modules())

    def _constrained(self) -> bool:
        return any(isinstance(layer, Layer) and layer._constraints for layer in self.modules())

    def _class_weight(self, weights: dict[int, float] | None, loader: Loader) -> Tensor | None:
        if weights is None:
            return None
        at = "fit(class_weight=...)"
        assert self.objective is not None
        if len(self.objective.heads) > 1:
            fix = "Give a sample_weight for each row instead."
            raise UsageError("a model of several outputs has no one set of classes", at=at, fix=fix)
        shape = self.objective.heads[0].shape
        units = shape[-1] if len(shape) > 1 else 1
        source = loader.source
        y = source.y_all if isinstance(source, Indexed) else None
        self.objective.check_classes(self._first_rows(loader)[1] if y is None else y)
        return as_class_weight(weights, max(units, 2))
