"""Preprocessing of numbers, images and sound against Keras 3, scikit-learn and scipy, in float64."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import functools
from typing import Any

import keras
import numpy as np
import pytest
import torch
from numpy.lib.stride_tricks import sliding_window_view
from scipy import signal, stats
from sklearn import impute, preprocessing

from lepton_ai import layers
from lepton_ai.layers import Fitted
from tests.parity.test_layers import assert_equal, assert_parity, case, double_precision

__all__ = ["double_precision"]  # a fixture of every test here

torch.set_num_threads(1)

IMAGES = (2, 7, 6, 3)
SOUND = (2, 70, 2)
CODES = np.array([[0, 3, 3], [4, 1, 2]])
CASES = [
    *(case("Resizing", shape, height=4, width=5, pad_to_aspect_ratio=True, fill_value=0.3, antialias=antialias)
      for shape in ((2, 9, 6, 3), (2, 5, 16, 3), (2, 8, 10, 3)) for antialias in (False, True)),
    case("Resizing", (1, 30, 23, 2), height=7, width=40, interpolation="bicubic", antialias=True),
    case("Resizing", (1, 30, 23, 2), height=41, width=9, interpolation="bicubic", crop_to_aspect_ratio=True),
    *(case("Resizing", (1, 6, 10, 2), height=h, width=w, interpolation="nearest") for h in (1, 3, 7) for w in (4, 13)),
    case("CenterCrop", IMAGES, height=4, width=3),
    case("CenterCrop", IMAGES, height=7, width=5),
    case("CenterCrop", IMAGES, height=9, width=3),
    case("CenterCrop", IMAGES, height=5, width=14),
    *(case("CategoryEncoding", CODES, num_tokens=6, output_mode=mode) for mode in ("one_hot", "multi_hot", "count")),
    case("CategoryEncoding", CODES, num_tokens=5, output_mode="count", call={"count_weights": CODES / 4}),
    case("CategoryEncoding", CODES[:, :1], num_tokens=5, output_mode="one_hot"),
    case("Discretization", (3, 5), bin_boundaries=[-0.5, 0.0, 1.0]),
    case("Discretization", (3, 5), bin_boundaries=[-0.5, 0.0, 1.0], output_mode="one_hot"),
    case("Discretization", (3, 5), bin_boundaries=[-0.5, 0.0, 1.0], output_mode="count"),
    *(case("STFTSpectrogram", SOUND, mode=mode, frame_length=16, frame_step=5, expand_dims=mode == "psd")
      for mode in ("log", "magnitude", "psd", "real", "imag", "angle", "stft")),
    case("STFTSpectrogram", SOUND, frame_length=12, padding="same"),
    case("STFTSpectrogram", SOUND, frame_length=15, frame_step=7, fft_length=32, padding="same", expand_dims=True),
]  # fmt: skip


@pytest.mark.parametrize(("name", "inputs", "arguments", "call"), CASES)
def test_parity_with_keras(name: str, inputs: tuple[Any, ...], arguments: dict[str, Any], call: dict[str, Any]) -> None:
    assert_parity(name, inputs, arguments, call)


@pytest.fixture
def fine_constants() -> Any:
    """Matrices that layers make when they are built in float64, as Keras' are here."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("fine_constants")
@pytest.mark.parametrize("window", ["hann", "hamming", "blackman", None])
@pytest.mark.parametrize("scaling", ["density", "spectrum", None])
@pytest.mark.parametrize("periodic", [False, True])
def test_transforms_start_as_in_keras(window: str | None, scaling: str | None, periodic: bool) -> None:
    x = torch.from_numpy(np.random.default_rng(0).normal(size=SOUND))
    settings: dict[str, Any] = {"window": window, "scaling": scaling, "periodic": periodic, "frame_length": 20}
    assert_equal(
        layers.STFTSpectrogram("stft", **settings)(x).detach(),
        keras.layers.STFTSpectrogram("stft", **settings, dtype="float64")(x).detach(),
    )


@pytest.mark.usefixtures("fine_constants")
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"sequence_length": 48, "window": "hamming", "min_freq": 100.0, "max_freq": 3000.0},
        {"power_to_db": False, "mag_exp": 1.0},
        {"top_db": 10.0, "ref_power": 0.1, "min_power": 1e-3, "mag_exp": 1.5},
    ],
)
def test_mel_spectrograms_are_keras_s(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """One sound at a time: Keras takes the loudest place of a whole batch."""
    settings = {"fft_length": 64, "sequence_stride": 20, "sampling_rate": 8000, "num_mel_bins": 10, **settings}
    theirs = keras.layers.MelSpectrogram(**settings, dtype="float64")
    wide = functools.partial(theirs.linear_to_mel_weight_matrix, dtype="float64")
    monkeypatch.setattr(theirs, "linear_to_mel_weight_matrix", wide)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 300)))
    ours = layers.MelSpectrogram(**settings)
    grads = []
    for layer in (ours, lambda sound: torch.cat([theirs(row[None]) for row in sound])):
        sound = x.clone().requires_grad_()
        y = layer(sound)
        (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
        grads.append((y.detach(), sound.grad))
    assert_equal(grads[0][0], grads[1][0])
    assert_equal(grads[0][1], grads[1][1])


def test_windows_are_scipys() -> None:
    frames = sliding_window_view(np.random.default_rng(0).normal(size=60), 20)[::7]
    x = torch.from_numpy(frames[:, :, None].copy())
    for window in ("hann", "hamming", "blackman", "bartlett"):
        wanted = np.fft.rfft(frames * signal.get_window(window, 20, fftbins=True), 32)
        layer = layers.STFTSpectrogram("stft", 20, window=window, periodic=True, scaling=None)
        got = layer(x.float()).detach()[:, 0]
        np.testing.assert_allclose(got, np.concatenate((wanted.real, wanted.imag), 1), atol=1e-5)


@pytest.mark.parametrize("num_bins", [2, 3, 7])
def test_bins_are_found_as_by_keras(num_bins: int) -> None:
    """For up to a hundred values: of more, Keras keeps a sketch."""
    data = np.random.default_rng(0).normal(size=90).astype("float32")
    theirs = keras.layers.Discretization(num_bins=num_bins)
    theirs.update_state(data)  # `adapt` asks for TensorFlow
    theirs.finalize_state()
    ours = layers.Discretization(num_bins=num_bins)
    ours.adapt(data)
    np.testing.assert_allclose(ours.bin_boundaries or (), theirs.bin_boundaries, rtol=1e-6)


def test_grey_is_keras_s() -> None:
    x = np.random.default_rng(0).normal(size=IMAGES)
    got = layers.ColorMode("grayscale")(torch.from_numpy(x))
    assert_equal(got, keras.ops.image.rgb_to_grayscale(torch.from_numpy(x)))


def table(rows: int = 60) -> np.ndarray:
    """Numbers of several kinds, some missing."""
    noise = np.random.default_rng(0)
    columns = [
        noise.normal(3, 2, rows),
        noise.exponential(2, rows),
        noise.lognormal(0, 2, rows),
        noise.poisson(2, rows),
    ]
    data: np.ndarray = np.stack(columns, 1)
    data[noise.random(data.shape) < 0.1] = np.nan
    return data


def adapted(layer: Fitted, data: np.ndarray) -> Fitted:
    layer.ensure_built(data.shape)
    layer.double().adapt(data)
    return layer


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (layers.RobustScaling(), preprocessing.RobustScaler()),
        (layers.RobustScaling((10.0, 65.0)), preprocessing.RobustScaler(quantile_range=(10.0, 65.0))),
        (layers.MinMaxScaling(), preprocessing.MinMaxScaler()),
        (layers.MinMaxScaling((-2.0, 3.0), clip=True), preprocessing.MinMaxScaler((-2.0, 3.0), clip=True)),
        (layers.Imputation("mean"), impute.SimpleImputer()),
        (layers.Imputation("median"), impute.SimpleImputer(strategy="median")),
        (layers.Imputation("most_frequent"), impute.SimpleImputer(strategy="most_frequent")),
        (layers.Imputation("constant", 7.0), impute.SimpleImputer(strategy="constant", fill_value=7.0)),
        (layers.Imputation("median", add_indicator=True), impute.SimpleImputer(strategy="median", add_indicator=True)),
    ],
    ids=lambda each: type(each).__name__,
)
def test_columns_as_scikit_learn_has_them(ours: Fitted, theirs: Any) -> None:
    data, x = table(), table(90)
    assert_equal(adapted(ours, data)(torch.from_numpy(x)), theirs.fit(data).transform(x))


def test_winsorization_is_scipys() -> None:
    data = np.random.default_rng(0).normal(size=(101, 2))
    wanted = np.stack([stats.mstats.winsorize(column, (0.05, 0.1), inclusive=(True, True)) for column in data.T], 1)
    got = adapted(layers.Winsorization(0.05, 0.9), data)(torch.from_numpy(data))
    assert_equal(got, wanted)


@pytest.mark.parametrize("degree", [1, 3, (2, 3)])
@pytest.mark.parametrize("interaction_only", [False, True])
@pytest.mark.parametrize("include_bias", [False, True])
def test_products_as_scikit_learn_has_them(degree: Any, interaction_only: bool, include_bias: bool) -> None:
    x = np.random.default_rng(0).normal(size=(5, 4))
    theirs = preprocessing.PolynomialFeatures(degree, interaction_only=interaction_only, include_bias=include_bias)
    ours = layers.PolynomialFeatures(degree, interaction_only, include_bias)
    assert_equal(ours(torch.from_numpy(x)), theirs.fit_transform(x))


@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
@pytest.mark.parametrize("standardize", [False, True])
def test_powers_as_scikit_learn_finds_them(method: str, standardize: bool) -> None:
    data, x = table(400), table(90)
    if method == "box-cox":
        data, x = np.abs(data) + 0.1, np.abs(x) + 0.1
    theirs = preprocessing.PowerTransformer(method, standardize=standardize).fit(data)
    ours = adapted(layers.PowerTransform(method, standardize), data)
    # Its search stops at 1e-8 of the power, where the likelihood is flat; ours is at least as good.
    powers = ours.get_weights()[0]
    np.testing.assert_allclose(powers, theirs.lambdas_, rtol=1e-6, atol=1e-6)
    for index, column in enumerate(data.T):
        function = stats.boxcox_llf if method == "box-cox" else stats.yeojohnson_llf
        numbers = column[~np.isnan(column)]
        ours_is, theirs_is = (function(power, numbers) for power in (powers[index], theirs.lambdas_[index]))
        assert ours_is >= theirs_is - 1e-9 * abs(theirs_is)
    theirs.lambdas_ = powers
    if standardize:
        theirs._scaler = preprocessing.StandardScaler().fit(
            preprocessing.PowerTransformer.transform(_without_scaler(theirs), data)
        )
    assert_equal(ours(torch.from_numpy(x)), theirs.transform(x))


def _without_scaler(theirs: Any) -> Any:
    plain = preprocessing.PowerTransformer(theirs.method, standardize=False)
    plain.lambdas_, plain.n_features_in_ = theirs.lambdas_, theirs.n_features_in_
    return plain
