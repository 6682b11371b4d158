import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError
from lepton_ai.layers import Layer
from tests.contracts.layer import Inputs, LayerContract, noise


class TestFrames(LayerContract):
    any_rank = True

    def make(self) -> Layer:
        return layers.Frames(4, 3, pad_end=True, pad_value=0.5)

    def example(self) -> Inputs:
        return (noise(7, 12, 2),)


class TestSTFTSpectrogram(LayerContract):
    def make(self) -> Layer:
        return layers.STFTSpectrogram(frame_length=12, frame_step=5, padding="same", expand_dims=True)

    def example(self) -> Inputs:
        return (noise(7, 30, 2),)

    def test_weights_follow_from_seed_and_path(self) -> None:
        first, second = self.built(), self.built()
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


class TestMelSpectrogram(LayerContract):
    def make(self) -> Layer:
        return layers.MelSpectrogram(64, 20, 48, num_mel_bins=5, top_db=None)

    def example(self) -> Inputs:
        return (noise(7, 90),)


class TestMFCC(LayerContract):
    def make(self) -> Layer:
        return layers.MFCC(4)

    def example(self) -> Inputs:
        return (noise(7, 9, 3),)


@given(st.integers(1, 30), st.integers(1, 9), st.integers(1, 12), st.booleans())
@settings(max_examples=80, deadline=None)
def test_frames_are_slices(length: int, frame: int, step: int, pad: bool) -> None:
    x = torch.arange(1.0, length + 1)[None]
    layer = layers.Frames(frame, step, pad_end=pad)
    if not pad and length < frame:
        with pytest.raises(ShapeError, match=f"expected at least {frame} samples for a frame"):
            layer(x)
        return
    starts = range(0, length if pad else length - frame + 1, step)
    long = torch.cat((x, torch.zeros(1, frame)), 1)
    wanted = torch.stack([long[:, start : start + frame] for start in starts], 1)
    assert torch.equal(layer(x), wanted)
    assert layer.compute_output_shape((None, length)) == (None, *wanted.shape[1:])
    assert layer.compute_output_shape((None, None)) == (None, None, frame)


@pytest.mark.parametrize(
    ("dtype", "value", "wanted"),
    [(torch.int16, -(2**15), -1.0), (torch.int32, 2**30, 0.5), (torch.uint8, 192, 0.5), (torch.float64, 0.5, 0.5)],
)
def test_pcm_is_scaled(dtype: torch.dtype, value: float, wanted: float) -> None:
    x = torch.full((1, 64), value, dtype=dtype)
    mel = layers.MelSpectrogram(64, 32, num_mel_bins=8, min_freq=0.0, window=None, mag_exp=1.0, power_to_db=False)
    short = layers.STFTSpectrogram("real", 64, window=None, scaling=None)
    if dtype == torch.float64:
        mel.ensure_built((1, 64))
        short.ensure_built((1, 64, 1))
        mel.double(), short.double()
    assert short(x[..., None])[0, 0, 0].item() == pytest.approx(64 * wanted)
    torch.testing.assert_close(mel(x).double(), mel(torch.full_like(x, wanted, dtype=mel.mel.dtype)).double())


def test_a_tone_stands_in_its_band() -> None:
    time = torch.arange(8000) / 8000
    for frequency in (500.0, 1000.0, 3000.0):
        tone = torch.sin(2 * torch.pi * frequency * time)[None]
        power = layers.STFTSpectrogram("psd", 256)(tone[..., None])
        assert int(power.mean(1).argmax()) == round(frequency * 256 / 8000)
        mel = layers.MelSpectrogram(512, 256, sampling_rate=8000, num_mel_bins=40)(tone)
        corners = np.linspace(1127 * np.log1p(20 / 700), 1127 * np.log1p(4000 / 700), 42)
        band = int(np.abs(corners[1:-1] - 1127 * np.log1p(frequency / 700)).argmin())
        assert abs(int(mel.mean(2).argmax()) - band) <= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.int16])
def test_silence_is_finite(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 600, dtype=dtype)
    mel = layers.MelSpectrogram(256, 128, num_mel_bins=8)(x)
    torch.testing.assert_close(mel, torch.full((2, 8, 5), -100.0))
    for mode in ("log", "magnitude", "psd", "angle"):
        assert layers.STFTSpectrogram(mode)(x[..., None]).isfinite().all()
    waves = torch.zeros(1, 300, requires_grad=True)
    for layer in (layers.MelSpectrogram(256, mag_exp=1.0), layers.STFTSpectrogram("log")):
        layer(waves if isinstance(layer, layers.MelSpectrogram) else waves[..., None]).sum().backward()
        assert waves.grad is not None and waves.grad.isfinite().all()


def test_a_sound_does_not_hear_its_neighbours() -> None:
    quiet, loud = noise(1, 600) * 1e-4, noise(1, 600, seed=1)
    layer = layers.MelSpectrogram(256, 128, num_mel_bins=8, top_db=20.0)
    together = layer(torch.cat((quiet, loud)))
    torch.testing.assert_close(together[:1], layer(quiet))
    assert float((together.amax((1, 2)) - together.amin((1, 2))).max()) <= 20.0 + 1e-4


def test_kernels_learn_unless_frozen() -> None:
    layer = layers.STFTSpectrogram("magnitude", 16)
    layer(noise(1, 40, 1)).sum().backward()
    assert layer.real_kernel.grad is not None and layer.imag_kernel.grad is not None
    frozen = layers.STFTSpectrogram("real", 16, trainable=False)
    frozen(noise(1, 40, 1))
    assert [weight.requires_grad for weight in frozen.parameters()] == [False]


def test_shapes_of_all_modes() -> None:
    x = noise(2, 50, 3)
    for mode in ("log", "magnitude", "psd", "real", "imag", "angle", "stft"):
        for expand in (False, True):
            layer = layers.STFTSpectrogram(mode, 10, 4, padding="same", expand_dims=expand)
            assert layer(x).shape == layer.compute_output_shape((2, 50, 3))
            assert layer.compute_output_shape((None, None, 3))[1] is None


def test_coefficients_are_a_cosine_transform() -> None:
    x = noise(2, 9, 4).double()
    layer = layers.MFCC(9)
    layer.ensure_built((None, 9, None))
    np.testing.assert_allclose(layer.double()(x), fft.dct(x.numpy(), axis=1, norm="ortho"), atol=1e-6)


def test_sounds_that_are_too_short() -> None:
    with pytest.raises(
        ShapeError,
        match=r"'spectrum': got an input of shape \(1, 255, 1\), expected at least 256 samples for a frame\. Pad the",
    ):
        layers.STFTSpectrogram(name="spectrum")(torch.zeros(1, 255, 1))
    assert layers.STFTSpectrogram(padding="same")(torch.zeros(1, 5, 1)).shape == (1, 1, 129)
    with pytest.raises(ShapeError, match=r"\(1, 128\), expected at least 129 samples for fft_length / 2 at both ends"):
        layers.MelSpectrogram(256)(torch.zeros(1, 128))
    with pytest.raises(ShapeError, match=r"got an input of shape \(1, 5, 2\), expected at least 13 bands at axis 1"):
        layers.MFCC()(torch.zeros(1, 5, 2))


def test_refused_arguments() -> None:
    with pytest.raises(ConfigError, match=r"Frames\.frame_step: got 0, expected a positive int"):
        layers.Frames(4, 0)
    with pytest.raises(ConfigError, match=r"STFTSpectrogram\.mode: unknown mode 'power'"):
        layers.STFTSpectrogram("power")
    with pytest.raises(ConfigError, match=r"STFTSpectrogram\.frame_step: got 9, expected at most frame_length=8"):
        layers.STFTSpectrogram(frame_length=8, frame_step=9)
    with pytest.raises(ConfigError, match=r"STFTSpectrogram\.fft_length: got 6, expected an even number from 8 on"):
        layers.STFTSpectrogram(frame_length=8, fft_length=6)
    with pytest.raises(ConfigError, match=r"STFTSpectrogram\.window: unknown window 'han'\. Did you mean 'hann'"):
        layers.STFTSpectrogram(window="han")
    with pytest.raises(ConfigError, match=r"MelSpectrogram\.window: got '3 numbers', expected 2048, the length"):
        layers.MelSpectrogram(window=(1.0, 1.0, 1.0))
    with pytest.raises(ConfigError, match=r"sequence_length: got 4096, expected at most fft_length=2048"):
        layers.MelSpectrogram(sequence_length=4096)
    with pytest.raises(ConfigError, match=r"expected min_freq < max_freq, from 0 to 8000 Hz"):
        layers.MelSpectrogram(max_freq=9000.0)
    with pytest.raises(ConfigError, match=r"MelSpectrogram\.min_power: got 0, expected a number above 0"):
        layers.MelSpectrogram(min_power=0)
