"""The learning-rate range test."""

from typing import Any

import numpy as np
import pytest

from lepton_ai.core import ConfigError
from lepton_ai.layers import Dense
from lepton_ai.models import Sequential
from lepton_ai.training import SGD, find_learning_rate
from tests.contracts.fitting import cnn, compiled, images, mlp, same_state, table

X, Y = table(200)


def test_weights_and_history_are_as_before() -> None:
    model, other = compiled(mlp(dropout=0.2)), compiled(mlp(dropout=0.2))
    for each in (model, other):
        each.fit(X, Y, epochs=1, verbose=0)
    history = model.history
    found = find_learning_rate(model, X, Y, batch_size=20, steps=60)
    assert same_state(model, other) and model.history is history
    model.fit(X, Y, epochs=1, verbose=0)
    other.fit(X, Y, epochs=1, verbose=0)
    assert same_state(model, other)
    assert found.rates[0] == pytest.approx(1e-6) and found.rates == sorted(found.rates)
    assert len(found.rates) == len(found.losses) <= 60


def test_a_model_that_is_not_built_yet() -> None:
    x, y = images()
    model = compiled(cnn(norm=True))
    found = find_learning_rate(model, x, y, steps=20, highest=0.1)
    assert len(found.rates) == 20 and found.rates[-1] == pytest.approx(0.1)


@pytest.mark.parametrize("accumulated", [None, 3])
def test_the_suggestion_trains_and_far_larger_does_not(accumulated: int | None) -> None:
    """Plain descent on a mean square is stable below 2 / (the largest curvature), known here."""
    x = np.random.default_rng(1).normal(size=(400, 3)).astype("float32") * np.array([1, 1, 3], "float32")
    y = x.sum(1)

    def fresh(rate: float = 0.01) -> Any:
        model = Sequential([Dense(1, input_shape=(3,))])
        model.compile(SGD(rate, gradient_accumulation_steps=accumulated), "mse")
        return model

    found = find_learning_rate(fresh(), x, y, batch_size=40, highest=1e6, lowest=1e-4)
    bound = 2 / (2 * np.linalg.eigvalsh(np.cov(x.T))[-1])
    assert bound / 100 < found.suggestion < bound
    assert found.rates[-1] < 1e3  # it ended early
    losses = fresh(found.suggestion).fit(x, y, epochs=15, verbose=0)["loss"]
    assert losses[-1] < 0.1 * losses[0]


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"find_learning_rate\(highest=...\): got 0.1, expected a number in \(1.0"):
        find_learning_rate(compiled(mlp()), X, Y, lowest=1, highest=0.1)
    with pytest.raises(ConfigError, match="expected an int of at least 2"):
        find_learning_rate(compiled(mlp()), X, Y, steps=1)
