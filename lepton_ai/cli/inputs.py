"""Files as the inputs of a model, without torch: images, arrays, tables and texts."""

import csv
import math
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from lepton_ai.bundle import Array, Profile, Signature, TensorSpec, numpy_dtype
from lepton_ai.core import DataError, ShapeError, StorageError, UsageError, unknown_name

IMAGES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What Pillow raises on damaged files; DecompressionBombError is an Exception of its own kind.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


def read_inputs(files: list[Path], signature: Signature, profile: Profile | None) -> tuple[dict[str, Array], list[str]]:
    """The rows in `files` for every input of the model, and where each came from.

    One input is read by `read_rows`; several are columns of tables (.csv), found by the inputs' names.

    Raises: as `read_rows`; UnknownNameError for an input without a column.
    """
    if len(signature.inputs) == 1 or not all(_is_column(spec) for spec in signature.inputs):
        rows, origins = read_rows(files, signature, profile)
        return {signature.inputs[0].name: rows}, origins
    parts: list[dict[str, Array]] = []
    origins = []
    for file in files:
        _check_file(file)
        if file.suffix.lower() != ".csv":
            raise DataError("is no table", at=str(file), fix="Give .csv files with a column for each input.")
        header, rows_of = _csv(file)
        parts.append({spec.name: _column(file, header, rows_of, spec.name, spec) for spec in signature.inputs})
        origins += _origins(file, len(rows_of))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, origins


def read_rows(files: list[Path], signature: Signature, profile: Profile | None) -> tuple[Array, list[str]]:
    """The rows in `files` as one array for the model's input, and where each came from.

    Images are brought to the model's size and colours, as `ImageFolder` does it. A table's columns are found by the
    names that the training data had; a model of texts takes the lines of .txt files, or one column of a table.

    Raises: StorageError, DataError, ShapeError naming the file; UsageError for a model of several inputs.
    """
    if len(signature.inputs) != 1:
        names = [spec.name for spec in signature.inputs]
        fix = "Use lepton_ai.open_model from Python."
        raise UsageError(f"this model takes {len(names)} inputs {names}, not all of one column", fix=fix)
    spec = signature.inputs[0]
    parts, origins = [], []
    for file in files:
        rows = _read(file, spec, profile)
        _check_shape(file, rows, spec)
        parts.append(rows)
        origins += _origins(file, len(rows))
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) > 1:
        raise ShapeError(f"files of different shapes {sorted(shapes)}", fix="Predict them one by one.")
    return np.concatenate(parts), origins


def _read(file: Path, spec: TensorSpec, profile: Profile | None) -> Array:
    _check_file(file)
    suffix = file.suffix.lower()
    try:
        if spec.dtype == "BYTES" and suffix in (".txt", ".csv"):
            return _texts(file, spec)
        if suffix in IMAGES:
            return _image(file, spec, profile)
        if suffix == ".npy":
            return _array(file, spec)
        if suffix == ".csv":
            return _table(file, spec, profile)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(f"cannot be read ({error.strerror or error})", at=str(file)) from error
    raise DataError(f"files ending in {suffix!r} are not read", at=str(file), fix="Give images, .npy or .csv files.")


def _check_file(file: Path) -> None:
    if not file.is_file():
        raise StorageError("is a folder" if file.is_dir() else "no such file", at=str(file))


def _origins(file: Path, rows: int) -> list[str]:
    return [str(file)] if rows == 1 else [f"{file}[{index}]" for index in range(rows)]


def _check_shape(file: Path, rows: Array, spec: TensorSpec) -> None:
    if rows.ndim != len(spec.shape) or any(
        want not in (-1, got) for want, got in zip(spec.shape[1:], rows.shape[1:], strict=True)
    ):
        sizes = ", ".join("any" if size == -1 else str(size) for size in spec.shape)
        raise ShapeError(at=str(file), got=rows.shape, expected=f"({sizes}), the first for the rows")
    if len(rows) == 0:
        raise DataError("holds no rows", at=str(file))


def _exactly(file: Path, values: Array, spec: TensorSpec) -> Array:
    """`values` in the model's type.

    Raises: DataError if that would change them by more than rounding.
    """
    dtype = numpy_dtype(spec.dtype)
    with np.errstate(invalid="ignore", over="ignore"):
        try:
            cast = np.ascontiguousarray(values, dtype)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"holds {values.dtype}", at=str(file), expected=f"{spec.dtype} as the model takes"
            ) from error
    if dtype.kind != "f" and values.dtype != dtype and not np.array_equal(cast, values):
        wrong = values[cast != values].flat[0]
        raise DataError(f"holds {wrong}", at=str(file), expected=f"{spec.dtype} as the model takes")
    return cast


# -- arrays ----------------------------------------------------------------------------------------------


def _array(file: Path, spec: TensorSpec) -> Array:
    try:
        array = np.load(file, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise DataError(f"is not a plain array ({error})", at=str(file)) from error
    if not isinstance(array, np.ndarray):
        raise DataError("holds several arrays", at=str(file), fix="Save one: numpy.save(file, array).")
    return _exactly(file, array[None] if array.ndim == len(spec.shape) - 1 else array, spec)


# -- images ----------------------------------------------------------------------------------------------


def _image(file: Path, spec: TensorSpec, profile: Profile | None) -> Array:
    if len(spec.shape) != 4 or spec.shape[3] not in _MODES:
        sizes = ", ".join("any" if size == -1 else str(size) for size in spec.shape)
        raise ShapeError(f"an image, but the model takes ({sizes})", at=str(file), fix="Give a .npy file.")
    scale = _scale(file, spec, profile)
    try:
        with Image.open(file) as opened:
            picture = _convert(ImageOps.exif_transpose(opened), _MODES[spec.shape[3]])
    except _BROKEN as error:
        raise DataError(f"does not decode as an image ({error})", at=str(file)) from error
    height, width = spec.shape[1:3]
    size = (picture.width if width == -1 else width, picture.height if height == -1 else height)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    pixels = np.asarray(picture, np.uint8).reshape(1, picture.height, picture.width, spec.shape[3])
    return pixels if scale is None else (pixels * scale).astype(numpy_dtype(spec.dtype))


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _scale(file: Path, spec: TensorSpec, profile: Profile | None) -> float | None:
    """What to multiply the pixels by for a model of floats, read off the data that it was trained on."""
    if spec.dtype == "UINT8":
        return None
    known = profile.inputs.get(spec.name, ()) if profile is not None and not profile.generated else ()
    if known and known[0].quantiles and known[0].quantiles[0] >= 0:
        most = known[0].quantiles[-1]
        if 0 < most <= 1:
            return 1 / 255
        if 1 < most <= 255:
            return 1.0
    raise DataError(
        f"the model takes {spec.dtype} pixels on a scale that is not known",
        at=str(file),
        fix="Give them as .npy, or let the model start with Rescaling(1 / 255) on uint8 images.",
    )


# -- texts -----------------------------------------------------------------------------------------------


def _texts(file: Path, spec: TensorSpec) -> Array:
    if not _is_column(spec):
        raise ShapeError("texts, but the model takes several for each row", at=str(file), fix="Give a .npy file.")
    if file.suffix.lower() == ".csv":
        header, rows = _csv(file)
        return _column(file, header, rows, header[0] if len(header) == 1 else spec.name, spec)
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"is not text in UTF-8 ({error})", at=str(file)) from error
    return _objects(lines).reshape(-1, *spec.shape[1:])


def _objects(texts: list[str]) -> Array:
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


# -- tables ----------------------------------------------------------------------------------------------


def _table(file: Path, spec: TensorSpec, profile: Profile | None) -> Array:
    if len(spec.shape) != 2:
        sizes = ", ".join("any" if size == -1 else str(size) for size in spec.shape)
        raise ShapeError(f"a table, but the model takes ({sizes})", at=str(file), fix="Give a .npy file.")
    header, rows = _csv(file)
    wanted = _columns(file, header, spec, profile)
    places = [header.index(name) for name in wanted]
    values = np.empty((len(rows), len(places)))
    for number, row in enumerate(rows, start=1):
        values[number - 1] = [_number(file, number, header[place], row[place].strip()) for place in places]
    return _exactly(file, values, spec)


def _csv(file: Path) -> tuple[list[str], list[list[str]]]:
    """The names of the columns, and the rows, each with a cell for every one of them."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = [row for row in csv.reader(lines) if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"is not a table in UTF-8 ({error})", at=str(file)) from error
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror or error})", at=str(file)) from error
    if len(rows) < 2:
        raise DataError("expected a line of column names and lines of numbers", at=str(file))
    header, rows = [name.strip() for name in rows[0]], rows[1:]
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise DataError(f"row {number} has {len(row)} cells", at=str(file), expected=f"{len(header)} as the header")
    return header, rows


def _column(file: Path, header: list[str], rows: list[list[str]], name: str, spec: TensorSpec) -> Array:
    """One column for an input that is one."""
    if name not in header:
        raise unknown_name("column", name, header, at=f"{file} lacks an input of the model")
    if header.count(name) > 1:
        raise DataError(f"two columns are called {name!r}", at=str(file))
    place = header.index(name)
    if spec.dtype == "BYTES":
        values = _objects([row[place] for row in rows])
    else:
        numbers = [_number(file, number, name, row[place].strip()) for number, row in enumerate(rows, start=1)]
        values = _exactly(file, np.array(numbers), spec)
    return values.reshape(-1, *spec.shape[1:])


def _is_column(spec: TensorSpec) -> bool:
    """Whether an input holds one value for each row."""
    return spec.shape in ((-1,), (-1, 1))


def _columns(file: Path, header: list[str], spec: TensorSpec, profile: Profile | None) -> list[str]:
    """The names of the columns to read, in the model's order."""
    if all(_is_number(name) for name in header):
        raise DataError("the first line holds numbers", at=str(file), expected="the names of the columns")
    known = [feature.name for feature in profile.inputs.get(spec.name, ())] if profile is not None else []
    unnamed = known == [f"x{index}" for index in range(len(known))] and not set(known) & set(header)
    wanted = header if unnamed else known
    for name in wanted:
        if name not in header:
            raise unknown_name("column", name, header, at=f"{file} lacks a column of the training data")
        if header.count(name) > 1:
            raise DataError(f"two columns are called {name!r}", at=str(file))
    if spec.shape[1] not in (-1, len(wanted)):
        raise ShapeError(at=str(file), got=len(wanted), expected=f"{spec.shape[1]} columns")
    return wanted


def _number(file: Path, row: int, column: str, text: str) -> float:
    if text and not _is_number(text):
        raise DataError(f"row {row}, column {column!r}", at=str(file), got=text, expected="a number")
    return float(text) if text else math.nan


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
