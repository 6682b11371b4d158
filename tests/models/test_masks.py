"""Masks in containers: from layer to layer, into and out of models, to the loss."""

import warnings
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pytest
import torch
from torch import Tensor

from lepton_ai import layers, load
from lepton_ai.exporting import export
from lepton_ai.layers import Dense, Embedding, Input, Layer, LayerOptions
from lepton_ai.models import Model, Sequential, distributed_train
from lepton_ai.rng import set_seed
from lepton_ai.runtime import OnnxRuntime

torch.set_num_threads(1)

TOKENS = torch.tensor([[3, 1, 4, 0, 0], [0, 2, 0, 5, 1], [6, 0, 0, 0, 0], [0, 0, 0, 0, 0]])


@pytest.fixture(autouse=True)
def same_numbers() -> None:
    torch.manual_seed(0)


class Halved(Layer):
    """A cell of a user's own."""

    def __init__(self, units: int, **options: Unpack[LayerOptions]) -> None:
        super().__init__(**options)
        self.units = units
        self.state_size = [units]

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight("kernel", (self.units, input_shape[-1]))

    def call(self, x: Tensor, states: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        state = states[0] / 2 + x @ self.kernel.T
        return torch.tanh(state), [state]


def tagger() -> Sequential:
    set_seed(0)
    return Sequential(
        [Embedding(7, 4, mask_zero=True, input_shape=(None,)), layers.GRU(5, return_sequences=True), Dense(3)]
    )


def test_models_inside_take_masks_and_give_them() -> None:
    embedding, first, last = Embedding(7, 4, mask_zero=True), layers.GRU(5, return_sequences=True), layers.LSTM(3)
    flat = Sequential([embedding, first, last])
    wanted = flat(TOKENS)
    x = Input((None, 4))
    nested = Sequential([Sequential([embedding]), Model(x, first(x)), Sequential([last])])
    torch.testing.assert_close(nested(TOKENS), wanted)
    tokens = Input((None,), dtype="int64")
    graph = Model(tokens, Sequential([last])(Model(x, first(x))(Sequential([embedding])(tokens))))
    torch.testing.assert_close(graph(TOKENS), wanted)
    assert nested.makes_mask and not Sequential([Dense(2)]).makes_mask


def test_a_model_gives_its_mask_on_request() -> None:
    model = tagger()
    outputs, mask = model(TOKENS, return_mask=True)
    assert torch.equal(outputs, model(TOKENS)) and torch.equal(mask, TOKENS != 0)
    assert torch.equal(model.compute_mask(TOKENS), TOKENS != 0)
    plain = Sequential([Dense(2)])
    x, given = torch.ones(4, 5, 2), TOKENS != 0
    assert plain(x, return_mask=True)[1] is None and plain(x, mask=given, return_mask=True)[1] is given
    tokens = Input((5,), dtype="int64")
    embedded = Embedding(7, 4, mask_zero=True)(tokens)
    several = Model(tokens, {"each": Dense(2)(embedded), "last": layers.LSTM(3)(embedded)})
    masks = several(TOKENS, return_mask=True)[1]
    assert torch.equal(masks["each"], TOKENS != 0) and masks["last"] is None


def test_masks_of_several_inputs_go_in_by_their_structure() -> None:
    one, two = Input((5, 2), name="one"), Input((5, 2), name="two")
    model = Model([one, two], layers.GlobalAveragePooling1D()(layers.Add()([one, two])))
    x, masks = torch.randn(4, 5, 2), [TOKENS != 0, TOKENS > 3]
    wanted = layers.GlobalAveragePooling1D()(2 * x, mask=TOKENS != 0)
    torch.testing.assert_close(model([x, x], mask=masks), wanted)
    torch.testing.assert_close(model([x, x], mask=[masks[0], None]), (2 * x).mean(1))


def test_a_mask_reaches_a_layer_that_also_gets_a_state() -> None:
    tokens = Input((None,), dtype="int64")
    embedded = Embedding(7, 4, mask_zero=True)(tokens)
    _, state = layers.GRU(5, return_state=True)(embedded)
    decoder = layers.GRU(5)
    model = Model(tokens, decoder(embedded, initial_state=state))
    assert isinstance(model.layers[0], Embedding)
    encoder = model.layers[1]
    vectors, mask = model.layers[0](TOKENS), TOKENS != 0
    wanted = decoder(vectors, initial_state=encoder(vectors, mask=mask)[1], mask=mask)
    torch.testing.assert_close(model(TOKENS), wanted)


def test_more_padding_changes_nothing() -> None:
    model = Sequential([Embedding(7, 4, mask_zero=True), layers.Bidirectional(layers.LSTM(3)), Dense(2)])
    for pad in ((0, 6), (6, 0), (3, 3)):
        padded = torch.nn.functional.pad(TOKENS, pad)
        torch.testing.assert_close(model(padded), model(TOKENS))


def fitted(tokens: Tensor, y: Tensor, **settings: Any) -> tuple[Sequential, dict[str, list[float]]]:
    model = tagger()
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit(tokens, y, epochs=2, verbose=0, shuffle=False, **settings)
    return model, history.history


def test_what_stands_at_masked_steps_is_neither_trained_nor_measured() -> None:
    y = torch.randn(4, 5, 3)
    garbled = torch.where((TOKENS != 0)[..., None], y, 1e6)
    (model, wanted), (other, got) = fitted(TOKENS, y), fitted(TOKENS, garbled)
    assert got == wanted
    for mine, theirs in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    kept = (TOKENS != 0).numpy()
    errors = np.abs(model.predict(TOKENS) - y.numpy())[kept]
    measured = model.evaluate(TOKENS, garbled, return_dict=True)
    assert measured == pytest.approx({"loss": (errors**2).mean(), "mae": errors.mean()}, rel=1e-5)
    one_by_one = model.evaluate(TOKENS, garbled, batch_size=1, return_dict=True)
    assert one_by_one == pytest.approx(measured, rel=1e-5)


def test_sample_weights_are_those_of_all_steps_of_a_row() -> None:
    y, weight = torch.randn(4, 5, 3), torch.tensor([2.0, 0.0, 1.0, 5.0])
    model, _ = fitted(TOKENS, y, sample_weight=weight)
    kept = (TOKENS != 0).numpy()
    errors = ((model.predict(TOKENS) - y.numpy()) ** 2).mean(-1) * weight[:, None].numpy()
    assert model.evaluate(TOKENS, y, sample_weight=weight)[0] == pytest.approx(errors[kept].mean(), rel=1e-5)


def test_targets_of_other_steps_are_not_masked() -> None:
    """A mask says nothing of targets for whole rows."""
    tokens = Input((5,), dtype="int64")
    embedded = Embedding(7, 4, mask_zero=True)(tokens)
    model = Model(tokens, [Dense(3, name="each")(embedded), layers.LSTM(2, name="last")(embedded)])
    model.compile("sgd", "mse", metrics=[["mae"], ["mae"]])
    history = model.fit(TOKENS, [torch.randn(4, 5, 3), torch.randn(4, 2)], epochs=1, verbose=0).history
    measured = model.evaluate(TOKENS, [torch.zeros(4, 5, 3), torch.zeros(4, 2)], return_dict=True, batch_size=3)
    each, last = model.predict(TOKENS)
    kept = (TOKENS != 0).numpy()
    assert measured["each_loss"] == pytest.approx((each[kept] ** 2).mean(), rel=1e-5)
    assert measured["last_loss"] == pytest.approx((last**2).mean(), rel=1e-5)
    assert measured["loss"] == pytest.approx(measured["each_loss"] + measured["last_loss"], rel=1e-5)
    assert history["loss"][0] == pytest.approx(history["each_loss"][0] + history["last_loss"][0], rel=1e-5)


def test_an_empty_mask_costs_nothing() -> None:
    model = tagger()
    model.compile("sgd", "mse", metrics=["mae"])
    assert model.evaluate(TOKENS[3:], torch.ones(1, 5, 3)) == [0.0, 0.0]


def test_workers_count_their_steps_together(tmp_path: Path) -> None:
    """Unequal numbers of them, and in the last batch a worker without rows: the result is that of one worker."""
    tokens = torch.cat((TOKENS, TOKENS[:1]))
    y = torch.randn(5, 5, 3, generator=torch.Generator().manual_seed(1))
    results = []
    for workers in (1, 2):
        model = tagger()
        model.compile("sgd", "mse", metrics=["mae"])
        history = distributed_train(
            model, tokens, y, batch_size=4, num_workers=workers, epochs=2, shuffle=False, verbose=0,
            validation_data=(tokens, y),
        )  # fmt: skip
        results.append((history.history, model.get_weights()))
    (one, weights), (two, others) = results
    for name in one:
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, err_msg=name)
    for mine, theirs in zip(others, weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-7)


def test_nothing_is_warned_of_without_masks() -> None:
    model = Sequential([Embedding(7, 4), layers.Flatten(), Dense(2)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model(TOKENS)
    lost = Sequential([Embedding(7, 4, mask_zero=True), layers.Flatten(), Dense(2)])
    with pytest.warns(UserWarning, match="Flatten 'flatten' has no use for the mask"):
        lost(TOKENS)


def everything() -> Model:
    """Masks through a fused kernel in both directions, and through cells of our own and of others."""
    set_seed(0)
    tokens = Input((None,), dtype="int64", name="tokens")
    x = Embedding(7, 4, mask_zero=True)(tokens)
    both = layers.Bidirectional(layers.GRU(3, return_sequences=True))(x)
    ends = layers.RNN([Halved(3), layers.LSTMCell(2)], name="ends")(both)
    return Model(tokens, [ends, layers.TimeDistributed(Dense(2), name="each")(both)])


def test_the_graph_answers_as_the_model_whatever_the_padding(tmp_path: Path) -> None:
    model = everything()
    assert torch.equal(Model.from_config(model.get_config())(TOKENS)[0][3], torch.zeros(2))  # nothing counts there
    graph = export(model, tmp_path / "graph").manifest.graphs["fp32"]
    again = load(tmp_path / "graph")
    runtime = OnnxRuntime(tmp_path / "graph" / graph.file, signature=graph.signature)
    for rows, steps in ((1, 1), (2, 40), (5, 7)):
        tokens = np.random.default_rng(steps).integers(0, 7, (rows, steps))
        tokens[0, steps // 2 + 1 :] = 0
        answers = runtime.run({"tokens": tokens})
        wanted = model(torch.from_numpy(tokens))
        for got, other, want in zip(answers.values(), again(torch.from_numpy(tokens)), wanted, strict=True):
            np.testing.assert_allclose(got, want.detach(), rtol=1e-4, atol=1e-6)
            assert torch.equal(other, want)
    runtime.close()
