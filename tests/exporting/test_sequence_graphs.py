"""Attention, Transformer blocks, positions and the text families as graphs of any length."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_ai import layers
from lepton_ai.exporting import export
from lepton_ai.layers import Input
from lepton_ai.models import Model, bert_encoder, text_cnn
from lepton_ai.rng import set_seed
from lepton_ai.runtime import OnnxRuntime

torch.set_num_threads(1)


def blocks() -> Model:
    """Every layer of the family in one graph; token 0 is padding."""
    tokens = Input((None,), dtype="int64", name="tokens")
    x = layers.TokenAndPositionEmbedding(30, 24, 8, mask_zero=True)(tokens)
    x = layers.Add()([x, layers.SinePositionEncoding()(x)])
    encoded = layers.TransformerEncoder(12, 2, normalize_first=True)(x)
    turned = layers.RotaryEmbedding()(x)
    grouped = layers.GroupQueryAttention(4, 4, 2, sliding_window=3)(turned, turned, use_causal_mask=True)
    decoded = layers.TransformerDecoder(12, 2)(grouped, encoded)
    looked = layers.Attention(use_scale=True)([decoded, encoded])
    added = layers.AdditiveAttention()([looked, decoded], use_causal_mask=True)
    gated = layers.MultiHeadAttention(2, 3, use_gate=True)(added, added, use_causal_mask=True)
    return Model(tokens, layers.Concatenate()([gated, decoded]))


def small_bert() -> Model:
    return bert_encoder(30, 24, 3, layers=2, heads=2, width=16)


def small_cnn() -> Model:
    return text_cnn(30, classes=3, embedding_dim=8, filters=4)


@pytest.mark.parametrize("make", [blocks, small_bert, small_cnn])
def test_graphs_answer_as_their_models_at_any_length(make: Callable[[], Model], tmp_path: Path) -> None:
    set_seed(0)
    model = make()
    loud = (weight * 8 if weight.ndim > 1 and weight.std() < 0.1 else weight for weight in model.get_weights())
    model.set_weights(list(loud))
    graph = export(model, tmp_path / "graph").manifest.graphs["fp32"]
    assert graph.parity is not None and all(spec.shape == (-1, -1) for spec in graph.signature.inputs)
    runtime = OnnxRuntime(tmp_path / "graph" / graph.file, signature=graph.signature)
    for rows, steps in ((1, 1), (2, 3), (7, 11), (3, 24)):
        noise = np.random.default_rng(steps)
        given = {"tokens": noise.integers(1, 30, (rows, steps))}
        given["tokens"][np.arange(steps) >= noise.integers(0, steps + 1, rows)[:, None]] = 0
        given["tokens"][-1] = 0  # no step counts
        if len(model.input_specs) > 1:
            given["segments"] = noise.integers(0, 2, (rows, steps))
        (answer,) = runtime.run(given).values()
        wanted = model.predict(given if len(given) > 1 else given["tokens"])
        assert np.isfinite(answer).all() and (steps < 3 or np.ptp(answer) > 0.003)
        np.testing.assert_allclose(answer, wanted, rtol=1e-4, atol=1e-4)
    runtime.close()
