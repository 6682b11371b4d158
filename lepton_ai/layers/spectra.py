"""The arithmetic of sound: waveforms to frames, and the matrices from frames to spectra."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lepton_ai.core import ConfigError
from lepton_ai.layers.arguments import one_of
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.sizes import larger

Array = npt.NDArray[Any]
Window = str | Sequence[float] | None

_WINDOWS = {"hann": np.hanning, "hamming": np.hamming, "blackman": np.blackman, "bartlett": np.bartlett}
_PCM = {torch.uint8: 2.0**7, torch.int16: 2.0**15, torch.int32: 2.0**31}


def as_waveform(x: Tensor, like: Tensor) -> Tensor:
    """Floats as they are; PCM, whole numbers of 8 (unsigned), 16 or 32 bits, scaled to -1 to 1, of `like`'s dtype."""
    if x.dtype not in _PCM:
        return as_float(x, like)
    scaled = x.to(like.dtype) / _PCM[x.dtype]
    return scaled - 1 if x.dtype == torch.uint8 else scaled


def whole_frames(samples: int, length: int, step: int) -> int:
    """How many frames there are; at least one, which a graph cannot find in a shorter sound, and fails."""
    return larger(1, (samples - length) // step + 1)


def framed(x: Tensor, count: int, step: int, length: int) -> Tensor:
    """`count` frames of (B, T, ...), each `step` after the last: (B, count, length, ...)."""
    starts = torch.arange(count, device=x.device) * step
    return x[:, starts[:, None] + torch.arange(length, device=x.device)]


def checked_window(at: str, window: Window, length: int) -> Window:
    """A window by name, or `length` numbers, or None.

    Raises: ConfigError.
    """
    if window is None or isinstance(window, str):
        return None if window is None else one_of(at, window, tuple(_WINDOWS))
    numbers = tuple(float(each) for each in window)
    if len(numbers) != length:
        raise ConfigError(at=at, got=f"{len(numbers)} numbers", expected=f"{length}, the length of a frame")
    return numbers


def window_of(window: Window, length: int, *, periodic: bool) -> Array:
    """The window's numbers."""
    if not isinstance(window, str):
        return np.ones(length) if window is None else np.asarray(window, np.float64)
    shape = _WINDOWS[window]
    return np.asarray(shape(length + 1)[:-1] if periodic else shape(length), np.float64)


def fourier(window: Array, fft_length: int) -> tuple[Array, Array]:
    """The real and the imaginary part of the transform behind a window, (samples, fft_length / 2 + 1) each."""
    # Whole turns are taken off while they are whole numbers, which keeps the angles exact.
    turns = np.outer(np.arange(len(window)), np.arange(fft_length // 2 + 1)) % fft_length
    angles = 2 * np.pi * turns / fft_length
    sine = np.where(2 * turns % fft_length, np.sin(angles), 0.0)  # half a turn is no angle at all
    return np.cos(angles) * window[:, None], -sine * window[:, None]


def mel_bands(bins: int, bands: int, rate: int, edges: tuple[float, float]) -> Array:
    """Triangles on the mel scale, 1127 * log(1 + f / 700), with peaks of 1: (bins, bands). Without 0 Hz."""

    def mel(frequency: Any) -> Array:
        return np.asarray(1127.0 * np.log1p(np.asarray(frequency, np.float64) / 700.0))

    places = mel(np.linspace(0, rate / 2, bins))[:, None]
    corners = np.linspace(mel(edges[0]), mel(edges[1]), bands + 2)
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    weights = np.maximum(0, np.minimum((places - low) / (peak - low), (high - places) / (high - peak)))
    weights[0] = 0
    return weights
