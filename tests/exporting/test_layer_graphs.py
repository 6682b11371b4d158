"""Convolutions, poolings and shapes beyond the first set as graphs, with axes as free as the layers allow."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_ai import layers
from lepton_ai.exporting import export
from lepton_ai.layers import Input
from lepton_ai.models import Model, Sequential
from lepton_ai.rng import set_seed
from lepton_ai.runtime import OnnxRuntime

torch.set_num_threads(1)


def image() -> Model:
    """An image of any size, smaller and larger again."""
    picture = Input((None, None, 3), name="x")
    thin = layers.PReLU("uniform", shared_axes=(1, 2))(layers.SeparableConv2D(8, 3, padding="same")(picture))
    small = layers.DepthwiseConv2D(2, strides=2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(thin))
    small = layers.GaussianNoise(0.1)(layers.SpatialDropout2D(0.2)(layers.GroupNormalization(4)(small)))
    large = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")(small)
    stretched = layers.Cropping2D(((1, 0), (0, 1)))(layers.UpSampling2D(2, interpolation="bilinear")(large))
    return Model(picture, layers.RMSNormalization()(layers.LeakyReLU()(stretched)))


def series() -> Model:
    steps = Input((None, 4), name="x")
    causal = layers.Conv1D(6, 3, padding="causal", dilation_rate=2, activation="relu")(steps)
    pooled = layers.MaxPooling1D(2)(layers.UpSampling1D(3)(causal))
    summary = layers.GlobalAveragePooling1D()(layers.Conv1DTranspose(4, 2, strides=3)(pooled))
    return Model(steps, layers.Dot(1, normalize=True)([layers.ELU()(summary), layers.GlobalMaxPooling1D()(steps)]))


def volume() -> Model:
    return Sequential(
        [
            Input((5, 6, 4, 2), name="x"),
            layers.Conv3D(4, 2, padding="same"),
            layers.AveragePooling3D(2, padding="same"),
            layers.Conv3DTranspose(3, 3, strides=2, padding="same"),
            layers.GlobalMaxPooling3D(),
            layers.UnitNormalization(),
            layers.RepeatVector(3),
            layers.Permute((2, 1)),
        ]
    )


@pytest.mark.parametrize(("make", "sizes"), [(image, (9, 8)), (series, (17,)), (volume, (5, 6, 4))])
def test_graphs_answer_as_their_models(make: Callable[[], Model], sizes: tuple[int, ...], tmp_path: Path) -> None:
    set_seed(0)
    model = make()
    graph = export(model, tmp_path / "graph").manifest.graphs["fp32"]
    assert graph.parity is not None and graph.parity.batch_sizes == (1, 2, 3, 7)
    channels = graph.signature.inputs[0].shape[-1]
    runtime = OnnxRuntime(tmp_path / "graph" / graph.file, signature=graph.signature)
    for rows in (1, 7):
        x = np.random.default_rng(rows).normal(size=(rows, *sizes, channels)).astype("float32")
        (answer,) = runtime.run({"x": x}).values()
        np.testing.assert_allclose(answer, model.predict(x), rtol=1e-4, atol=1e-4)
    runtime.close()
