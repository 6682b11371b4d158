"""Preprocessing of numbers, images and sound inside graphs that take raw input, at sizes that tracing did not see."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lepton_ai
from lepton_ai import layers
from lepton_ai.bundle import Array
from lepton_ai.core import ShapeError
from lepton_ai.exporting import export
from lepton_ai.layers import Input
from lepton_ai.models import Model
from lepton_ai.rng import set_seed
from lepton_ai.runtime import OnnxRuntime

torch.set_num_threads(1)

NOISE = np.random.default_rng(0)


def images() -> tuple[Model, Array, list[Array]]:
    """Photographs of any size: blurred, distorted, filled up and cut."""

    def photographs(rows: int, height: int, width: int) -> Array:
        return NOISE.integers(0, 256, (rows, height, width, 3), dtype=np.uint8)

    picture = Input((None, None, 3), dtype="uint8", name="x")
    small = layers.Resizing(12, 10, antialias=True)(picture)
    sharp = layers.Resizing(12, 10, "bicubic")(picture)
    whole = layers.Resizing(12, 10, "nearest", pad_to_aspect_ratio=True, fill_value=127.5)(picture)
    middle, cut = layers.CenterCrop(12, 10)(picture), layers.CropOrPad(12, 10)(picture)
    grey = layers.ColorMode("grayscale")(layers.ImageStandardization()(small))
    together = layers.Concatenate()([small, sharp, whole, middle, cut, grey])
    features = layers.Conv2D(4, 3, activation="relu")(layers.Rescaling(1 / 255)(together))
    answers = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(features))
    sizes = [(1, 8, 9), (3, 40, 31), (7, 12, 10)]
    return Model(picture, answers), photographs(4, 24, 20), [photographs(*size) for size in sizes]


def sound() -> tuple[Model, Array, list[Array]]:
    """Waveforms of 16 bits to classes."""

    def waves(rows: int, length: int) -> Array:
        return (NOISE.normal(size=(rows, length)) * 3000).astype("int16")

    wave = Input((None,), dtype="int16", name="x")
    mel = layers.MelSpectrogram(128, 64, 100, sampling_rate=8000, num_mel_bins=20)(wave)
    cepstrum = layers.Permute((2, 1))(layers.MFCC(8)(mel))
    channel = layers.Reshape((-1, 1))(layers.Rescaling(1 / 2**15)(wave))
    spectrum = layers.STFTSpectrogram("log", 128, 64, padding="same")(channel)
    whole = layers.STFTSpectrogram("angle", 128)(channel)
    frames = layers.Frames(64, 32, pad_end=True)(layers.Rescaling(1 / 2**15)(wave))
    pooled = [
        layers.GlobalAveragePooling1D()(layers.Dense(6, activation="tanh")(each))
        for each in (cepstrum, spectrum, whole, frames)
    ]
    classes = layers.Dense(4, activation="softmax")(layers.Concatenate()(pooled))
    return Model(wave, classes), waves(4, 800), [waves(1, 128), waves(3, 801), waves(7, 1999)]


def numbers() -> tuple[Model, dict[str, Array], list[dict[str, Array]]]:
    """A table with gaps, codes and times."""

    def rows(count: int) -> dict[str, Array]:
        amounts = NOISE.lognormal(0, 2, (count, 3)).astype("float32")
        amounts[NOISE.random(amounts.shape) < 0.3] = np.nan
        return {
            "amounts": amounts,
            "codes": NOISE.choice([3, 17, 17, 400, -5], (count, 2)),
            "time": NOISE.integers(-(10**9), 2 * 10**9, (count, 1)),
        }

    train = rows(50)
    amounts, codes = Input((3,), name="amounts"), Input((2,), dtype="int64", name="codes")
    time = Input((1,), dtype="int64", name="time")
    imputation = layers.Imputation("median", add_indicator=True)
    imputation.adapt(train["amounts"])
    filled = imputation(torch.from_numpy(train["amounts"]))
    columns: list[Any] = [imputation(amounts)]
    fitted: list[layers.Fitted] = [
        layers.PowerTransform(), layers.RobustScaling(), layers.MinMaxScaling(), layers.Winsorization(),
    ]  # fmt: skip
    for layer in fitted:
        layer.adapt(filled)
        columns.append(layer(columns[0]))
    bins = layers.Discretization(num_bins=5, output_mode="one_hot")
    bins.adapt(filled)
    columns.append(layers.Flatten()(bins(columns[0])))
    columns.append(layers.PolynomialFeatures(2)(layers.LogScaling()(columns[0])))
    lookup = layers.IntegerLookup(output_mode="count", num_oov_indices=2)
    lookup.adapt(train["codes"])
    places = layers.IntegerLookup(vocabulary=[17, 3], mask_token=400)(codes)
    columns += [lookup(codes), layers.CategoryEncoding(4)(places), layers.TimeParts(("hour", "month", "year"))(time)]
    answer = layers.Dense(2, activation="tanh")(layers.Rescaling(0.01)(layers.Concatenate()(columns)))
    others = [rows(1), rows(3), rows(7)]
    others[1]["codes"][0] = 12345
    return Model([amounts, codes, time], answer), train, others


@pytest.mark.parametrize("make", [images, sound, numbers])
def test_graphs_take_raw_input(make: Callable[[], Any], tmp_path: Path) -> None:
    set_seed(0)
    model, samples, others = make()
    named = samples if isinstance(samples, dict) else {"x": samples}
    given = tuple(named.values()) if len(named) > 1 else samples
    graph = export(model, tmp_path / "graph", samples=given).manifest.graphs["fp32"]
    assert graph.parity is not None and graph.parity.batch_sizes == (1, 2, 3, 7)
    again = lepton_ai.load(tmp_path / "graph")
    runtime = OnnxRuntime(tmp_path / "graph" / graph.file, signature=graph.signature)
    for other in others:
        arrays = other if isinstance(other, dict) else {"x": other}
        x = tuple(arrays.values()) if len(arrays) > 1 else other
        (answer,) = runtime.run(arrays).values()
        wanted = model.predict(x)
        np.testing.assert_allclose(answer, wanted, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(again.predict(x), wanted)
    runtime.close()


def test_a_sound_too_short_for_a_frame_fails_in_the_graph_too(tmp_path: Path) -> None:
    wave = Input((None, 1), name="x")
    model = Model(wave, layers.GlobalAveragePooling1D()(layers.STFTSpectrogram("psd", 64)(wave)))
    graph = export(model, tmp_path / "graph", samples=np.zeros((2, 100, 1), "float32")).manifest.graphs["fp32"]
    runtime = OnnxRuntime(tmp_path / "graph" / graph.file, signature=graph.signature)
    assert runtime.run({"x": np.zeros((1, 64, 1), "float32")})["output"].shape == (1, 33)
    with pytest.raises(Exception, match="out of|invalid index"):
        runtime.run({"x": np.zeros((1, 63, 1), "float32")})
    with pytest.raises(ShapeError, match="expected at least 64 samples for a frame"):
        model.predict(np.zeros((1, 63, 1), "float32"))
    runtime.close()
