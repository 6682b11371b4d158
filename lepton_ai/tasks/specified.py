"""What both front doors do with a specification: fit, judge, answer, export, serve."""

import abc
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from lepton_ai.bundle import Bundle
from lepton_ai.core import ConfigError, DataError, UsageError
from lepton_ai.data import check_lengths, split_indices, take_rows
from lepton_ai.evaluation import ClassificationResult, RegressionResult
from lepton_ai.exporting import export
from lepton_ai.models import Model, count_parameters
from lepton_ai.serving import serve
from lepton_ai.tasks.answers import figures, judge
from lepton_ai.tasks.specification import Classes, Input, Numbers, Output
from lepton_ai.training import History

Pair = tuple[Any, npt.NDArray[Any]]


class Specified(abc.ABC):
    """A model from a specification. `model` is made by `fit`, from the data where it has to be.

    Args:
        inputs, outputs: what goes in and comes out.
        parameters: the most numbers that the model may learn; four bytes each in its file.
        seed: of the order of rows, of dropout, and of which rows are held out; weights start by `set_seed`.

    Raises: ConfigError for a specification that this class cannot meet.
    """

    accepted: tuple[type, ...]

    def __init__(self, inputs: Input, outputs: Output, *, parameters: int, seed: int) -> None:
        at = type(self).__name__
        if not isinstance(inputs, self.accepted):
            known = ", ".join(each.__name__ for each in self.accepted)
            raise ConfigError(at=f"{at}.inputs", got=inputs, expected=f"one of {known}")
        if not isinstance(outputs, Classes | Numbers):
            raise ConfigError(at=f"{at}.outputs", got=outputs, expected="Classes(labels=...) or Numbers(count=...)")
        if isinstance(parameters, bool) or not isinstance(parameters, int) or parameters < 1:
            raise ConfigError(at=f"{at}.parameters", got=parameters, expected="a positive int")
        self.inputs, self.outputs = inputs, outputs
        self.parameters, self.seed = parameters, seed
        self.model: Model | None = None
        self.history: History | None = None
        self.measured: dict[str, float] = {}
        """What `fit` found on the rows held out, or `evaluate` on others; it goes into the bundle."""
        self._exported: Path | None = None

    @abc.abstractmethod
    def learn(self, train: Pair, held_out: Pair, **options: Any) -> tuple[Model, History | None]:
        """A model trained on `train`; the rows held out say when to stop."""

    # -- the life of a model -----------------------------------------------------------------------------

    def fit(
        self,
        x: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        validation_split: float = 0.15,
        epochs: int = 50,
        batch_size: int | None = None,
        verbose: int | str = "auto",
    ) -> Self:
        """Build the model for these rows and train it, until the rows held out get no better or `epochs` are over.

        Args:
            validation_data: rows held out; a random `validation_split` of the rows if not given, by class for classes.
            batch_size: a hundredth of the rows, from 16 to 256, if not given.

        Raises: DataError and ShapeError for data other than specified, and for one class only; ConfigError if no model
            for this specification has as few `parameters`.
        """
        train = self._pair(x, y)
        counts = np.unique(train[1], return_counts=True)[1] if isinstance(self.outputs, Classes) else None
        if isinstance(self.outputs, Classes) and counts is not None and len(counts) < 2:
            only = self.outputs.labels[int(train[1][0])]
            raise DataError(f"one class only: {only!r} in every row", at="y", fix="Add rows of the other classes.")
        if validation_data is None:
            by = None if counts is None or counts.min() < 2 else train[1]  # a single row goes to either part
            parts = split_indices(len(train[1]), test=validation_split, seed=self.seed, stratify=by)
            train, held_out = ((take_rows(train[0], part), train[1][part]) for part in parts)
        else:
            held_out = self._pair(*validation_data)
        size = batch_size or int(np.clip(2 ** round(np.log2(len(train[1]) / 100)), 16, 256))
        self.model, self.history = self.learn(train, held_out, epochs=epochs, batch_size=size, verbose=verbose)
        self.measured = {f"validation {name}": value for name, value in figures(self._judge(*held_out)).items()}
        self._exported = None
        return self

    def predict(self, x: Any) -> npt.NDArray[Any]:
        """Probabilities (N, classes) in the order of the labels, or numbers (N, count)."""
        answers: npt.NDArray[Any] = self._made("predict").predict(self.inputs.take(x))
        return answers

    def classify(self, x: Any) -> list[str]:
        """The likeliest class of each row, by name."""
        if not isinstance(self.outputs, Classes):
            raise UsageError(
                "it answers with numbers, not classes", at=f"{type(self).__name__}.classify", fix="Call predict(x)."
            )
        return [self.outputs.labels[place] for place in self.predict(x).argmax(1)]

    def evaluate(self, x: Any, y: Any) -> ClassificationResult | RegressionResult:
        """All figures on rows that `fit` did not see; the main ones go into the bundle that `export` writes."""
        self._made("evaluate")
        result = self._judge(*self._pair(x, y))
        self.measured = figures(result)
        return result

    def export(self, path: str | Path, *, overwrite: bool = False) -> Bundle:
        """Write a bundle that takes rows as they are and can be served: see `lepton_ai.export`."""
        labels = list(self.outputs.labels) if isinstance(self.outputs, Classes) else None
        bundle = export(self._made("export"), path, labels=labels, metrics=self.measured, overwrite=overwrite)
        self._exported = Path(path).resolve()
        return bundle

    def serve(self, path: str | Path, *, host: str = "127.0.0.1", port: int = 8080, overwrite: bool = False) -> None:
        """Serve this model until SIGTERM or Ctrl-C, from the bundle at `path`: the one that `export` wrote there after
        the last `fit`, or else it is written now.

        Raises: StorageError if something else is at `path` and not `overwrite`; as `lepton_ai.serve`.
        """
        self._made("serve")
        if self._exported != Path(path).resolve() or not Path(path).exists():
            self.export(path, overwrite=overwrite)
        serve(path, host=host, port=port)

    def summary(self) -> str:
        """Print, and return, the model's layers."""
        return self._made("summary").summary()

    # -- inside ------------------------------------------------------------------------------------------

    def _pair(self, x: Any, y: Any) -> Pair:
        rows, targets = self.inputs.take(x), self.outputs.take(y)
        check_lengths(rows, targets)
        return rows, targets

    def _made(self, verb: str) -> Model:
        if self.model is None:
            raise UsageError(f"{verb} was called before fit", at=type(self).__name__, fix="Call fit(x, y) first.")
        return self.model

    def _judge(self, rows: Any, targets: npt.NDArray[Any]) -> ClassificationResult | RegressionResult:
        return judge(self.outputs, self._made("evaluate").predict(rows), targets)

    def _fits(self, model: Model) -> bool:
        return count_parameters(model)[0] <= self.parameters

    def _too_small(self, smallest: Model) -> ConfigError:
        return ConfigError(
            at=f"{type(self).__name__}.parameters",
            got=self.parameters,
            expected=f"at least {count_parameters(smallest)[0]}, those of the smallest model for this specification",
        )
