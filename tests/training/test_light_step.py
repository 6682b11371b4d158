"""Steps without torch's compiler."""

import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lepton_ai.training.light_step import FusedAdamW, FusedSGD

PROGRAM = """
import sys
import numpy as np
from lepton_ai.layers import BatchNormalization, Dense, Dropout, Input
from lepton_ai.models import Sequential
x, y = np.random.default_rng(0).random((20, 4), "float32"), np.arange(20) % 3
model = Sequential([Input((4,)), Dense(5, activation="relu"), BatchNormalization(), Dropout(0.5), Dense(3, "softmax")])
model.compile("{name}", "sparse_categorical_crossentropy", metrics=["accuracy"])
for epochs in (1, 2):
    model.fit(x, y, validation_split=0.2, epochs=epochs, verbose=0, run={run!r})
model.evaluate(x, y, verbose=0)
model.save({bundle!r})
print(sorted(name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor", "sympy"))))
"""


@pytest.mark.parametrize("name", ["sgd", "adam", "rmsprop", "channel_adaptive"])
def test_training_does_not_import_the_compiler(name: str, tmp_path: Path) -> None:
    """Which takes longer than a small model trains; checkpoints and going on from them included."""
    program = PROGRAM.format(name=name, run=str(tmp_path / "run"), bundle=str(tmp_path / "model.lepton"))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_weights_that_rest_in_some_steps_count_their_own() -> None:
    """Equal counts are shared between weights; a weight without a gradient leaves the others."""
    ours, torchs = (
        [torch.nn.Parameter(torch.arange(3.0) + n) for n in range(3)] + [torch.nn.Parameter(torch.ones(2).double())]
        for _ in range(2)
    )
    settings = {"lr": 0.1, "betas": (0.8, 0.9), "eps": 1e-7, "weight_decay": 0.0, "amsgrad": False}
    optimizers = FusedAdamW(ours, **settings), torch.optim.AdamW(torchs, fused=True, **settings)  # type: ignore[arg-type]
    for step, resting in enumerate(({}, {1}, {0, 3}, {1, 2}, {0, 1, 2, 3}, {})):
        for weights, optimizer in zip((ours, torchs), optimizers, strict=True):
            for number, weight in enumerate(weights):
                weight.grad = None if number in resting else torch.full_like(weight, step + number + 1.0)
            optimizer.step()
        if step == 3:  # loading makes new state, which must be taken
            optimizers[0].load_state_dict(copy.deepcopy(optimizers[1].state_dict()))
        states = [[each.state_dict()["state"][n] for n in range(4)] for each in optimizers]
        assert [float(own["step"]) for own in states[0]] == [float(own["step"]) for own in states[1]]
        assert all(torch.equal(a, b) for a, b in zip(ours, torchs, strict=True))


def test_hooks_are_called() -> None:
    weight, seen = torch.nn.Parameter(torch.ones(2)), []
    optimizer = FusedSGD([weight], lr=1.0, momentum=0.0, nesterov=False)
    optimizer.register_step_pre_hook(lambda *_: seen.append(("before", weight.tolist())))
    optimizer.register_step_post_hook(lambda *_: seen.append(("after", weight.tolist())))
    weight.grad = torch.ones(2)
    assert optimizer.step(lambda: 3.0) == 3.0
    assert seen == [("before", [1.0, 1.0]), ("after", [0.0, 0.0])]
