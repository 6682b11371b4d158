"""Text families: what they are made of, and that they learn what only their kind of layer can see."""

import numpy as np
import pytest
import torch

from lepton_ai import layers
from lepton_ai.core import ConfigError, ShapeError, UnknownNameError
from lepton_ai.models import Model, bert_encoder, count_parameters, load, sample_inputs, signature, text_cnn
from lepton_ai.rng import set_seed
from lepton_ai.training import Adam

Rows = tuple[np.ndarray, np.ndarray]


def runs(count: int, seed: int, steps: int = 20) -> Rows:
    """Texts in which the run 5, 6, 7 occurs, or not."""
    noise = np.random.default_rng(seed)
    x, y = noise.integers(1, 20, (count, steps)), noise.integers(0, 2, count)
    for row in np.flatnonzero(y):
        at = noise.integers(0, steps - 3)
        x[row, at : at + 3] = (5, 6, 7)
    return x, y


def orders(count: int, seed: int, steps: int = 10) -> Rows:
    """Padded texts in which 1 stands before 2, or behind."""
    noise = np.random.default_rng(seed)
    x, lengths = noise.integers(3, 20, (count, steps)), noise.integers(4, steps + 1, count)
    x[np.arange(steps) >= lengths[:, None]] = 0
    y = noise.integers(0, 2, count)
    for row, first in enumerate(y):
        places = np.sort(noise.choice(lengths[row], 2, replace=False))
        x[row, places] = (1, 2) if first else (2, 1)
    return x, y


def small_bert(classes: int | None = 2, segments: int = 1, output: str = "pooled") -> Model:
    return bert_encoder(20, 16, classes, layers=1, heads=2, width=32, segments=segments, dropout=0.0, output=output)


def test_a_text_cnn_learns_to_find_a_run() -> None:
    set_seed(0)
    model = text_cnn(20, classes=2, preset="small")
    model.compile(Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*runs(600, 0), epochs=4, verbose=0, seed=0)
    assert model.evaluate(*runs(300, 1), return_dict=True)["accuracy"] > 0.93
    norms = np.linalg.norm(model.get_layer("classifier").get_weights()[0], axis=0)
    assert norms.max() <= 3 + 1e-5


def test_a_bert_learns_an_order_across_padding() -> None:
    set_seed(0)
    model = small_bert()
    model.compile(Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*orders(1500, 0), epochs=8, verbose=0, seed=0)
    assert model.evaluate(*orders(300, 1), return_dict=True)["accuracy"] > 0.95
    x = torch.from_numpy(orders(5, 2)[0])
    more = torch.cat((x, torch.zeros(5, 6, dtype=torch.int64)), 1)
    torch.testing.assert_close(model(more), model(x), rtol=1e-4, atol=1e-5)


def test_sizes_of_the_papers() -> None:
    def weights(layers: int, width: int) -> int:
        block = 4 * (width + 1) * width + (width + 1) * 4 * width + (4 * width + 1) * width + 4 * width
        return (30522 + 512 + 2 + 2) * width + layers * block + (width + 1) * width

    assert weights(12, 768) == 109_482_240  # Devlin et al. round to 110M
    assert count_parameters(bert_encoder(30522, preset="tiny"))[0] == weights(2, 128)  # Turc et al.: 4.4M
    convolutions = sum(width * 300 * 100 + 100 for width in (3, 4, 5))
    assert count_parameters(text_cnn(1000))[0] == 1000 * 300 + convolutions + 300 * 2 + 2


def test_outputs() -> None:
    tokens = torch.tensor([[4, 5, 6, 0], [7, 0, 0, 0]])
    assert small_bert(None)(tokens).shape == (2, 32)
    assert small_bert(None, output="sequence")(tokens).shape == (2, 4, 32)
    pair = small_bert(None, segments=2)
    first = pair({"tokens": tokens, "segments": torch.zeros_like(tokens)})
    assert not torch.allclose(first, pair({"tokens": tokens, "segments": torch.ones_like(tokens)}))
    assert text_cnn(20, 4, None, filters=5, embedding_dim=3)(tokens).shape == (2, 15)
    assert text_cnn(20, 4, 1, preset="small", widths=(2,), classifier_activation="sigmoid")(tokens).shape == (2, 1)


def test_masks_reach_attention_inside_a_graph() -> None:
    tokens = layers.Input((None,), dtype="int64")
    x = layers.Embedding(20, 8, mask_zero=True)(tokens)
    looked = layers.MultiHeadAttention(2, 4)(x, x)
    model = Model(tokens, layers.Add()([looked, layers.Attention()([x, x]), layers.AdditiveAttention()([x, x])]))
    short = torch.tensor([[4, 5, 6], [7, 8, 9]])
    padded = torch.cat((short, torch.zeros(2, 2, dtype=torch.int64)), 1)
    torch.testing.assert_close(model(padded)[:, :3], model(short))


def test_samples_as_long_as_the_table_leave_time_free() -> None:
    model = small_bert()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*orders(32, 0, steps=16), verbose=0)
    (tokens,) = signature(model).inputs
    assert tokens.shape == (-1, -1)
    assert [sample_inputs(model, 3, free).shape for free in (32, 40)] == [(3, 16), (3, 8)]
    assert [sample_inputs(small_bert(), 3, free).shape for free in (32, 40)] == [(3, 16), (3, 8)]


def test_a_text_of_padding_only_has_an_answer() -> None:
    model = small_bert()
    answer = model(torch.zeros(2, 5, dtype=torch.int64))
    answer[:, 0].sum().backward()
    assert answer.isfinite().all()
    assert all(weight.grad is None or weight.grad.isfinite().all() for weight in model.parameters())


@pytest.mark.parametrize("make", [small_bert, lambda: text_cnn(20, preset="small")])
def test_families_survive_saving(make: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert callable(make)
    model: Model = make()
    path = tmp_path_factory.mktemp("saved") / "model"
    model.save(path)
    again = load(path)
    tokens = torch.tensor([[4, 5, 6, 0], [7, 0, 0, 0]])
    assert isinstance(again, Model) and torch.equal(again(tokens), model(tokens))


def test_impossible_sizes() -> None:
    with pytest.raises(UnknownNameError) as unknown:
        bert_encoder(20, preset="bass")
    assert str(unknown.value) == "bert_encoder: unknown preset 'bass'. Did you mean 'base'?"
    with pytest.raises(UnknownNameError, match="text_cnn: unknown preset 'large'"):
        text_cnn(20, preset="large")
    with pytest.raises(UnknownNameError, match="bert_encoder: unknown output 'pool'. Did you mean 'pooled'?"):
        bert_encoder(20, output="pool")
    with pytest.raises(ConfigError, match=r"bert_encoder\.heads: got 5, expected a divisor of width=128"):
        bert_encoder(20, preset="tiny", heads=5)
    with pytest.raises(ConfigError, match=r"bert_encoder\.layers: got 0, expected a positive int"):
        bert_encoder(20, preset="tiny", layers=0)
    with pytest.raises(ConfigError, match=r"bert_encoder\.output: got 'sequence', expected \"pooled\" with classes"):
        bert_encoder(20, classes=2, preset="tiny", output="sequence")
    with pytest.raises(ConfigError, match=r"text_cnn\.classes: got 1, expected at least 2 for a softmax\. For one"):
        text_cnn(20, classes=1)
    with pytest.raises(ConfigError, match=r"text_cnn\.widths\[1\]: got 0, expected a positive int"):
        text_cnn(20, widths=(2, 0))
    with pytest.raises(ConfigError, match=r"text_cnn\.widths: got \(\), expected at least one"):
        text_cnn(20, widths=())


def test_a_text_longer_than_the_table() -> None:
    with pytest.raises(ShapeError, match="got a sequence of 17 steps, expected at most sequence_length=16"):
        small_bert().predict(np.ones((1, 17), "int64"))
    assert isinstance(small_bert().layers[0], layers.TokenAndPositionEmbedding)
