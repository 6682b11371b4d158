"""Images under examination: what each measures, and a small grey copy of it; never all of them at full size."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from PIL import Image, ImageOps

from lepton_ai.cleaning.check import Limits
from lepton_ai.cleaning.columns import Array
from lepton_ai.core import DataError, ShapeError, StorageError

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
SMALL = 32  # pixels a side of the grey copy
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class Measures(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What was measured: `sizes` (N, 2) height and width; `small` (N, 32, 32) uint8; `contrast`, `sharpness`, `noise`
    (N,), in grey levels of 255; `digest` (N,), equal for equal pixels. Those of an image that does not decode are 0."""

    sizes: Array
    small: Array
    contrast: Array
    sharpness: Array
    noise: Array
    digest: Array


class ImageSubject:
    """Images with their classes. `codes` (N,) is each one's place in `labels`, -1 for none; `broken` says of those that
    do not decode why."""

    def __init__(
        self,
        names: tuple[str, ...],
        measures: Measures,
        broken: dict[int, str],
        codes: Array,
        labels: tuple[str, ...],
        *,
        source: str,
        limits: Limits,
    ) -> None:
        self.names, self.measures, self.broken = names, measures, broken
        self.codes, self.labels = codes, labels
        self.source, self.limits = source, limits
        self.against: ImageSubject | None = None
        self.whole = np.array([index not in broken for index in range(len(names))], bool)

    @property
    def rows(self) -> int:
        return len(self.names)

    @classmethod
    def of_folder(cls, path: str | Path, limits: Limits) -> "ImageSubject":
        """The images in `path/<class>/<file>`, or without classes in `path/<file>`.

        Raises: StorageError if there is no such folder; DataError if there are no images in it.
        """
        names, codes, labels = cls.files_of(path)
        measures, broken = _measured((_open(Path(path) / name) for name in names), len(names))
        return cls(names, measures, broken, codes, labels, source=Path(path).name, limits=limits)

    @staticmethod
    def files_of(path: str | Path) -> tuple[tuple[str, ...], Array, tuple[str, ...]]:
        """The images' paths inside a folder, each one's place (N,) among the classes, and those; as `of_folder`."""
        path = Path(path)
        if not path.is_dir():
            raise StorageError("no such folder", at=str(path))
        folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
        files = [(file, -1) for file in _images(path)]
        files += [(file, code) for code, folder in enumerate(folders) for file in _images(folder)]
        if not files:
            raise DataError(
                "no images", at=str(path), fix="Give a folder that holds one folder of images for each class."
            )
        names = tuple(file.relative_to(path).as_posix() for file, _ in files)
        return names, np.array([code for _, code in files], np.int64), tuple(folder.name for folder in folders)

    @classmethod
    def of_arrays(cls, images: Any, target: Any, limits: Limits) -> "ImageSubject":
        """The images (N, H, W) or (N, H, W, C), uint8 or numbers from 0 to their largest.

        Raises: ShapeError for other shapes, or targets that are not (N,).
        """
        pixels = np.asarray(images)
        if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] not in (1, 3, 4)) or not pixels.size:
            raise ShapeError(
                at="images", got=pixels.shape, expected="(N, H, W) or (N, H, W, C) with 1, 3 or 4 channels"
            )
        top = 255.0 if pixels.dtype == np.uint8 else float(np.nanmax(pixels)) or 1.0
        labels, codes = np.zeros(0, str), np.full(len(pixels), -1, np.int64)
        if target is not None:
            found = np.asarray(target)
            if found.shape != (len(pixels),):
                raise ShapeError(at="target", got=found.shape, expected=f"({len(pixels)},), one label for each image")
            labels, codes = np.unique(found.astype(str), return_inverse=True)
        grey = (_grey(np.nan_to_num(image.astype(np.float32)) * (255.0 / top)) for image in pixels)
        measures, broken = _measured(grey, len(pixels))
        names = tuple(f"#{index}" for index in range(len(pixels)))
        return cls(names, measures, broken, codes, tuple(labels.tolist()), source="images", limits=limits)


def _images(folder: Path) -> list[Path]:
    found = (each for each in folder.iterdir() if each.suffix.lower() in EXTENSIONS and not each.name.startswith("."))
    return sorted(each for each in found if each.is_file())


def _open(file: Path) -> Array | str:
    """The grey pixels (H, W) of a file, or why it does not decode."""
    try:
        with Image.open(file) as opened:
            image = ImageOps.exif_transpose(opened)
            if image.mode.startswith("I"):
                return np.asarray(image).astype(np.float32) / 257
            return np.asarray(image.convert("L"), np.float32)
    except _BROKEN as error:
        return str(error) or type(error).__name__


def _grey(image: Array) -> Array:
    if image.ndim == 2:
        return image
    colours: Array = image[..., :3] if image.shape[2] >= 3 else image[..., :1]
    return np.asarray(colours @ (np.array([0.299, 0.587, 0.114]) if colours.shape[2] == 3 else np.ones(1)), np.float32)


def _measured(images: Iterator[Array | str], number: int) -> tuple[Measures, dict[int, str]]:
    broken: dict[int, str] = {}
    sizes, small = np.zeros((number, 2), np.int64), np.zeros((number, SMALL, SMALL), np.uint8)
    contrast, sharpness, noise = (np.zeros(number) for _ in range(3))
    digest = np.zeros(number, np.uint64)
    for index, grey in enumerate(images):
        if isinstance(grey, str):
            broken[index] = grey
            continue
        sizes[index] = grey.shape
        contrast[index] = grey.std()
        sharpness[index], noise[index] = _edges(grey)
        levels = grey.round().clip(0, 255).astype(np.uint8)
        pixels = hashlib.blake2b(repr(grey.shape).encode() + levels.tobytes(), digest_size=8).digest()
        digest[index] = int.from_bytes(pixels, "little")
        small[index] = np.asarray(Image.fromarray(levels).resize((SMALL, SMALL), Image.Resampling.BOX))
    return Measures(
        sizes=sizes, small=small, contrast=contrast, sharpness=sharpness, noise=noise, digest=digest
    ), broken


def _edges(grey: Array) -> tuple[float, float]:
    """How sharp the edges are for the image's contrast (mean square of the Laplacian over the variance), and how much
    noise there is, in grey levels.

    Noise: Immerkær, Fast Noise Variance Estimation, 1996.
    """
    if min(grey.shape) < 3:
        return 0.0, 0.0
    middle = grey[1:-1, 1:-1]
    cross = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    corners = grey[:-2, :-2] + grey[:-2, 2:] + grey[2:, :-2] + grey[2:, 2:]
    laplacian, second = cross - 4 * middle, corners - 2 * cross + 4 * middle
    return float((laplacian**2).mean() / (grey.var() + 1.0)), float(np.abs(second).mean() * np.sqrt(np.pi / 2) / 6)
