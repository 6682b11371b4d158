"""The objective: losses and metrics of one output or several."""

from typing import Any

import pytest
import torch

from lepton_ai.core import ConfigError, DataError, ShapeError, UnknownNameError
from lepton_ai.data import Batch
from lepton_ai.training import BinaryCrossentropy, Huber, MeanSquaredError, Objective, Precision

OUT = torch.tensor([[0.9], [0.4], [0.2]])
TARGET = torch.tensor([1.0, 0.0, 1.0])
PAIR = {"a": OUT, "b": torch.ones(3, 2)}


def batch(y: Any, weight: Any = None, rows: int = 3) -> Batch:
    return Batch(None, y, weight, torch.arange(3, dtype=torch.int32), rows)


def bound(*arguments: Any, outputs: Any = OUT, names: list[str] | None = None, y: Any = None) -> Objective:
    objective = Objective(*arguments)
    objective.bind(outputs, names, y)
    return objective


def test_the_loss_is_the_sum_over_the_rows_of_the_whole_batch() -> None:
    objective = bound("mse")
    (whole,) = objective.losses(OUT, batch(TARGET))
    assert whole.item() == pytest.approx(((OUT[:, 0] - TARGET) ** 2).mean().item())
    (part,) = objective.losses(OUT, batch(TARGET, rows=12))  # a shard of a batch of 12
    assert part.item() == pytest.approx(whole.item() / 4)


def test_weights_scale_rows_and_not_the_divisor() -> None:
    weight = torch.tensor([0.0, 2.0, 1.0])
    objective = bound("mse")
    (loss,) = objective.losses(OUT, batch(TARGET, weight))
    errors = (OUT[:, 0] - TARGET) ** 2
    assert loss.item() == pytest.approx(((errors * weight).sum() / 3).item())
    (loss,) = objective.losses(OUT, batch(TARGET, weight), torch.tensor([10.0, 0.5]))
    assert loss.item() == pytest.approx(((errors * weight * torch.tensor([0.5, 10.0, 0.5])).sum() / 3).item())


def test_one_loss_for_all_outputs_and_one_for_each() -> None:
    assert [type(head.loss).__name__ for head in bound("mse", outputs=PAIR).heads] == ["MeanSquaredError"] * 2
    each = bound({"a": "bce", "b": "mae"}, {"b": ["mse", "mae"]}, outputs=PAIR).heads
    assert [type(head.loss).__name__ for head in each] == ["BinaryCrossentropy", "MeanAbsoluteError"]
    assert [[metric.name for metric in head.metrics] for head in each] == [[], ["mse", "mae"]]
    listed = bound(["bce", "mae"], [["accuracy"], []], [1.0, 0.5], outputs=list(PAIR.values()), names=["p", "q"])
    assert [(head.name, head.share, len(head.metrics)) for head in listed.heads] == [("p", 1.0, 1), ("q", 0.5, 0)]


def test_shares_weigh_the_total() -> None:
    objective = bound("mse", None, {"a": 0.5, "b": 3.0}, outputs=PAIR)
    losses = objective.losses(PAIR, batch({"b": torch.zeros(3, 2), "a": TARGET}))
    assert objective.total(losses).item() == pytest.approx(0.5 * losses[0].item() + 3.0 * losses[1].item())


def test_an_output_may_have_no_loss() -> None:
    objective = bound({"b": "mse"}, {"a": ["mae"]}, outputs=PAIR)
    y = {"a": TARGET, "b": torch.zeros(3, 2)}
    losses = objective.losses(PAIR, batch(y))
    assert len(losses) == 1 and objective.total(losses).item() == 1.0
    objective.update(PAIR, y)
    assert objective.results().keys() == {"a_mae"}
    assert [head.name for head in objective.trained] == ["b"]


def test_metrics_gather_and_forget() -> None:
    objective = bound("bce", ["accuracy", Precision()])
    objective.prepare(torch.device("cpu"))
    assert all(float(metric.state.sum()) == 0 for metric in objective.states)
    objective.update(OUT, TARGET)
    objective.update(OUT, torch.tensor([1.0, 0.0, 0.0]))
    assert objective.results() == {"accuracy": pytest.approx(5 / 6), "precision": 1.0}
    objective.reset()
    objective.update(OUT, 1 - TARGET)
    assert objective.results()["accuracy"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "arguments",
    [
        ("bce", ["accuracy"]),
        (BinaryCrossentropy(from_logits=True), [Precision(0.3), "accuracy"]),
        ({"a": BinaryCrossentropy(label_smoothing=0.1), "b": "mae"}, {"a": Precision(0.3)}, {"a": 0.5}),
        (["bce", MeanSquaredError()], [["accuracy"], ["mae"]], [1.0, 2.0]),
        ([MeanSquaredError()],),
        (MeanSquaredError(), MeanSquaredError()),
        (MeanSquaredError(), [Huber(2.0)]),
    ],
)
def test_it_is_rebuilt_from_its_config(arguments: tuple[Any, ...]) -> None:
    import json

    outputs: Any = PAIR if isinstance(arguments[0], dict) else OUT
    names = None
    if isinstance(arguments[0], list) and len(arguments[0]) == 2:
        outputs, names = [OUT, torch.ones(3, 2)], ["p", "q"]
    first = bound(*arguments, outputs=outputs, names=names)
    again = Objective(**json.loads(json.dumps(first.config())))
    again.bind(outputs, names)
    assert again.config() == first.config()
    assert [repr(head.loss) for head in again.heads] == [repr(head.loss) for head in first.heads]
    assert [[repr(metric) for metric in head.metrics] for head in again.heads] == [
        [repr(metric) for metric in head.metrics] for head in first.heads
    ]
    assert [head.share for head in again.heads] == [head.share for head in first.heads]


def test_a_function_cannot_be_stored() -> None:
    with pytest.raises(ConfigError, match="cannot be stored"):
        Objective(lambda target, output: target - output).config()


def test_targets_are_checked_for_every_output() -> None:
    objective = bound("mse", outputs=PAIR)
    with pytest.raises(ShapeError, match=r"targets of shape \(batch, 3\) do not fit outputs of shape \(batch, 2\)"):
        objective.check({"a": TARGET, "b": torch.ones(3, 3)}, PAIR)
    with pytest.raises(DataError, match=r"y has no entry for the outputs \['b'\]; it has \['a'\]"):
        objective.check({"a": TARGET}, PAIR)
    with pytest.raises(DataError, match="there are no targets for 2 outputs. Pass y"):
        objective.check(None, PAIR)
    with pytest.raises(ShapeError, match="y: got 1, expected 2 arrays, one for each output"):
        objective.check(TARGET, PAIR)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ({"a": "mse", "c": "mse"},),
            ConfigError,
            r"loss names outputs \['c'\] that are not there. Outputs: \['a', 'b'",
        ),
        (("mse", {"z": ["mae"]}), ConfigError, r"metrics names outputs \['z'\]"),
        ((["mse"] * 3,), ConfigError, r"compile\(loss=...\): got .*, expected one for each of the outputs"),
        (("mse", ["mae"]), ConfigError, r"compile\(metrics=...\): got \['mae'\], expected one for each of the outputs"),
        (("mse", None, [1.0]), ConfigError, r"compile\(loss_weights=...\)"),
    ],
)
def test_what_does_not_fit_the_outputs_is_said(
    arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        bound(*arguments, outputs=PAIR)


def test_unknown_names_are_found_when_compiled() -> None:
    losses: list[Any] = ["mes", ["mse", "mes"], {"a": "mes"}]
    for loss in losses:
        with pytest.raises(UnknownNameError, match="unknown loss 'mes'"):
            Objective(loss)


def test_metrics_where_loss_weights_stand_are_said() -> None:
    text = (
        "compile(loss_weights=...): got 'accuracy', expected a number for each loss. Metrics go in by name: "
        "compile(optimizer, loss, metrics=[...])."
    )
    with pytest.raises(ConfigError) as caught:
        Objective("mse", None, ["accuracy"])  # type: ignore[list-item]
    assert str(caught.value) == text
