"""Quality is not traded for speed: Fashion-MNIST by a small residual network, and the engine beside a plain loop.

    python -m benchmarks.fashion_mnist FOLDER [--run RUN] [--plan auto] [--only network|agreement]

FOLDER holds the four IDX files of Fashion-MNIST (github.com/zalandoresearch/fashion-mnist, MIT).

network: ResNet-8, 32 to 128 channels, with flips and shifts, on all 60,000 pictures; measured once on the 10,000 of the
test set. A run that was stopped goes on when the command is given again: `--run` is its folder.
agreement: on 10,000 pictures, five epochs, three seeds, the engine and a loop written by hand in torch train the same
network from the same weights; their test accuracies must differ by less than they do over the seeds.

Writes benchmarks/results/fashion_mnist.json.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import lepton_ai
from lepton_ai.core import this_machine, write_atomic
from lepton_ai.datasets import fashion_mnist
from lepton_ai.layers import Input, RandomFlip, RandomTranslation, Rescaling
from lepton_ai.models import Sequential, resnet
from lepton_ai.training import SGD, Adam, CosineDecay

RESULTS = Path(__file__).parent / "results" / "fashion_mnist.json"
EPOCHS, BATCH, TARGET, MINUTES = 20, 128, 0.935, 45
SEEDS, ROWS, SHORT = (0, 1, 2), 10_000, 5

Parts = tuple[tuple[Any, Any], tuple[Any, Any]]


def network(*, augment: bool = True) -> Sequential:
    """It takes pictures as they are in the files."""
    changes = [RandomFlip("horizontal"), RandomTranslation(0.07, 0.07, fill_mode="constant")] if augment else []
    body = resnet((28, 28, 1), 10, depth=8, width=32)
    return Sequential([Input((28, 28, 1), dtype="uint8"), Rescaling(1 / 255), *changes, body])


def train_network(data: Parts, run: Path, plan: str) -> dict[str, Any]:
    """The long run."""
    (x, y), test = data
    steps = EPOCHS * -(-len(x) // BATCH)
    model = network()
    schedule = CosineDecay(0.01, steps, warmup_target=0.1, warmup_steps=steps // 20)
    optimizer = SGD(
        schedule, momentum=0.9, nesterov=True, weight_decay=5e-3
    )  # decoupled: 5e-4 of torch's, which momentum makes tenfold
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], plan=plan)
    history = model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, seed=0, run=run, verbose=2)
    accuracy = float(model.evaluate(*test, return_dict=True)["accuracy"])
    minutes = sum(history.seconds) / 60
    print(f"accuracy {accuracy:.2%} after {minutes:.1f} minutes of training ({history.plan})")
    return {
        "accuracy": accuracy,
        "target": TARGET,
        "met": accuracy >= TARGET and minutes <= MINUTES,
        "minutes": round(minutes, 1),
        "epochs": EPOCHS,
        "batch_size": BATCH,
        "parameters": sum(each.numel() for each in model.parameters()),
        "plan": history.plan,
        "loss": history["loss"],
        "training_accuracy": history["accuracy"],
    }


def compare_with_plain_loop(data: Parts) -> dict[str, Any]:
    """Test accuracies of both, by seeds."""
    (x, y), (x_test, y_test) = data
    found: dict[str, list[float]] = {"lepton": [], "plain": []}
    for seed in SEEDS:
        rows = np.random.default_rng(seed).permutation(len(x))[:ROWS]
        lepton_ai.set_seed(seed)
        model = network(augment=False)
        model.compile(Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
        start = {name: value.clone() for name, value in model.state_dict().items()}
        model.fit(x[rows], y[rows], batch_size=32, epochs=SHORT, seed=seed, verbose=0)
        found["lepton"].append(float(model.evaluate(x_test, y_test, return_dict=True)["accuracy"]))
        model.load_state_dict(start)
        train_by_hand(model, torch.from_numpy(x[rows]), torch.from_numpy(y[rows].astype("int64")), seed)
        found["plain"].append(float(model.evaluate(x_test, y_test, return_dict=True)["accuracy"]))
        print(f"seed {seed}: engine {found['lepton'][-1]:.4f}, plain loop {found['plain'][-1]:.4f}", flush=True)
    difference = abs(statistics.mean(found["lepton"]) - statistics.mean(found["plain"]))
    spread = max(max(each) - min(each) for each in found.values())
    print(f"means differ by {difference:.4f}, seeds by {spread:.4f}")
    return {**found, "difference": difference, "spread": spread, "met": difference <= spread}


def train_by_hand(model: Sequential, x: torch.Tensor, y: torch.Tensor, seed: int) -> None:
    """What one writes without a framework; the network's own softmax is undone by the logarithm."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-3, eps=1e-7)
    draws = torch.Generator().manual_seed(seed)
    model.train()
    for _ in range(SHORT):
        order = torch.randperm(len(x), generator=draws)
        for first in range(0, len(x), 32):
            rows = order[first : first + 32]
            optimizer.zero_grad(set_to_none=True)
            F.nll_loss(model(x[rows]).clamp_min(1e-7).log(), y[rows]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    model.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run both parts, or one, and write what they gave beside what is there."""
    parser = argparse.ArgumentParser(description="Fashion-MNIST by a small residual network.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--run", type=Path, default=Path("runs/fashion_mnist"))
    parser.add_argument("--plan", default="default")
    parser.add_argument("--only", choices=("network", "agreement"))
    given = parser.parse_args(arguments)
    (x, y), (x_test, y_test) = fashion_mnist.load_data(given.folder)
    data = (x[..., None], y), (x_test[..., None], y_test)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results |= {"machine": this_machine().describe(), "torch": str(torch.__version__)}
    results["date"] = time.strftime("%Y-%m-%d")
    if given.only != "network":
        results["agreement"] = compare_with_plain_loop(data)
        write_atomic(RESULTS, json.dumps(results, indent=1).encode())
    if given.only != "agreement":
        results["network"] = train_network(data, given.run, given.plan)
        write_atomic(RESULTS, json.dumps(results, indent=1).encode())


if __name__ == "__main__":
    main()
