"""Every source by index under the one contract."""

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.utils.data import TensorDataset

from lepton_ai.data import (
    Arrays,
    AudioFolder,
    ImageFolder,
    Indexed,
    Subset,
    TorchDataset,
    VideoFolder,
    from_huggingface,
    read_csv,
    read_parquet,
)
from tests.contracts.source import SourceContract

FRAME = pd.DataFrame(
    {
        "a": [1.0, None, 3, 4, 5, 6, 7],
        "c": ["u", "v", None, "u", "w", "v", "u"],
        "y": ["n", "y", "n", "y", "n", "y", "y"],
    }
)


def shade(value: int, size: int = 6) -> Image.Image:
    return Image.fromarray(np.random.default_rng(value).integers(0, 255, (size, size, 3), dtype=np.uint8))


def spread(folder: Path, ending: str) -> list[Path]:
    for name in ("cat", "dog"):
        (folder / name).mkdir()
    return [folder / ("cat", "dog")[place % 2] / f"{place}.{ending}" for place in range(5)]


class TestArrays(SourceContract):
    def make(self, folder: Path) -> Indexed:
        return Arrays(np.arange(10.0).reshape(5, 2), [0, 1, 0, 2, 1], np.arange(5.0))


class TestSubset(SourceContract):
    def make(self, folder: Path) -> Indexed:
        return Subset(Arrays(np.arange(20.0).reshape(10, 2), np.arange(10)), [9, 0, 4, 5, 7])


class TestTorchDataset(SourceContract):
    def make(self, folder: Path) -> Indexed:
        return TorchDataset(TensorDataset(torch.arange(10.0).reshape(5, 2), torch.arange(5)))


class TestParquetTable(SourceContract):
    def make(self, folder: Path) -> Indexed:
        FRAME.to_parquet(folder / "a.parquet", row_group_size=2)
        return read_parquet(folder / "a.parquet", "y", in_memory=False, cache_bytes=70)


class TestDiskTable(SourceContract):
    def make(self, folder: Path) -> Indexed:
        FRAME.to_csv(folder / "a.csv", index=False)
        return read_csv(folder / "a.csv", "y", cache=folder / "cache")


class TestImageFolder(SourceContract):
    def make(self, folder: Path) -> Indexed:
        for place, path in enumerate(spread(folder, "png")):
            shade(place).save(path)
        return ImageFolder(folder, cache_bytes=250)


class TestVideoFolder(SourceContract):
    def make(self, folder: Path) -> Indexed:
        for place, path in enumerate(spread(folder, "gif")):
            shade(place).save(path, save_all=True, append_images=[shade(place + 10)], duration=100)
        return VideoFolder(folder, size=4, frames=2, cache_bytes=300)


class TestAudioFolder(SourceContract):
    def make(self, folder: Path) -> Indexed:
        for place, path in enumerate(spread(folder, "wav")):
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 8000, 0, "NONE", ""))
                file.writeframes(np.random.default_rng(place).integers(-999, 999, 50).astype("<i2").tobytes())
        return AudioFolder(folder, cache_bytes=500)


class TestHuggingFaceDataset(SourceContract):
    columns: dict[str, Any] = {"a": [1.0, 2, 3, 4, 5], "b": [5, 4, 3, 2, 1], "y": ["u", "v", "u", "v", "v"]}

    def make(self, folder: Path) -> Indexed:
        source = from_huggingface(pytest.importorskip("datasets").Dataset.from_dict(self.columns), "y")
        assert isinstance(source, Indexed)
        return source


class TestHuggingFaceLists(TestHuggingFaceDataset):
    columns: dict[str, Any] = {"a": [[1.0, 2]] * 3 + [[3, 4]] * 2, "b": [5, 4, 3, 2, 1], "y": [1, 0, 1, 1, 0]}
