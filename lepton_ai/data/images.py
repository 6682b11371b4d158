"""A folder of images with one subfolder for each class."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from lepton_ai.core import ConfigError, DataError, ShapeError, StorageError
from lepton_ai.data.source import Indexed

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What Pillow raises on damaged files; DecompressionBombError is an Exception of its own kind.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError)


class ImageFolder(Indexed):
    """Images in `path/<class>/<file>`: x is uint8 (B, H, W, C), y int64 (B,), the class's place in sorted `labels`.

    `size` is (height, width), or one number for a square: images are resized to it (bilinear, sides stretched).
    Without it all images must have one size. `channels` is 1 (grey), 3 (colour) or 4 (with opacity). Turned photographs
    are set upright. A file that does not decode raises when it is fetched; with `errors="skip"` every file is decoded
    once at the start, and `skipped` lists those left out.

    Raises: StorageError if there is no such folder; DataError for no classes, a class without images, a broken
    image (named); ShapeError for images of different sizes without `size`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        size: int | tuple[int, int] | None = None,
        channels: int = 3,
        errors: Literal["raise", "skip"] = "raise",
    ) -> None:
        if channels not in _MODES:
            raise ConfigError(at="ImageFolder.channels", got=channels, expected="1, 3 or 4")
        if errors not in ("raise", "skip"):
            raise ConfigError(at="ImageFolder.errors", got=errors, expected="'raise' or 'skip'")
        self.path = Path(path)
        self.channels = channels
        self.labels, files, classes = _scan(self.path)
        self.skipped: tuple[Path, ...] = ()
        if errors == "skip":
            whole = [_decodes(file) for file in files]
            self.skipped = tuple(file for file, good in zip(files, whole, strict=True) if not good)
            classes = [label for label, good in zip(classes, whole, strict=True) if good]
            files = [file for file, good in zip(files, whole, strict=True) if good]
            if not files:
                raise DataError(f"none of {len(self.skipped)} images decodes", at=str(self.path))
        self.files = tuple(files)
        self._y = torch.tensor(classes, dtype=torch.int64)
        self.size = _one_size(self.files) if size is None else _pair(size)

    def __len__(self) -> int:
        return len(self.files)

    def fetch(self, indices: Tensor) -> tuple[Tensor, Tensor, None]:
        batch = np.empty((len(indices), *self.size, self.channels), np.uint8)
        for row, index in enumerate(indices.tolist()):
            batch[row] = self._decode(self.files[index])
        return torch.from_numpy(batch), self._y[indices], None

    @property
    def y_all(self) -> Any:
        return self._y

    def _decode(self, file: Path) -> npt.NDArray[np.uint8]:
        try:
            with Image.open(file) as opened:
                image = _convert(ImageOps.exif_transpose(opened), _MODES[self.channels])
        except _BROKEN as error:
            raise _broken(file, error) from error
        height, width = self.size
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image, np.uint8).reshape(height, width, self.channels)


def _scan(path: Path) -> tuple[tuple[str, ...], list[Path], list[int]]:
    """Class names, files and each file's class, all in sorted order."""
    if not path.is_dir():
        raise StorageError("no such folder", at=str(path), fix="Give the folder that holds one subfolder per class.")
    folders = sorted(each for each in path.iterdir() if each.is_dir() and not each.name.startswith("."))
    if not folders:
        loose = len(_images(path))
        what = f"{loose} images but no class folders" if loose else "no class folders"
        raise DataError(what, at=str(path), fix="Put the images into one folder per class: path/cat/1.png.")
    files: list[Path] = []
    classes: list[int] = []
    for label, folder in enumerate(folders):
        found = _images(folder)
        if not found:
            nested = sorted(each.name for each in folder.iterdir() if each.is_dir())
            fix = f"It holds folders ({', '.join(nested[:3])}): did you mean {str(folder)!r}?" if nested else ""
            raise DataError(f"class {folder.name!r} has no images", at=str(path), fix=fix or "Add some or remove it.")
        files += found
        classes += [label] * len(found)
    return tuple(folder.name for folder in folders), files, classes


def _images(folder: Path) -> list[Path]:
    found = (each for each in folder.iterdir() if each.suffix.lower() in EXTENSIONS and not each.name.startswith("."))
    return sorted(each for each in found if each.is_file())


def _convert(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _decodes(file: Path) -> bool:
    try:
        with Image.open(file) as image:
            image.load()
    except _BROKEN:
        return False
    return True


def _one_size(files: tuple[Path, ...]) -> tuple[int, int]:
    """Height and width that all images share, read from their headers."""
    first: tuple[int, int] | None = None
    for file in files:
        try:
            with Image.open(file) as image:
                turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientation: quarter turns
                size = (image.width, image.height) if turned else (image.height, image.width)
        except _BROKEN as error:
            raise _broken(file, error) from error
        first = first or size
        if size != first:
            raise ShapeError(
                f"images of different sizes: {files[0].name} is {first}, {file.name} is {size} (height, width)",
                at=str(file),
                fix="Pass size=(height, width) to bring them to one size.",
            )
    assert first is not None, "a class folder without images was let through"
    return first


def _pair(size: int | tuple[int, int]) -> tuple[int, int]:
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ConfigError(at="ImageFolder.size", got=size, expected="(height, width), two positive ints")
    return pair[0], pair[1]


def _broken(file: Path, error: BaseException) -> DataError:
    fix = 'Remove the file, or pass errors="skip" to leave such files out.'
    return DataError(f"the image does not decode ({error})", at=str(file), fix=fix)
