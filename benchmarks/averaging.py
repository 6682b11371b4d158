"""Averaged parameters beside summed gradients: what `sync="parameters"` saves on the wire, and what it costs.

    python -m benchmarks.averaging FOLDER

FOLDER holds the four IDX files of Fashion-MNIST (github.com/zalandoresearch/fashion-mnist, MIT). Two workers train a
small convolutional network on 10,000 of its pictures, from the same weights for each seed: with gradients summed at
each step, and with weights averaged every 1, 8, 64 steps, or once in an epoch. The loss on the pictures of the test set
is measured after each epoch. Writes benchmarks/results/averaging.json and docs/images/averaging.png.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

import lepton_ai
from lepton_ai.core import this_machine, write_atomic
from lepton_ai.datasets import fashion_mnist
from lepton_ai.distributed import Workers
from lepton_ai.layers import Conv2D, Dense, Flatten, Input, MaxPooling2D, Rescaling
from lepton_ai.models import Sequential
from lepton_ai.training import Adam

RESULTS = Path(__file__).parent / "results" / "averaging.json"
PLOT = Path(__file__).parents[1] / "docs" / "images" / "averaging.png"
SEEDS, ROWS, EPOCHS, BATCH = (0, 1, 2), 10_000, 8, 64
STEPS = -(-ROWS // BATCH)
WAYS = {
    "gradients, each step": Workers(count=2),
    **{f"weights, every {k} steps": Workers(count=2, sync="parameters", every=k) for k in (1, 8, 64)},
    "weights, once in an epoch": Workers(count=2, sync="parameters", every=STEPS),
}


def network() -> Sequential:
    """Two convolutions and a dense layer."""
    model = Sequential(
        [
            Input((28, 28, 1), dtype="uint8"),
            Rescaling(1 / 255),
            Conv2D(16, 3, activation="relu"),
            MaxPooling2D(),
            Conv2D(32, 3, activation="relu"),
            MaxPooling2D(),
            Flatten(),
            Dense(64, activation="relu"),
            Dense(10, activation="softmax"),
        ]
    )
    model.compile(Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def measure(data: Any) -> dict[str, Any]:
    """Losses and accuracies on the test set after each epoch, by way and seed."""
    (x, y), test = data
    found: dict[str, Any] = {}
    for way, workers in WAYS.items():
        losses, accuracies = [], []
        for seed in SEEDS:
            lepton_ai.set_seed(seed)
            model = network()
            history = model.fit(x[:ROWS], y[:ROWS], BATCH, EPOCHS, 0, validation_data=test, seed=seed, workers=workers)
            losses.append(history["val_loss"])
            accuracies.append(history["val_accuracy"])
        found[way] = {
            "loss": losses,
            "accuracy": accuracies,
            "exchanges_per_epoch": STEPS if workers.sync == "gradients" else STEPS // workers.every,
            "last_accuracy": statistics.mean(each[-1] for each in accuracies),
            "spread": max(each[-1] for each in accuracies) - min(each[-1] for each in accuracies),
        }
        print(f"{way:<28} {found[way]['last_accuracy']:.4f} (seeds differ by {found[way]['spread']:.4f})", flush=True)
    return found


def draw(found: dict[str, Any], path: Path) -> None:
    """The mean loss over the seeds, by epoch."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for way, each in found.items():
        means = [statistics.mean(epoch) for epoch in zip(*each["loss"], strict=True)]
        axes.plot(range(1, len(means) + 1), means, marker="o", markersize=3, label=way)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss on the test set")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train all ways, and write what they gave."""
    parser = argparse.ArgumentParser(description="Averaged parameters beside summed gradients.")
    parser.add_argument("folder", type=Path)
    (x, y), (x_test, y_test) = fashion_mnist.load_data(parser.parse_args(arguments).folder)
    found = measure(((x[..., None], y), (x_test[..., None], y_test)))
    result = {
        "machine": this_machine().describe(),
        "torch": str(torch.__version__),
        "date": time.strftime("%Y-%m-%d"),
        "rows": ROWS,
        "batch_size": BATCH,
        "workers": 2,
        "ways": found,
    }
    write_atomic(RESULTS, json.dumps(result, indent=1).encode() + b"\n")
    draw(found, PLOT)


if __name__ == "__main__":
    main()
