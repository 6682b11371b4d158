"""A folder of sounds with one subfolder for each class; WAV files by numpy, others by the extra `audio`."""

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import ConfigError, DataError, ShapeError, StorageError, load_extra
from lepton_ai.data.folder import ClassFolder, Errors, broken, in_threads
from lepton_ai.data.remote import Place, local, name_of

EXTENSIONS = frozenset({".aif", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"})
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN = 0xFFFFFFFF  # as length: whoever wrote the header did not know yet
_BLOCK = 1 << 16  # samples decoded at a time
_FASTEST = 1_000_000  # samples in a second that are believed
_CROSSINGS, _BETA = 32, 9.0  # of the resampler's kernel: zero crossings on each side, and Kaiser's beta


class AudioFolder(ClassFolder):
    """Sounds in `path/<class>/<file>`: x is float32 (B, T), or (B, T, C) for several `channels`, between -1 and 1; y is
    int64 (B,), the class's place in sorted `labels`.

    `path` may be an address that fsspec knows. Sounds are brought to `sample_rate` (per second; windowed-sinc, with
    nothing above half the lower rate) and to `seconds`: the end is cut off, or silence added. Without them all files
    must have one rate and one length. One channel is the mean of those that there are; several must be there.

    WAV files (8, 16, 24, 32 bits, floats) need nothing else; FLAC, Ogg, MP3 and AIFF need the extra `audio`. A file
    that does not decode raises when it is fetched; with `errors="skip"` every file is decoded once at the start, and
    `skipped` lists those left out. Decoded sounds are kept within `cache_bytes`, an eighth of this
    machine's memory if not given.

    Raises: StorageError if there is no such folder; DataError for no classes, a class without sounds, a broken file
    (named); ShapeError for rates or lengths that differ, where none is given.
    """

    noun = "sound"

    def __init__(
        self,
        path: Place,
        *,
        sample_rate: int | None = None,
        seconds: float | None = None,
        channels: int = 1,
        errors: Errors = "raise",
        cache_bytes: int | None = None,
    ) -> None:
        for name, value in (("sample_rate", sample_rate), ("seconds", seconds), ("channels", channels)):
            if value is not None and (isinstance(value, bool) or not 0 < value < math.inf):
                raise ConfigError(at=f"AudioFolder.{name}", got=value, expected="a positive number")
        super().__init__(path, EXTENSIONS, errors, cache_bytes)
        self.channels = channels
        if errors == "skip":
            self._leave_out(_decodes)
        if sample_rate is None or seconds is None:
            rate, length = self._common(sample_rate, seconds)
        self.sample_rate = rate if sample_rate is None else sample_rate
        self.length = length if seconds is None else max(1, round(seconds * self.sample_rate))

    @property
    def _row(self) -> tuple[tuple[int, ...], npt.DTypeLike]:
        return (self.length,) if self.channels == 1 else (self.length, self.channels), np.float32

    def _decode(self, file: Place) -> npt.NDArray[np.float32]:
        sound, rate = read_sound(file)
        if self.channels > 1 and sound.shape[1] != self.channels:
            what = f"{sound.shape[1]} channel{'s' if sound.shape[1] > 1 else ''}"
            raise DataError(what, at=str(file), expected=f"{self.channels}", fix="Leave channels out for their mean.")
        if self.channels == 1:
            sound = sound.mean(axis=1, keepdims=True)
        if rate != self.sample_rate:
            # What lies beyond the length, but for the kernel's reach, is not worth computing.
            needed = math.ceil((self.length + 1) * rate / self.sample_rate) + _reach(rate, self.sample_rate)
            sound = resample(sound[:needed], rate, self.sample_rate)
        row = np.zeros((self.length, self.channels), np.float32)
        row[: len(sound)] = sound[: self.length]
        return row[:, 0] if self.channels == 1 else row

    def _common(self, sample_rate: int | None, seconds: float | None) -> tuple[int, int]:
        """The rate and the length that all files share, of those that are not given."""
        facts = in_threads(_facts, self.files)
        length, rate = facts[0]
        for file, (other, its) in zip(self.files, facts, strict=True):
            first = name_of(self.files[0])
            if sample_rate is None and its != rate:
                what = f"sounds of different rates: {first} has {rate}, {name_of(file)} has {its} samples a second"
                raise ShapeError(what, at=str(file), fix="Pass sample_rate to bring them to one rate.")
            if seconds is None and other * rate != length * its:
                what = f"sounds of different lengths: {first} has {length} samples, {name_of(file)} has {other}"
                raise ShapeError(what, at=str(file), fix="Pass seconds to cut or pad them to one length.")
        return rate, length if sample_rate is None else math.ceil(length * sample_rate / rate)


def read_sound(file: Place) -> tuple[npt.NDArray[np.float32], int]:
    """Samples (T, channels) between -1 and 1, and how many there are in a second.

    Raises: DataError naming a file that does not decode; MissingExtraError for other formats than WAV.
    """
    path = local(file)
    try:
        content = path.read_bytes()
        if content[:4] == b"RIFF":
            return _wav(content)
        if path.suffix.lower() == ".wav":
            raise ValueError("a WAV file begins with RIFF")
        return _other(path, name_of(file))
    except (ValueError, struct.error) as error:
        raise broken(file, "sound", error) from error


def resample(sound: npt.NDArray[Any], rate: int, to: int) -> npt.NDArray[np.float32]:
    """(T, channels) at `rate` to (ceil(T * to / rate), channels) at `to`, by a Kaiser-windowed sinc of 32 zero
    crossings on each side; silence is assumed around.

    Example:
        >>> resample(np.ones((4, 1)), 1, 2).shape
        (8, 1)
    """
    divisor = math.gcd(rate, to)
    up, down = to // divisor, rate // divisor
    reach, cutoff = _reach(rate, to), min(1.0, to / rate)
    padded = np.pad(sound, ((reach, reach + 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1, axis=0)
    result = np.empty((-(-len(sound) * up // down), sound.shape[1]), np.float32)
    offsets = np.arange(-reach, reach + 1)
    for phase in range(min(up, len(result))):  # outputs `up` apart lie alike between their inputs: one kernel for all
        first, part = divmod(phase * down, up)
        times = (offsets - part / up) * cutoff
        window = np.i0(_BETA * np.sqrt(np.maximum(0, 1 - (times / _CROSSINGS) ** 2)))
        kernel = np.sinc(times) * window * (np.abs(times) <= _CROSSINGS)
        count = len(result[phase::up])
        result[phase::up] = windows[first::down][:count] @ (kernel / kernel.sum())
    return result


def _reach(rate: int, to: int) -> int:
    """Samples on each side that one output is made of."""
    return math.ceil(_CROSSINGS / min(1.0, to / rate)) + 1


def _wav(content: bytes) -> tuple[npt.NDArray[np.float32], int]:
    """The samples of a RIFF WAVE file, as Microsoft and IBM laid it out in 1991, and since with floats."""
    if content[8:12] != b"WAVE":
        raise ValueError("RIFF, but not WAVE")
    described: tuple[int, int, int, int] | None = None
    at = 12
    while at + 8 <= len(content):
        name, size = content[at : at + 4], struct.unpack_from("<I", content, at + 4)[0]
        at += 8
        if name == b"fmt ":
            code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content, at)
            if code == _EXTENSIBLE:
                code = struct.unpack_from("<H", content, at + 24)[0]
            described = code, channels, rate, bits
        elif name == b"data":
            if described is None:
                raise ValueError("samples before their description")
            if size not in (0, _UNKNOWN) and at + size > len(content):
                raise ValueError(f"cut short: {len(content) - at} of {size} bytes of samples")
            return _samples(content[at:] if size == _UNKNOWN else content[at : at + size], *described), described[2]
        at += size + size % 2
    raise ValueError("cut short: no samples")


def _samples(data: bytes, code: int, channels: int, rate: int, bits: int) -> npt.NDArray[np.float32]:
    if channels == 0 or not 0 < rate <= _FASTEST:
        raise ValueError(f"{channels} channels, {rate} samples a second")
    known = {
        (_PCM, 8): "u1",
        (_PCM, 16): "<i2",
        (_PCM, 24): "u1",
        (_PCM, 32): "<i4",
        (_FLOAT, 32): "<f4",
        (_FLOAT, 64): "<f8",
    }
    if (code, bits) not in known:
        raise ValueError(f"format {code} with {bits} bits, which is neither PCM nor float")
    width = bits // 8 * channels
    values = np.frombuffer(data[: len(data) // width * width], known[code, bits])
    if len(values) == 0:
        raise ValueError("no samples")
    if (code, bits) == (_PCM, 24):  # as the upper three bytes of 32 bits, which keeps the sign
        wide = np.zeros((len(values) // 3, 4), np.uint8)
        wide[:, 1:] = values.reshape(-1, 3)
        values, bits = wide.view("<i4")[:, 0], 32
    if (code, bits) == (_PCM, 8):
        floats = (values.astype(np.float32) - 128) / 128
    else:
        floats = values.astype(np.float32) if code == _FLOAT else (values / 2.0 ** (bits - 1)).astype(np.float32)
    if not np.isfinite(floats).all():
        raise ValueError("samples that are not finite")
    return np.asarray(floats.reshape(-1, channels), np.float32)


def _other(path: Path, name: str) -> tuple[npt.NDArray[np.float32], int]:
    soundfile = load_extra("soundfile", extra="audio", purpose=f"decoding {name}")
    try:
        with soundfile.SoundFile(path) as file:
            blocks = [file.read(_BLOCK, dtype="float32", always_2d=True)]
            while len(blocks[-1]) == _BLOCK:  # by blocks: a damaged header may promise terabytes
                blocks.append(file.read(_BLOCK, dtype="float32", always_2d=True))
            samples, rate = np.concatenate(blocks), file.samplerate
    except soundfile.LibsndfileError as error:
        raise ValueError(str(error).partition(": ")[2] or str(error)) from error
    if len(samples) == 0:
        raise ValueError("no samples")
    return samples, int(rate)


def _facts(file: Place) -> tuple[int, int]:
    sound, rate = read_sound(file)
    return len(sound), rate


def _decodes(file: Place) -> bool:
    try:
        read_sound(file)
    except StorageError:  # a store that does not answer makes no sound a broken one
        raise
    except DataError:
        return False
    return True
