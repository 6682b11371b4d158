"""Sound as frames and spectra, by fixed matrices, so that a graph takes the waveform itself.

Waveforms come as floats, or as PCM of 8 (unsigned), 16 or 32 bits, which is scaled to -1 to 1.
"""

import math
from typing import Any, Unpack

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers.arguments import channels_last, one_of, positive_int
from lepton_ai.layers.dtypes import as_float
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.shapes import Shape, show
from lepton_ai.layers.sizes import larger
from lepton_ai.layers.spectra import (
    Window,
    as_waveform,
    checked_window,
    fourier,
    framed,
    mel_bands,
    whole_frames,
    window_of,
)

_SMALLEST = 1e-7  # Keras' epsilon: silence has a logarithm too


class Frames(Layer):
    """Series cut into frames that overlap where `frame_step` is less than `frame_length`.

    Shapes: `(B, T, ...)` in, `(B, frames, frame_length, ...)` out, as floats of the same range. T may be free.

    Args:
        frame_step: from the start of one frame to the next; half a frame if not given.
        pad_end: begin a frame at every step up to the end and fill up what is beyond it; else only whole frames count.
        pad_value: what fills it up.

    Raises: ConfigError for impossible settings; ShapeError for series shorter than a frame, unless `pad_end`.

    Example:
        >>> Frames(3, 2)(torch.arange(6.0)[None])
        tensor([[[0., 1., 2.],
                 [2., 3., 4.]]])
    """

    min_ndim = 2

    def __init__(
        self,
        frame_length: int,
        frame_step: int | None = None,
        pad_end: bool = False,
        pad_value: float = 0.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.frame_length = positive_int("Frames.frame_length", frame_length)
        self.frame_step = None if frame_step is None else positive_int("Frames.frame_step", frame_step)
        self.pad_end = pad_end
        self.pad_value = pad_value

    @property
    def step(self) -> int:
        """From the start of one frame to the next."""
        return self.frame_step or max(1, self.frame_length // 2)

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)

    def call(self, x: Tensor) -> Tensor:
        self.compute_output_shape(tuple(x.shape))
        x = as_float(x)
        if self.pad_end:
            count = (x.shape[1] + self.step - 1) // self.step
            beyond = larger(0, (count - 1) * self.step + self.frame_length - x.shape[1])
            x = F.pad(x, (*(0, 0) * (x.ndim - 2), 0, beyond), value=self.pad_value)
        else:
            count = whole_frames(x.shape[1], self.frame_length, self.step)
        return framed(x, count, self.step, self.frame_length)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        length = input_shape[1]
        frames = None
        if isinstance(length, int):  # a size that is traced is no int
            if not self.pad_end:
                _long_enough(self.label, input_shape, self.frame_length)
            rest = self.step - 1 if self.pad_end else self.step - self.frame_length
            frames = (length + rest) // self.step
        return (input_shape[0], frames, self.frame_length, *input_shape[2:])


class STFTSpectrogram(Layer):
    """The short-time Fourier transform of each channel: how much of each frequency there is, frame by frame.

    The matrices are weights, as in Keras, and so learn from there; `trainable=False` keeps the transform as it is.

    Shapes: `(B, T, C)` in, `(B, frames, C * F)` out with F = fft_length / 2 + 1 (twice that for "stft"), or
    `(B, frames, F, C)` with `expand_dims`. T may be free.

    Args:
        mode: "log" (of the magnitude), "magnitude", "psd" (the power, of both signs of a frequency), "real", "imag",
            "angle" or "stft" (real, then imaginary).
        frame_step: from the start of one frame to the next; half a frame if not given.
        fft_length: at least `frame_length`; the next power of 2 if not given.
        window: "hann", "hamming", "blackman", "bartlett", numbers of the frame's length, or None for a flat one.
        periodic: the window as of a cycle, without its last point.
        scaling: "density", "spectrum" or None: divide by the window's norm, its sum, or nothing.
        padding: "valid" takes whole frames only; "same" puts zeros on both ends.

    Raises: ConfigError for impossible settings; ShapeError for sounds shorter than a frame with "valid".

    Example:
        >>> STFTSpectrogram("magnitude", frame_length=64)(torch.zeros(1, 256, 1)).shape
        torch.Size([1, 7, 33])
    """

    ndim = 3
    real_kernel: nn.Parameter
    imag_kernel: nn.Parameter

    def __init__(
        self,
        mode: str = "log",
        frame_length: int = 256,
        frame_step: int | None = None,
        fft_length: int | None = None,
        window: Window = "hann",
        periodic: bool = False,
        scaling: str | None = "density",
        padding: str = "valid",
        expand_dims: bool = False,
        data_format: str | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = "STFTSpectrogram"
        self.mode = one_of(f"{at}.mode", mode, ("log", "magnitude", "psd", "real", "imag", "angle", "stft"))
        self.frame_length = positive_int(f"{at}.frame_length", frame_length)
        if frame_step is not None and not 1 <= positive_int(f"{at}.frame_step", frame_step) <= frame_length:
            raise ConfigError(at=f"{at}.frame_step", got=frame_step, expected=f"at most frame_length={frame_length}")
        self.frame_step = frame_step
        if fft_length is not None and (fft_length < frame_length or fft_length % 2):
            raise ConfigError(at=f"{at}.fft_length", got=fft_length, expected=f"an even number from {frame_length} on")
        self.fft_length = fft_length
        self.window = checked_window(f"{at}.window", window, frame_length)
        self.periodic = periodic
        self.scaling = None if scaling is None else one_of(f"{at}.scaling", scaling, ("density", "spectrum"))
        self.padding = one_of(f"{at}.padding", padding, ("valid", "same"))
        self.expand_dims = expand_dims
        channels_last(f"{at}.data_format", data_format)
        self.data_format = data_format
        self._step = frame_step or max(1, frame_length // 2)
        self._bins = (fft_length or max(2, 2 ** math.ceil(math.log2(frame_length)))) // 2 + 1

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)
        window = window_of(self.window, self.frame_length, periodic=self.periodic)
        if self.window is not None and self.scaling is not None:
            window = window / (np.sqrt(np.square(window).sum()) if self.scaling == "density" else np.abs(window).sum())
        for name, kernel in zip(("real_kernel", "imag_kernel"), fourier(window, 2 * self._bins - 2), strict=True):
            if self.mode != {"real_kernel": "imag", "imag_kernel": "real"}[name]:
                value = torch.tensor(kernel[:, None], dtype=torch.get_default_dtype())
                self.register_parameter(name, nn.Parameter(value, requires_grad=self._trainable))

    def call(self, x: Tensor) -> Tensor:
        self.compute_output_shape(tuple(x.shape))
        waves = as_waveform(x, next(self.parameters())).transpose(1, 2)
        length = waves.shape[2]
        if self.padding == "same":
            count = (length + self._step - 1) // self._step
            total = larger(0, (count - 1) * self._step + self.frame_length - length)
            waves = F.pad(waves, (total // 2, total - total // 2))
        else:
            count = whole_frames(length, self.frame_length, self._step)
        frames = framed(waves.flatten(0, 1), count, self._step, self.frame_length)
        spectra = self._spectra(frames)
        spectra = spectra.view(-1, x.shape[2], *spectra.shape[1:])  # (B, C, frames, F)
        if self.expand_dims:
            return spectra.permute(0, 2, 3, 1)
        return spectra.transpose(1, 2).flatten(2)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        batch, length, channels = input_shape
        frames = None
        if isinstance(length, int):  # a size that is traced is no int
            if self.padding == "valid":
                _long_enough(self.label, input_shape, self.frame_length)
            rest = self._step - (1 if self.padding == "same" else self.frame_length)
            frames = (length + rest) // self._step if self.padding == "valid" else -(-length // self._step)
        bins = self._bins * (2 if self.mode == "stft" else 1)
        if self.expand_dims:
            return (batch, frames, bins, channels)
        return (batch, frames, None if channels is None else channels * bins)

    def _spectra(self, frames: Tensor) -> Tensor:
        real, imag = (
            frames @ kernel[:, 0] if (kernel := getattr(self, name, None)) is not None else frames
            for name in ("real_kernel", "imag_kernel")
        )
        if self.mode in ("real", "imag"):
            return real if self.mode == "real" else imag
        if self.mode == "stft":
            return torch.cat((real, imag), -1)
        if self.mode == "angle":
            # Graphs have no such operator, and what stands for it loses half a turn where there is no imaginary part.
            flat = imag == 0
            straight = torch.where(real < 0, torch.pi, 0.0).to(real.dtype)
            return torch.where(flat, straight, torch.atan2(torch.where(flat, 1.0, imag), real))
        power = real.square() + imag.square()
        if self.mode == "psd":
            return power + F.pad(power[..., 1:-1], (1, 1))
        magnitude = power.clamp(min=_SMALLEST).sqrt()
        return magnitude if self.mode == "magnitude" else magnitude.clamp(min=_SMALLEST).log()


class MelSpectrogram(Layer):
    """How loud a sound is in bands as wide as ears hear them, frame by frame.

    Frames are centred on their time, the ends mirrored. Loudness is cut `top_db` below the loudest place of each
    sound; Keras takes that of the whole batch, which would make answers depend on their neighbours.

    Shapes: `(B, T)` in, `(B, num_mel_bins, T // sequence_stride + 1)` out. T may be free.

    Args:
        fft_length, sequence_stride, sequence_length: samples of the transform, from frame to frame, and of the window
            (as many as of the transform if not given).
        window: "hann", "hamming", "blackman", "bartlett", numbers of the window's length, or None for a flat one.
        sampling_rate: samples in a second.
        num_mel_bins, min_freq, max_freq: how many bands, from where to where in Hz; up to half the rate if not given.
        power_to_db: in decibels over `ref_power`.
        top_db: how far below the loudest; None for as far as it goes.
        mag_exp: 1 for magnitudes, 2 for powers.
        min_power: what counts as silence.

    Raises: ConfigError for impossible settings; ShapeError for sounds of at most `fft_length / 2` samples.

    Example:
        >>> MelSpectrogram(512, 128, num_mel_bins=40)(torch.zeros(1, 16000, dtype=torch.int16)).shape
        torch.Size([1, 40, 126])
    """

    ndim = 2
    cosine: Tensor
    sine: Tensor
    mel: Tensor

    def __init__(
        self,
        fft_length: int = 2048,
        sequence_stride: int = 512,
        sequence_length: int | None = None,
        window: Window = "hann",
        sampling_rate: int = 16000,
        num_mel_bins: int = 128,
        min_freq: float = 20.0,
        max_freq: float | None = None,
        power_to_db: bool = True,
        top_db: float | None = 80.0,
        mag_exp: float = 2.0,
        min_power: float = 1e-10,
        ref_power: float = 1.0,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        at = "MelSpectrogram"
        self.fft_length = positive_int(f"{at}.fft_length", fft_length)
        self.sequence_stride = positive_int(f"{at}.sequence_stride", sequence_stride)
        if sequence_length is not None and positive_int(f"{at}.sequence_length", sequence_length) > fft_length:
            raise ConfigError(
                at=f"{at}.sequence_length", got=sequence_length, expected=f"at most fft_length={fft_length}"
            )
        self.sequence_length = sequence_length
        self.window = checked_window(f"{at}.window", window, sequence_length or fft_length)
        self.sampling_rate = positive_int(f"{at}.sampling_rate", sampling_rate)
        self.num_mel_bins = positive_int(f"{at}.num_mel_bins", num_mel_bins)
        if not 0 <= min_freq < (max_freq or sampling_rate / 2) <= sampling_rate / 2:
            raise ConfigError(
                at=at, got=(min_freq, max_freq), expected=f"min_freq < max_freq, from 0 to {sampling_rate / 2:g} Hz"
            )
        self.min_freq, self.max_freq = min_freq, max_freq
        self.power_to_db, self.top_db, self.mag_exp = power_to_db, top_db, mag_exp
        if not min_power > 0:
            raise ConfigError(at=f"{at}.min_power", got=min_power, expected="a number above 0")
        self.min_power, self.ref_power = min_power, ref_power

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)
        length = self.sequence_length or self.fft_length
        before = (self.fft_length - length) // 2
        window = np.zeros(self.fft_length)
        window[before : before + length] = window_of(self.window, length, periodic=True)
        cosine, sine = fourier(window, self.fft_length)
        mel = mel_bands(
            cosine.shape[1],
            self.num_mel_bins,
            self.sampling_rate,
            (self.min_freq, self.max_freq or int(self.sampling_rate / 2)),
        )
        for name, value in (("cosine", cosine), ("sine", sine), ("mel", mel)):
            self.register_buffer(name, torch.tensor(value, dtype=torch.get_default_dtype()), persistent=False)

    def call(self, x: Tensor) -> Tensor:
        self.compute_output_shape(tuple(x.shape))
        half = self.fft_length // 2
        waves = F.pad(as_waveform(x, self.mel), (half, half), mode="reflect")
        frames = framed(waves, x.shape[1] // self.sequence_stride + 1, self.sequence_stride, self.fft_length)
        power = (frames @ self.cosine).square() + (frames @ self.sine).square()
        if self.mag_exp != 2:
            power = power.clamp(min=1e-30) ** (self.mag_exp / 2)  # a root of 0 has no gradient
        spectra = (power @ self.mel).transpose(1, 2)
        return self._decibels(spectra) if self.power_to_db else spectra

    def compute_output_shape(self, input_shape: Any) -> Shape:
        batch, length = input_shape
        if not isinstance(length, int):  # free, or traced
            return (batch, self.num_mel_bins, None)
        _long_enough(self.label, input_shape, self.fft_length // 2 + 1, "samples for fft_length / 2 at both ends")
        return (batch, self.num_mel_bins, length // self.sequence_stride + 1)

    def _decibels(self, spectra: Tensor) -> Tensor:
        loudness = 10 * spectra.clamp(min=self.min_power).log10()
        loudness = loudness - 10 * math.log10(max(abs(self.ref_power), self.min_power))
        if self.top_db is None:
            return loudness
        return torch.maximum(loudness, loudness.amax((1, 2), keepdim=True) - self.top_db)


class MFCC(Layer):
    """The cepstral coefficients of spectrograms in decibels: the slow part of how loudness goes over the bands.

    Davis and Mermelstein, 1980: the orthonormal cosine transform (DCT-II) along the bands, of which the first few stay.

    Shapes: `(B, num_mel_bins, frames)`, as `MelSpectrogram` gives it, in; `(B, num_coefficients, frames)` out.

    Raises: ConfigError if `num_coefficients` is no positive int; ShapeError if there are fewer bands.

    Example:
        >>> MFCC(13)(MelSpectrogram(512, 128, num_mel_bins=40)(torch.zeros(1, 16000))).shape
        torch.Size([1, 13, 126])
    """

    ndim = 3
    fixed_axes = (1,)
    cosine: Tensor

    def __init__(self, num_coefficients: int = 13, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.num_coefficients = positive_int("MFCC.num_coefficients", num_coefficients)

    def build(self, input_shape: Any) -> None:
        self.compute_output_shape(input_shape)
        bands = input_shape[1]
        order, place = np.arange(self.num_coefficients)[:, None], np.arange(bands)
        matrix = np.cos(np.pi * order * (2 * place + 1) / (2 * bands)) * np.sqrt(2 / bands)
        matrix[0] /= np.sqrt(2)
        self.register_buffer("cosine", torch.tensor(matrix, dtype=torch.get_default_dtype()), persistent=False)

    def call(self, x: Tensor) -> Tensor:
        x = as_float(x)
        return self.cosine.to(x.dtype) @ x

    def compute_output_shape(self, input_shape: Any) -> Shape:
        bands = input_shape[1]
        if bands is None or bands < self.num_coefficients:
            raise ShapeError(
                f"got an input of shape {show(input_shape)}, expected at least {self.num_coefficients} bands at axis 1",
                at=self.label,
            )
        return (input_shape[0], self.num_coefficients, input_shape[2])


def _long_enough(at: str, shape: Shape, least: int, what: str = "samples for a frame") -> None:
    length = shape[1]
    if length is not None and length < least:
        fix = "Pad the sound with zeros at its end."
        message = f"got an input of shape {show(shape)}, expected at least {least} {what}"
        raise ShapeError(message, at=at, fix=fix)
