import struct
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError, MissingExtraError, ShapeError, StorageError
from lepton_ai.data import AudioFolder, Loader, Schema, build_profile
from lepton_ai.data.audio import read_sound, resample

TONE = np.sin(np.arange(800) * 2 * np.pi * 440 / 8000)


def riff(samples: bytes, *, code: int = 1, channels: int = 1, rate: int = 8000, bits: int = 16) -> bytes:
    described = struct.pack(
        "<HHIIHH", code, channels, rate, rate * channels * bits // 8 % 2**32, channels * bits // 8, bits
    )
    body = b"fmt " + struct.pack("<I", len(described)) + described
    body += b"LIST" + struct.pack("<I", 3) + b"odd\0"  # an unknown part of odd length, with its padding
    body += b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body


def save(path: Path, sound: Any = TONE, rate: int = 8000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.asarray(sound)
    with wave.open(str(path), "wb") as file:
        file.setparams((1 if sound.ndim == 1 else sound.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes((sound * 32767).round().astype("<i2").tobytes())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "high" / "b.wav", TONE[::-1])
    save(tmp_path / "high" / "a.WAV", TONE)
    save(tmp_path / "low" / "c.wav", TONE / 2)
    return tmp_path


def test_sounds_come_in_sorted_order(folder: Path) -> None:
    source = AudioFolder(folder)
    assert (source.labels, source.sample_rate, source.length) == (("high", "low"), 8000, 800)
    x, y, weight = source.fetch(torch.tensor([2, 0]))
    assert x.shape == (2, 800) and x.dtype == torch.float32 and y.tolist() == [1, 0] and weight is None
    np.testing.assert_allclose(x[1], TONE, atol=1e-4)
    assert source.y_all.tolist() == [0, 0, 1] and source.x_all is None
    assert Schema.of(source).inputs[0].shape == (800,)
    assert build_profile(source).rows == 3
    assert len(list(Loader(source, 2, shuffle=True).epoch(0))) == 2


def test_length_and_rate_are_made_one(folder: Path) -> None:
    save(folder / "low" / "d.wav", np.sin(np.arange(3200) * 2 * np.pi * 440 / 16000), rate=16000)
    with pytest.raises(
        ShapeError, match=r"different rates: a\.WAV has 8000, d\.wav has 16000 samples a second.*sample_rate"
    ):
        AudioFolder(folder)
    with pytest.raises(ShapeError, match=r"different lengths: a\.WAV has 800 samples, d\.wav has 3200\. Pass seconds"):
        AudioFolder(folder, sample_rate=8000)
    source = AudioFolder(folder, sample_rate=8000, seconds=0.15)
    x = source.fetch(torch.arange(4))[0]
    assert x.shape == (4, 1200)
    np.testing.assert_allclose(x[3, 100:1100], np.sin(np.arange(1200) * 2 * np.pi * 440 / 8000)[100:1100], atol=2e-3)
    assert x[0, 800:].abs().max() == 0 and x[0, :800].abs().max() > 0.9


@pytest.mark.parametrize(
    ("code", "bits", "dtype", "scale", "error"),
    [
        (1, 8, "u1", 127, 0.013),
        (1, 16, "<i2", 2**15 - 1, 1e-4),
        (1, 32, "<i4", 2**31 - 1, 1e-6),
        (3, 32, "<f4", 1, 1e-6),
        (3, 64, "<f8", 1, 1e-6),
    ],
)
def test_wav_of_all_widths(tmp_path: Path, code: int, bits: int, dtype: str, scale: float, error: float) -> None:
    values = (TONE * scale + (128 if bits == 8 else 0)).round() if code == 1 else TONE
    (tmp_path / "a.wav").write_bytes(riff(values.astype(dtype).tobytes(), code=code, bits=bits))
    sound, rate = read_sound(tmp_path / "a.wav")
    assert rate == 8000 and sound.shape == (800, 1) and sound.dtype == np.float32
    np.testing.assert_allclose(sound[:, 0], TONE, atol=error)


def test_wav_of_24_bits_and_two_channels(tmp_path: Path) -> None:
    values = np.array([[1, -1], [2**23 - 1, -(2**23)]], "<i4")
    content = values.reshape(-1, 1).view(np.uint8)[:, :3].tobytes()
    (tmp_path / "k").mkdir()
    (tmp_path / "k" / "a.wav").write_bytes(riff(content, bits=24, channels=2))
    np.testing.assert_allclose(read_sound(tmp_path / "k" / "a.wav")[0] * 2**23, values)
    assert AudioFolder(tmp_path, channels=2).fetch(torch.tensor([0]))[0].shape == (1, 2, 2)
    np.testing.assert_allclose(AudioFolder(tmp_path).fetch(torch.tensor([0]))[0], [[0, -(2**-24)]], atol=1e-9)
    with pytest.raises(DataError, match=r"a\.wav: 2 channels, expected 3\. Leave channels out for their mean"):
        AudioFolder(tmp_path, channels=3).fetch(torch.tensor([0]))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "a WAV file begins with RIFF"),
        (b"RIFF\0\0\0\0AVI ", "RIFF, but not WAVE"),
        (riff(TONE.astype("<f4").tobytes())[:400], "cut short: 344 of 3200 bytes of samples"),
        (riff(b"")[:30], "unpack_from requires"),
        (riff(b"")[:44], "cut short: no samples"),
        (riff(b""), "no samples"),
        (riff(b"1234", code=7), "format 7 with 16 bits, which is neither PCM nor float"),
        (riff(b"1234", rate=2**31 - 1), "1 channels, 2147483647 samples a second"),
        (riff(b"1234", channels=0), "0 channels, 8000 samples a second"),
        (riff(np.array([np.nan], "<f4").tobytes(), code=3, bits=32), "samples that are not finite"),
    ],
)
def test_files_that_do_not_decode_are_named_or_left_out(folder: Path, content: bytes, text: str) -> None:
    (folder / "low" / "z.wav").write_bytes(content)
    with pytest.raises(DataError, match=rf"z\.wav: the sound does not decode \(.*{text}.*errors=\"skip\""):
        AudioFolder(folder, sample_rate=8000, seconds=0.1).fetch(torch.tensor([3]))
    source = AudioFolder(folder, errors="skip")
    assert [Path(file).name for file in source.skipped] == ["z.wav"] and len(source) == 3


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 60))
def test_bytes_of_any_kind_decode_or_are_refused(noise: bytes, at: int) -> None:
    content = bytearray(riff(TONE[:8].astype("<f4").tobytes(), code=3, bits=32))
    content[at : at + len(noise)] = noise
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        path.write_bytes(bytes(content))
        try:
            sound, rate = read_sound(path)
        except DataError:
            return
    assert sound.ndim == 2 and len(sound) > 0 and rate > 0 and bool(np.isfinite(sound).all())


@pytest.mark.parametrize(("rate", "to"), [(44100, 16000), (16000, 44100), (8000, 16000), (48000, 8000), (11025, 8000)])
def test_resampling_keeps_what_both_rates_can_hold(rate: int, to: int) -> None:
    low = min(rate, to)
    seconds = np.arange(rate // 4) / rate
    expected = np.sin(2 * np.pi * 0.2 * low * np.arange(to // 4) / to)
    kept = resample(np.sin(2 * np.pi * 0.2 * low * seconds)[:, None], rate, to)
    assert kept.shape == (-(-len(seconds) * to // rate), 1)
    inner = slice(to // 20, -to // 20)
    np.testing.assert_allclose(kept[: len(expected), 0][inner], expected[inner], atol=1e-3)
    np.testing.assert_allclose(resample(np.ones((rate // 4, 1)), rate, to)[inner], 1, atol=1e-5)
    if to < rate:  # what would fold back is gone
        gone = resample(np.sin(2 * np.pi * 0.6 * to * seconds)[:, None], rate, to)
        assert np.abs(gone[inner]).max() < 1e-3


def test_other_formats_come_through_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    soundfile = pytest.importorskip("soundfile")
    (tmp_path / "k").mkdir()
    soundfile.write(tmp_path / "k" / "a.flac", TONE, 8000)
    soundfile.write(tmp_path / "k" / "b.ogg", TONE, 8000)
    source = AudioFolder(tmp_path)
    np.testing.assert_allclose(source.fetch(torch.tensor([0]))[0][0], TONE, atol=1e-4)
    (tmp_path / "k" / "c.flac").write_bytes(b"fLaC, but no more")
    with pytest.raises(DataError, match=r"c\.flac: the sound does not decode"):
        AudioFolder(tmp_path)

    def absent(module: str, *, extra: str, purpose: str) -> Any:
        raise MissingExtraError(f"{purpose}: {module} from {extra}")

    monkeypatch.setattr("lepton_ai.data.audio.load_extra", absent)
    with pytest.raises(MissingExtraError, match=r"decoding a\.flac: soundfile from audio"):
        AudioFolder(tmp_path, errors="skip")


def test_settings_and_folders(folder: Path) -> None:
    for name, value in {"sample_rate": 0, "seconds": -1.0, "channels": True}.items():
        with pytest.raises(ConfigError, match=f"AudioFolder.{name}: got {value}, expected a positive number"):
            AudioFolder(folder, **{name: value})  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="no such folder"):
        AudioFolder(folder / "none")
    with pytest.raises(DataError, match=r"3 sounds but no class folders|no class folders"):
        AudioFolder(folder / "high")


def test_decoded_sounds_are_kept_within_a_bound(folder: Path) -> None:
    source = AudioFolder(folder, cache_bytes=2 * 800 * 4)
    for _ in range(3):
        source.fetch(torch.tensor([0, 1]))
    assert (source.cache.hits, source.cache.misses) == (4, 2)
    source.fetch(torch.arange(3))
    assert source.cache.peak == source.cache.max_bytes
