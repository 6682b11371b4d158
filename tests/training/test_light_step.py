"""Steps without torch's compiler."""

import subprocess
import sys
from pathlib import Path

import pytest

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
