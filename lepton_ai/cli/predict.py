"""`lepton predict`."""

from pathlib import Path

import orjson

from lepton_ai.bundle import Array, Bundle
from lepton_ai.cli.inputs import read_rows
from lepton_ai.runtime import open_model


def predict_files(path: Path, files: list[Path], *, variant: str | None, top: int, as_json: bool) -> str:
    """Answers for every row of `files`: labels with their probabilities, or the numbers that come out."""
    bundle = Bundle.open(path)
    manifest = bundle.manifest
    runtime = open_model(bundle, variant)
    rows, origins = read_rows(files, runtime.signature, bundle.profile())
    outputs = runtime.run({runtime.signature.inputs[0].name: rows})
    runtime.close()
    labels = manifest.labels if manifest.task == "classification" else ()
    first = outputs[runtime.signature.outputs[0].name]
    if as_json:
        return "\n".join(
            orjson.dumps(
                {"file": origin, **{name: values[index] for name, values in outputs.items()}}
                | ({"label": labels[int(first[index].argmax())]} if labels and first.ndim == 2 else {}),
                option=orjson.OPT_SERIALIZE_NUMPY,
            ).decode()
            for index, origin in enumerate(origins)
        )
    width = max(map(len, origins))
    return "\n".join(f"{origin:<{width}}  {_answer(first[index], labels, top)}" for index, origin in enumerate(origins))


def _answer(values: Array, labels: tuple[str, ...], top: int) -> str:
    flat = values.reshape(-1)
    if not labels or len(labels) != len(flat):
        return "  ".join(f"{value:.6g}" for value in flat)
    best = flat.argsort()[::-1][:top]
    return "  ".join(f"{labels[int(index)]} {flat[index]:.1%}" for index in best)
