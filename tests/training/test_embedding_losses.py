import logging
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lepton_ai.training.losses import Circle, Contrastive, SupervisedContrastive, Triplet, TripletMargin
from lepton_ai.training.objective import Objective
from tests.contracts.loss import LossContract

GROUPS = torch.tensor([0, 1, 0, 2, 1, 0])
POINTS = torch.randn(6, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


class Rows(LossContract):
    def pair(self) -> tuple[Tensor, Tensor]:
        return GROUPS, POINTS.clone()


class TestTriplet(Rows):
    name, loss = "triplet", Triplet()


class TestHardTriplet(Rows):
    name, loss = "triplet", Triplet(0.5, mining="hard")


class TestSupervisedContrastive(Rows):
    name, loss = "supervised_contrastive", SupervisedContrastive(0.5)


class TestCircle(Rows):
    name, loss = "circle", Circle(2.0, 0.3)

    def pair(self) -> tuple[Tensor, Tensor]:
        return GROUPS, torch.nn.functional.normalize(POINTS, dim=1)


class TestContrastive(LossContract):
    name, loss = "contrastive", Contrastive(0.8)

    def pair(self) -> tuple[Tensor, Tensor]:
        return torch.tensor([1, 0, 1, 1, 0, 0]), POINTS[:, :1].abs()


class TestTripletMargin(LossContract):
    name, loss = "triplet_margin", TripletMargin(0.7)

    def pair(self) -> tuple[Tensor, Tensor]:
        return GROUPS, torch.stack([POINTS, POINTS.flip(0), POINTS.flip(1)], 1)


def triplet_by_hand(labels: list[int], points: Any, margin: float, mining: str) -> list[float]:
    """The definition, row by row and pair by pair."""
    values = []
    for row, label in enumerate(labels):
        distance = [float(np.linalg.norm(points[row] - other)) for other in points]
        like = [d for i, d in enumerate(distance) if labels[i] == label and i != row]
        unlike = [d for i, d in enumerate(distance) if labels[i] != label]
        if not like or not unlike:
            values.append(0.0)
        elif mining == "hard":
            values.append(max(max(like) - min(unlike) + margin, 0))
        else:
            beyond = [min((u for u in unlike if u > d), default=max(unlike)) for d in like]
            values.append(sum(max(d - u + margin, 0) for d, u in zip(like, beyond, strict=True)) / len(like))
    return values


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=12),
    st.integers(0, 2**31),
    st.sampled_from([0.2, 1.0]),
    st.sampled_from(["semi_hard", "hard"]),
)
def test_triples_are_found_as_defined(labels: list[int], seed: int, margin: float, mining: str) -> None:
    points = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    points.requires_grad_()
    values = Triplet(margin, mining)(torch.tensor(labels), points)
    torch.autograd.backward(values.sum())
    assert points.grad is not None and bool(torch.isfinite(points.grad).all())
    expected = triplet_by_hand(labels, points.detach().numpy(), margin, mining)
    assert values.tolist() == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=10), st.integers(0, 2**31))
def test_contrast_is_computed_as_in_the_paper(labels: list[int], seed: int) -> None:
    points = torch.randn(len(labels), 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    values = SupervisedContrastive(0.3)(torch.tensor(labels), points)
    unit = points.numpy() / np.linalg.norm(points.numpy(), axis=1, keepdims=True)
    for row, label in enumerate(labels):
        scores = unit @ unit[row] / 0.3
        others = [i for i in range(len(labels)) if i != row]
        like = [i for i in others if labels[i] == label]
        if not like or len(like) == len(others):
            assert values[row] == 0
            continue
        total = np.log(sum(np.exp(scores[i]) for i in others))
        assert values[row].item() == pytest.approx(sum(total - scores[i] for i in like) / len(like), rel=1e-9)


@pytest.mark.parametrize("loss", [Triplet(), Triplet(mining="hard"), SupervisedContrastive(), Circle()])
def test_rows_without_a_partner_cost_nothing(loss: Triplet | SupervisedContrastive | Circle) -> None:
    unit = torch.nn.functional.normalize(POINTS, dim=1).requires_grad_()
    for labels in (torch.zeros(6), torch.arange(6.0)):
        values = loss(labels, unit)
        assert bool((values == 0).all())
        (slope,) = torch.autograd.grad(values.sum(), unit)
        assert bool((slope == 0).all())
    assert loss(torch.tensor([1]), unit[:1]).tolist() == [0]


def test_several_workers_are_warned(caplog: pytest.LogCaptureFixture) -> None:
    for loss, warned in ((Triplet(), True), (Contrastive(), False)):
        objective = Objective(loss)
        objective.bind(torch.zeros(2, 1))
        with caplog.at_level(logging.WARNING, "lepton_ai.training"):
            objective.warn_of_pairs(1)
            assert not caplog.messages
            objective.warn_of_pairs(3)
        assert caplog.messages == warned * [
            "triplet compares the rows of a batch with each other; each of 3 workers sees its own share only, so the "
            "result depends on their number"
        ]
        caplog.clear()


def test_equal_embeddings_have_finite_gradients() -> None:
    points = torch.zeros(4, 2, requires_grad=True)
    for loss in (Triplet(), Triplet(mining="hard"), SupervisedContrastive()):
        (slope,) = torch.autograd.grad(loss(torch.tensor([0, 0, 1, 1]), points).sum(), points)
        assert bool(torch.isfinite(slope).all())
    triples = torch.zeros(2, 3, 2, requires_grad=True)
    (slope,) = torch.autograd.grad(TripletMargin()(torch.zeros(2), triples).sum(), triples)
    assert bool(torch.isfinite(slope).all())
