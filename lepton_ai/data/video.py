"""A folder of films with one subfolder for each class; animations by Pillow, films by the extra `video`."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageSequence

from lepton_ai.core import ConfigError, DataError, StorageError, load_extra
from lepton_ai.data.folder import ClassFolder, Errors, broken
from lepton_ai.data.images import BROKEN, MODES, as_pair, convert
from lepton_ai.data.images import EXTENSIONS as PICTURES
from lepton_ai.data.remote import Place, folders, local, name_of

ANIMATIONS = frozenset({".apng", ".gif", ".png", ".webp"})
FILMS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
_FRAME = 0.1  # seconds that a frame of an animation lasts which does not say so


class _Film(NamedTuple):
    """Its frames with the second at which each begins, in order, and how long all of them last."""

    frames: Iterator[tuple[float, Image.Image]]
    seconds: float


class VideoFolder(ClassFolder):
    """Films in `path/<class>/<file>`: x is uint8 (B, T, H, W, C), y int64 (B,), the class's place in sorted `labels`.

    A film is a file (MP4, MKV, AVI, ...: needs the extra `video`), an animation (GIF, PNG, WebP), or a folder of
    images, its frames in the order of their names. `frames` are taken from the middles of as many equal parts of the
    film; with `rate`, so many in a second from its beginning on, the last one repeated where the film is shorter. All
    are resized to `size`, (height, width) or one number (bilinear, sides stretched); `channels` is 1, 3 or 4.

    A film that does not decode raises when it is fetched; with `errors="skip"` every one is decoded once at the start,
    and `skipped` lists those left out. Decoded films are kept within `cache_bytes`, an eighth of this machine's
    memory if not given.

    Raises: StorageError if there is no such folder; DataError for no classes, a class without films, a broken film
    (named), a folder of images with `rate`; MissingExtraError.
    """

    noun = "film"

    def __init__(
        self,
        path: Place,
        *,
        size: int | tuple[int, int],
        frames: int = 16,
        rate: float | None = None,
        channels: int = 3,
        errors: Errors = "raise",
        cache_bytes: int | None = None,
    ) -> None:
        if channels not in MODES:
            raise ConfigError(at="VideoFolder.channels", got=channels, expected="1, 3 or 4")
        if isinstance(frames, bool) or not isinstance(frames, int) or frames < 1:
            raise ConfigError(at="VideoFolder.frames", got=frames, expected="a positive int")
        if rate is not None and (isinstance(rate, bool) or not 0 < rate < math.inf):
            raise ConfigError(at="VideoFolder.rate", got=rate, expected="frames in a second, a positive number")
        self.size, self.frames, self.rate, self.channels = as_pair("VideoFolder", size), frames, rate, channels
        super().__init__(path, ANIMATIONS | FILMS, errors, cache_bytes)
        folder = next((file for file in self.files if _kind(file) not in ANIMATIONS | FILMS), None)
        if rate is not None and folder is not None:
            fix = "Leave rate out: frames are then spread evenly."
            raise DataError("a folder of images, which have no times", at=str(folder), fix=fix)
        if errors == "skip":
            self._leave_out(self._decodes)

    @property
    def _row(self) -> tuple[tuple[int, ...], npt.DTypeLike]:
        return (self.frames, *self.size, self.channels), np.uint8

    def _decode(self, file: Place) -> npt.NDArray[np.uint8]:
        kind = _kind(file)
        try:
            if kind in FILMS:
                return self._film(file)
            return self._take(_animation(local(file)) if kind in ANIMATIONS else self._folder(file))
        except (StorageError, DataError):
            raise
        except BROKEN as error:
            raise broken(file, "film", error) from error

    def _decodes(self, file: Place) -> bool:
        try:
            self._decode(file)
        except DataError:
            return False
        return True

    def _film(self, file: Place) -> npt.NDArray[np.uint8]:
        av = load_extra("av", extra="video", purpose=f"decoding {name_of(file)}")
        try:
            with av.open(str(local(file))) as container:
                if not container.streams.video:
                    raise broken(file, "film", "no pictures in it")
                return self._take(_pictures(av, container))
        except av.error.FFmpegError as error:
            raise broken(file, "film", error.strerror or error) from error

    def _folder(self, folder: Place) -> _Film:
        inside = folders(folder)
        files = [] if inside is None else [each for each in inside[1] if _kind(each) in PICTURES]
        return _Film(((float(place), Image.open(local(file))) for place, file in enumerate(files)), float(len(files)))

    def _take(self, film: _Film) -> npt.NDArray[np.uint8]:
        """The frames that are on the screen at the times wanted; only those are converted, and kept."""
        step = film.seconds / self.frames if self.rate is None else 1 / self.rate
        wanted = [(place + 0.5) * step if self.rate is None else place * step for place in range(self.frames)]
        taken = np.empty((self.frames, *self.size, self.channels), np.uint8)
        place, shown = 0, None
        for start, frame in film.frames:
            # A frame is over when the next begins: all times until then are its own.
            while shown is not None and place < self.frames and wanted[place] < start:
                taken[place] = self._picture(shown)
                place += 1
            if shown is not None:
                shown.close()
            shown = frame
            if place == self.frames:
                break
        if shown is None:
            raise ValueError("no frames")
        if place < self.frames:
            taken[place:] = self._picture(shown)
        shown.close()
        return taken

    def _picture(self, frame: Image.Image) -> npt.NDArray[np.uint8]:
        height, width = self.size
        image = convert(frame, MODES[self.channels])
        if image.size != (width, height):
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        return np.asarray(image, np.uint8).reshape(height, width, self.channels)


def _kind(file: Place) -> str:
    return Path(name_of(file)).suffix.lower()


def _animation(path: Path) -> _Film:
    with Image.open(path) as image:
        lasts: list[float] = []
        for frame in ImageSequence.Iterator(image):
            frame.load()  # a file that was cut short tells only when its pixels are read
            lasts.append(float(frame.info.get("duration") or 1000 * _FRAME) / 1000)

    def frames() -> Iterator[tuple[float, Image.Image]]:
        start = 0.0
        with Image.open(path) as image:
            for frame, seconds in zip(ImageSequence.Iterator(image), lasts, strict=True):
                yield start, frame.copy()
                start += seconds

    return _Film(frames(), sum(lasts))


def _pictures(av: Any, container: Any) -> _Film:
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    first = float((stream.start_time or 0) * stream.time_base)

    def frames() -> Iterator[tuple[float, Image.Image]]:
        rate = float(stream.average_rate or 25)
        for place, frame in enumerate(container.decode(stream)):
            yield place / rate if frame.time is None else frame.time - first, frame.to_image()

    if stream.duration is not None:
        seconds = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        seconds = container.duration / av.time_base
    else:  # nobody wrote it down: the film must be seen to know
        times = [time for time, _ in frames()]
        seconds = times[-1] + times[-1] / max(1, len(times) - 1) if times else 0.0
        container.seek(0)
    return _Film(frames(), seconds)
