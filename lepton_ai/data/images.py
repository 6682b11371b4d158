"""A folder of images with one subfolder for each class."""

import struct

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from lepton_ai.core import ConfigError, ShapeError, StorageError
from lepton_ai.data.folder import ClassFolder, Errors, broken
from lepton_ai.data.remote import Place, local, name_of

EXTENSIONS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# What Pillow raises on damaged files; DecompressionBombError is an Exception of its own kind.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    struct.error,
    Image.DecompressionBombError,
)


class ImageFolder(ClassFolder):
    """Images in `path/<class>/<file>`: x is uint8 (B, H, W, C), y int64 (B,), the class's place in sorted `labels`.

    `path` may be an address that fsspec knows. `size` is (height, width), or one number for a square: images are
    resized to it (bilinear, sides stretched). Without it all images must have one size. `channels` is 1 (grey), 3
    (colour) or 4 (with opacity). Turned photographs are set upright. A file that does not decode raises when it is
    fetched; with `errors="skip"` every file is decoded once at the start, and `skipped` lists those left out. Decoded
    images are kept within `cache_bytes`, an eighth of this machine's memory if not given; the loader
    decodes two batches ahead.

    Raises: StorageError if there is no such folder; DataError for no classes, a class without images, a broken
    image (named); ShapeError for images of different sizes without `size`.
    """

    noun = "image"

    def __init__(
        self,
        path: Place,
        *,
        size: int | tuple[int, int] | None = None,
        channels: int = 3,
        errors: Errors = "raise",
        cache_bytes: int | None = None,
    ) -> None:
        if channels not in MODES:
            raise ConfigError(at="ImageFolder.channels", got=channels, expected="1, 3 or 4")
        self.channels = channels
        super().__init__(path, EXTENSIONS, errors, cache_bytes)
        if errors == "skip":
            self._leave_out(_decodes)
        self.size = _one_size(self.files) if size is None else as_pair("ImageFolder", size)

    @property
    def _row(self) -> tuple[tuple[int, ...], npt.DTypeLike]:
        return (*self.size, self.channels), np.uint8

    def _decode(self, file: Place) -> npt.NDArray[np.uint8]:
        try:
            with Image.open(local(file)) as opened:
                image = convert(ImageOps.exif_transpose(opened), MODES[self.channels])
        except StorageError:
            raise
        except BROKEN as error:
            raise broken(file, "image", error) from error
        height, width = self.size
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image, np.uint8).reshape(height, width, self.channels)


def convert(image: Image.Image, mode: str) -> Image.Image:
    """In `mode`, 16 bits scaled to 8."""
    if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow would clip at 255
        image = Image.fromarray((np.asarray(image).clip(0, 65535).astype(np.uint16) >> 8).astype(np.uint8))
    elif image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    return image.convert(mode)


def _decodes(file: Place) -> bool:
    try:
        with Image.open(local(file)) as image:
            image.load()
    except StorageError:  # a store that does not answer makes no image a broken one
        raise
    except BROKEN:
        return False
    return True


def _one_size(files: tuple[Place, ...]) -> tuple[int, int]:
    """Height and width that all images share, read from their headers."""
    first: tuple[int, int] | None = None
    for file in files:
        try:
            with Image.open(local(file)) as image:
                turned = image.getexif().get(0x0112, 1) >= 5  # EXIF orientation: quarter turns
                size = (image.width, image.height) if turned else (image.height, image.width)
        except StorageError:
            raise
        except BROKEN as error:
            raise broken(file, "image", error) from error
        first = first or size
        if size != first:
            raise ShapeError(
                f"images of different sizes: {name_of(files[0])} is {first}, {name_of(file)} is {size} (height, width)",
                at=str(file),
                fix="Pass size=(height, width) to bring them to one size.",
            )
    assert first is not None, "a class folder without images was let through"
    return first


def as_pair(at: str, size: int | tuple[int, int]) -> tuple[int, int]:
    """(height, width) from either form.

    Raises: ConfigError unless both are positive ints.
    """
    pair = (size, size) if isinstance(size, int) else tuple(size)
    if len(pair) != 2 or not all(isinstance(side, int) and side > 0 for side in pair):
        raise ConfigError(at=f"{at}.size", got=size, expected="(height, width), two positive ints")
    return pair[0], pair[1]
