"""What `Model.fit` costs beyond the training loop that one would write by hand in torch.

    python -m benchmarks.fit_overhead

Two models: the first program of the README (a convolution on 32x32x3, batch 32), and a small dense network
(30-256-256-256-2, batch 256), where a step is so short that overhead shows most; each on one thread and on all cores.
The loop by hand does the same operations in the same memory layout, with the same fused Adam, the same formula for the
loss, the same running accuracy, the same rows in the same order, and the same allocator setting; the losses of both are
compared, so that it is known that they do the same.

Both train in turns, the order of a turn alternating; each turn gives one ratio of their times. `fit` is timed as a
user calls it: with the checks of the data before, and the profile of the data after. `steady` is the time of the
epochs alone. Writes benchmarks/results/fit_overhead.json: medians, with a 95 % interval by bootstrap over the turns.
"""

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import lepton_ai
from lepton_ai.core import this_machine
from lepton_ai.hal import ExecutionPlan, applied
from lepton_ai.layers import Conv2D, Dense, Flatten, MaxPooling2D
from lepton_ai.models import Sequential
from lepton_ai.rng import permutation, set_seed

RESULTS = Path(__file__).parent / "results" / "fit_overhead.json"
TURNS, EPOCHS = 11, 10
TARGET = 1.10

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model in both spellings, and what to train it on."""

    name: str
    ours: Callable[[], Sequential]
    by_hand: Callable[[], nn.Module]
    shape: tuple[int, ...]
    rows: int
    batch: int


class Channels(nn.Module):
    """Images as channels first, in channels-last memory, as `Conv2D` sees them; and back before they are flat."""

    def __init__(self, *order: int) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(self.order)


def convolution() -> Sequential:
    """The first program."""
    model = Sequential()
    model.add(Conv2D(32, (3, 3), activation="relu", input_shape=(32, 32, 3)))
    model.add(MaxPooling2D(pool_size=(2, 2)))
    model.add(Flatten())
    model.add(Dense(64, activation="relu"))
    model.add(Dense(2, activation="softmax"))
    return model


def convolution_by_hand() -> nn.Module:
    """The same in torch."""
    return nn.Sequential(
        *(Channels(0, 3, 1, 2), nn.Conv2d(3, 32, 3), nn.ReLU(), nn.MaxPool2d(2), Channels(0, 2, 3, 1), nn.Flatten()),
        *(nn.Linear(15 * 15 * 32, 64), nn.ReLU(), nn.Linear(64, 2), nn.Softmax(-1)),
    )


def dense() -> Sequential:
    """The dense network."""
    hidden = [Dense(256, activation="relu", input_shape=(30,)), *(Dense(256, activation="relu") for _ in range(2))]
    return Sequential([*hidden, Dense(2, activation="softmax")])


def dense_by_hand() -> nn.Module:
    """The same in torch."""
    return nn.Sequential(
        *(nn.Linear(30, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU()),
        *(nn.Linear(256, 2), nn.Softmax(-1)),
    )


CASES = (
    Case(
        name="convolution 32x32x3, batch 32",
        ours=convolution,
        by_hand=convolution_by_hand,
        shape=(32, 32, 3),
        rows=1_600,
        batch=32,
    ),
    Case(
        name="dense 30-256-256-256-2, batch 256", ours=dense, by_hand=dense_by_hand, shape=(30,), rows=25_600, batch=256
    ),
)


@dataclass(frozen=True)
class Run:
    """`seconds` in all, `steady` in the epochs alone; the mean loss of each epoch and the last accuracy."""

    seconds: float
    steady: float
    losses: list[float]
    accuracy: float


def fit(case: Case, x: Floats, y: Floats, weights: list[Tensor]) -> Run:
    """One training through `Model.fit`."""
    model = case.ours()
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    model.predict(x[:1])
    with torch.no_grad():
        for own, weight in zip(model.parameters(), weights, strict=True):
            own.copy_(weight)
    started = time.perf_counter()
    history = model.fit(x, y, batch_size=case.batch, epochs=EPOCHS, verbose=0, seed=0)
    seconds = time.perf_counter() - started
    return Run(seconds, sum(history.seconds), history["loss"], history["accuracy"][-1])


def loop(case: Case, x: Floats, y: Floats, weights: list[Tensor]) -> Run:
    """The same training by hand."""
    model = case.by_hand()
    with torch.no_grad():
        for own, weight in zip(model.parameters(), weights, strict=True):
            own.copy_(weight)
    started = time.perf_counter()
    model = model.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    # AdamW without decay is Adam; Keras' epsilon.
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, eps=1e-7, weight_decay=0.0, fused=True)
    rows, targets = torch.from_numpy(x), torch.from_numpy(y)
    losses = []
    with applied(ExecutionPlan()):
        began = time.perf_counter()
        for epoch in range(EPOCHS):
            order = torch.from_numpy(permutation(0, epoch, len(rows)))
            total, right = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.int64)
            for first in range(0, len(rows), case.batch):
                chosen = order[first : first + case.batch]
                output, target = model(rows.index_select(0, chosen)), targets.index_select(0, chosen)
                loss = cross_entropy(output, target)
                torch.autograd.backward(loss)
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                total += loss.detach() * len(chosen)
                right += (output.argmax(-1) == target.argmax(-1)).sum()
            losses.append(float(total) / len(rows))
        steady = time.perf_counter() - began
    return Run(time.perf_counter() - started, steady, losses, int(right) / len(rows))


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """The mean categorical cross-entropy of probabilities, by the formula of `CategoricalCrossentropy`."""
    output = output / output.sum(-1, keepdim=True)
    return -(target * output.clamp_min(torch.finfo(output.dtype).tiny).log()).sum(-1).sum() / len(output)


def weights_of(case: Case) -> list[Tensor]:
    """The weights that both start from."""
    set_seed(0)
    model = case.ours()
    model.predict(np.zeros((1, *case.shape), np.float32))
    return [weight.detach().clone() for weight in model.parameters()]


def interval(ratios: list[float]) -> tuple[float, float]:
    """The 95 % interval of the median, by bootstrap."""
    draws = np.random.default_rng(0).choice(ratios, (10_000, len(ratios)))
    low, high = np.quantile(np.median(draws, axis=1), (0.025, 0.975))
    return float(low), float(high)


def compare(case: Case, threads: int) -> dict[str, Any]:
    """Both in turns, after one turn that does not count."""
    torch.set_num_threads(threads)
    random = np.random.default_rng(0)
    x = random.random((case.rows, *case.shape), np.float32)
    y = np.eye(2, dtype=np.float32)[random.integers(0, 2, case.rows)]
    weights = weights_of(case)
    pairs = []
    for turn in range(TURNS + 1):
        runs = {way: way(case, x, y, weights) for way in ((fit, loop) if turn % 2 else (loop, fit))}
        pairs.append((runs[fit], runs[loop]))
        np.testing.assert_allclose(runs[fit].losses, runs[loop].losses, rtol=1e-3)
        assert abs(runs[fit].accuracy - runs[loop].accuracy) < 0.01
    del pairs[0]
    steps = EPOCHS * -(-case.rows // case.batch)
    result: dict[str, Any] = {"case": case.name, "threads": threads, "rows": case.rows, "epochs": EPOCHS}
    for name, kind in (("steady", "steady"), ("whole call", "seconds")):
        ours, by_hand = ([getattr(pair[side], kind) for pair in pairs] for side in (0, 1))
        ratios = [a / b for a, b in zip(ours, by_hand, strict=True)]
        low, high = interval(ratios)
        result[name] = {
            "ratio": statistics.median(ratios),
            "interval": [low, high],
            "fit_ms_per_step": 1e3 * statistics.median(ours) / steps,
            "by_hand_ms_per_step": 1e3 * statistics.median(by_hand) / steps,
            "ratios": ratios,
        }
        ratio = statistics.median(ratios)
        print(
            f"{case.name:34} {threads} threads  {name:10}  {ratio:.3f} times by hand  (95 %: {low:.3f} to {high:.3f})"
        )
    return result


def main() -> None:
    """Run everything and write the results."""
    before = torch.get_num_threads()
    report = {
        "command": "python -m benchmarks.fit_overhead",
        "machine": this_machine().describe(),
        "versions": {
            "lepton-ai": lepton_ai.__version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "turns": TURNS,
        "target": TARGET,
        "cases": [compare(case, threads) for case in CASES for threads in sorted({1, this_machine().cores})],
    }
    torch.set_num_threads(before)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(report, indent=1) + "\n")
    print(f"written to {RESULTS}")


if __name__ == "__main__":
    main()
