"""Files as the inputs of a model, without torch: images, arrays and tables."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from lepton_ai.bundle import Array, Profile, Signature, TensorSpec, numpy_dtype
from lepton_ai.core import DataError, ShapeError, StorageError, UsageError, unknown_name

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


def read_rows(files: list[Path], signature: Signature, profile: Profile | None) -> tuple[Array, list[str]]:
    """The rows in `files` as one array for the model's input, and where each came from.

    Raises: StorageError, DataError, ShapeError naming the file.
    """
    if len(signature.inputs) != 1:
        names = [spec.name for spec in signature.inputs]
        raise UsageError(f"this model takes {len(names)} inputs {names}", fix="Use lepton_ai.open_model from Python.")
    spec = signature.inputs[0]
    parts, origins = [], []
    for file in files:
        rows = _read(file, spec, profile)
        parts.append(rows)
        origins += [str(file)] if len(rows) == 1 else [f"{file}[{index}]" for index in range(len(rows))]
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise ShapeError(f"files of different shapes {sorted(shapes)}", fix="Predict them one by one.")
    return np.concatenate(parts), origins


def _read(file: Path, spec: TensorSpec, profile: Profile | None) -> Array:
    if not file.is_file():
        raise StorageError("no such file", at=str(file))
    suffix = file.suffix.lower()
    if suffix in IMAGES:
        return _image(file, spec)
    if suffix == ".npy":
        try:
            array = np.load(file, allow_pickle=False)
        except ValueError as error:
            raise DataError(f"is not a plain array ({error})", at=str(file)) from error
        array = array if array.ndim == len(spec.shape) else array[None]
        return np.ascontiguousarray(array, numpy_dtype(spec.dtype))
    if suffix == ".csv":
        return _table(file, spec, profile)
    raise DataError(f"files ending in {suffix!r} are not read", at=str(file), fix="Give images, .npy or .csv files.")


def _image(file: Path, spec: TensorSpec) -> Array:
    if len(spec.shape) != 4 or spec.shape[3] not in (1, 3):
        raise ShapeError(f"the model takes {spec.shape}, not images", at=str(file))
    try:
        with Image.open(file) as image:
            picture = image.convert("L" if spec.shape[3] == 1 else "RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise DataError(f"does not decode as an image ({error})", at=str(file)) from error
    height, width = spec.shape[1:3]
    if -1 not in (height, width) and picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, np.uint8).reshape(1, picture.height, picture.width, spec.shape[3])
    return pixels.astype(numpy_dtype(spec.dtype))


def _table(file: Path, spec: TensorSpec, profile: Profile | None) -> Array:
    with file.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.reader(lines))
    if len(rows) < 2 or len(spec.shape) != 2:
        raise DataError("expected a header and rows of numbers for a model of tables", at=str(file))
    header, rows = rows[0], rows[1:]
    names = [feature.name for feature in profile.inputs.get(spec.name, ())] if profile is not None else []
    wanted = names if set(names) & set(header) else header
    missing = [name for name in wanted if name not in header]
    if missing:
        raise unknown_name("column", missing[0], header, at=str(file))
    places = [header.index(name) for name in wanted]
    if len(places) != spec.shape[1] and spec.shape[1] != -1:
        raise ShapeError(at=str(file), got=len(places), expected=f"{spec.shape[1]} columns")
    values = np.empty((len(rows), len(places)), numpy_dtype(spec.dtype))
    for at, row in enumerate(rows):
        for to, place in enumerate(places):
            text = row[place].strip() if place < len(row) else ""
            try:
                values[at, to] = float(text) if text else np.nan
            except ValueError as error:
                name = header[place]
                raise DataError(
                    f"row {at + 1}, column {name!r}", at=str(file), got=text, expected="a number"
                ) from error
    return values
