"""`lepton predict`."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson

from lepton_ai.bundle import Array, Bundle
from lepton_ai.cli.inputs import read_inputs
from lepton_ai.core import DataError
from lepton_ai.runtime import open_model

ROWS = 256  # answered at once


def predict_files(path: Path, files: list[Path], *, variant: str | None, top: int, as_json: bool) -> str:
    """Answers for every row of `files`: labels with their probabilities, or the numbers that come out.

    As JSON, a line for each row.
    """
    bundle = Bundle.open(path)
    runtime = open_model(bundle, variant)
    inputs, origins = read_inputs(files, runtime.signature, bundle.profile())
    parts = [
        runtime.run({name: rows[start : start + ROWS] for name, rows in inputs.items()})
        for start in range(0, len(origins), ROWS)
    ]
    runtime.close()
    outputs = {each: np.concatenate([part[each] for part in parts]) for each in parts[0]}
    for each, values in outputs.items():
        empty = np.isnan(values).reshape(len(values), -1).any(1) if values.dtype.kind == "f" else np.zeros(0, bool)
        if empty.any():
            row = origins[int(empty.argmax())]
            raise DataError(
                f"{each!r} is NaN for {int(empty.sum())} of {len(values)} rows, the first {row}",
                fix="Fill the gaps in those rows: this model does not take missing values.",
            )
    labels = bundle.manifest.labels if bundle.manifest.task != "regression" else ()
    answers = [{each: values[index] for each, values in outputs.items()} for index in range(len(origins))]
    if as_json:
        return "\n".join(_json(*pair, labels) for pair in zip(origins, answers, strict=True))
    width = max(map(len, origins))
    pairs = zip(origins, answers, strict=True)
    return "\n".join(f"{origin:<{width}}  {_text(answer, labels, top)}" for origin, answer in pairs)


def _json(origin: str, answer: dict[str, Array], labels: tuple[str, ...]) -> str:
    first = next(iter(answer.values()))
    found: dict[str, Any] = {"file": origin, **answer}
    if _is_named(first, labels):
        found["label"] = labels[int(first.argmax())]
    return orjson.dumps(found, option=orjson.OPT_SERIALIZE_NUMPY, default=lambda value: value.tolist()).decode()


def _text(answer: dict[str, Array], labels: tuple[str, ...], top: int) -> str:
    first = next(iter(answer.values()))
    if len(answer) > 1:
        return "  ".join(f"{name}: {_numbers(values)}" for name, values in answer.items())
    if not _is_named(first, labels):
        return _numbers(first)
    shares = bool((first >= 0).all()) and abs(float(first.sum()) - 1) < 1e-3
    best = first.argsort()[::-1][:top]
    return "  ".join(f"{labels[i]} {first[i]:.1%}" if shares else f"{labels[i]} {first[i]:.6g}" for i in best)


def _is_named(values: Array, labels: tuple[str, ...]) -> bool:
    """Whether the numbers are one for each label."""
    return bool(labels) and values.shape == (len(labels),) and bool(np.isfinite(values).all())


def _numbers(values: Array) -> str:
    return "  ".join(f"{value:.6g}" if values.dtype.kind == "f" else str(value) for value in values.reshape(-1))
