"""A training program that is killed and started again: `python program.py FOLDER` leaves FOLDER/weights.safetensors."""

import sys
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from lepton_ai.core import write_atomic
from lepton_ai.layers import BatchNormalization, Dense, Dropout
from lepton_ai.models import Sequential
from lepton_ai.training import Adam, CosineDecay, EarlyStopping, LambdaCallback, MixUp, ReduceLROnPlateau


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 16)).astype("float32")
    y = (x[:, :4].sum(1) > 0).astype("int64")
    model = Sequential(
        [
            Dense(32, activation="relu", input_shape=(16,)),
            BatchNormalization(),
            Dropout(0.3),
            Dense(2, activation="softmax"),
        ]
    )
    optimizer = Adam(
        CosineDecay(0.01), global_clipnorm=1.0, use_ema=True, ema_momentum=0.9, gradient_accumulation_steps=2
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy", "auc"])
    history = model.fit(
        x,
        y,
        batch_size=8,
        epochs=12,
        validation_split=0.2,
        verbose=0,
        callbacks=[
            EarlyStopping(patience=20, restore_best_weights=True),
            ReduceLROnPlateau(patience=1, factor=0.7),
            LambdaCallback(on_train_batch_end=lambda batch, logs: print(batch, flush=True)),
        ],
        augment=MixUp(),
        run=folder,
        checkpoint_every=3,
    )
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    safetensors.torch.save_file(weights, folder / "weights.safetensors")
    # Last: a program killed before this line has not finished.
    write_atomic(folder / "history", repr(history.history).encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
