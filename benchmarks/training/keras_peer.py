"""Keras on one of its three backends: `compile` and `fit`."""

import os
import sys
from pathlib import Path
from typing import Any

# Keras reads its backend once, where it is imported.
os.environ["KERAS_BACKEND"] = sys.argv[1].split("-")[1]

import keras
import numpy as np
from PIL import Image

from benchmarks.training import keras_models
from benchmarks.training.peer import BFLOAT16, Pace, versions_of
from benchmarks.training.workloads import CUT, SIDE, WORKLOADS, read

PACKAGES = {"jax": ("jax", "jaxlib"), "tensorflow": ("tensorflow-cpu",), "torch": ("torch",)}
FOREVER = 10**9


class Before(keras.callbacks.Callback):
    """Calls the pace before each step; see `peer`."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def on_train_begin(self, logs: Any = None) -> None:
        self.pace.begin()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.pace()


class After(keras.callbacks.Callback):
    """Calls the pace after the first step."""

    def __init__(self, pace: Pace) -> None:
        super().__init__()
        self.pace = pace

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.pace()


class Pictures(keras.utils.PyDataset):
    """Batches of a folder of pictures in a new order each epoch, decoded by Keras' own workers: what Keras has for
    backends without tf.data."""

    def __init__(self, folder: Path, size: int) -> None:
        super().__init__(workers=2)
        labels = sorted(path.name for path in folder.iterdir())
        self.files = [(path, labels.index(path.parent.name)) for path in sorted(folder.rglob("*.jpg"))]
        self.size, self.random = size, np.random.default_rng(0)
        self.on_epoch_end()

    def __len__(self) -> int:
        return len(self.files) // self.size

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        chosen = [self.files[place] for place in self.order[index * self.size : (index + 1) * self.size]]
        return np.stack([self.decoded(path) for path, _ in chosen]), np.array([label for _, label in chosen])

    def on_epoch_end(self) -> None:
        self.order = self.random.permutation(len(self.files))

    def decoded(self, path: Path) -> Any:
        """The pixels, resized, cropped at a random place, and mirrored at random; float32, as Keras takes them."""
        with Image.open(path) as opened:
            image = opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
        top, left = self.random.integers(0, SIDE - CUT + 1, 2)
        pixels = np.asarray(image, np.float32)[top : top + CUT, left : left + CUT]
        return pixels[:, ::-1] if self.random.random() < 0.5 else pixels


def pictures(folder: Path, size: int) -> Any:
    """tf.data where TensorFlow is, with Keras' own layers in it, as Keras recommends; they do not work inside of the
    model, where RandomCrop of Keras 3.15 leaves pictures as they are whenever it does not train."""
    if keras.backend.backend() != "tensorflow":
        return Pictures(folder, size)
    from tensorflow.data import AUTOTUNE

    crop, flip = keras.layers.RandomCrop(CUT, CUT), keras.layers.RandomFlip("horizontal")
    made = keras.utils.image_dataset_from_directory(folder, batch_size=size, image_size=(SIDE, SIDE), verbose=False)
    augmented = made.map(lambda x, y: (flip(crop(x, training=True), training=True), y), num_parallel_calls=AUTOTUNE)
    return augmented.prefetch(AUTOTUNE)


def wait(model: keras.Model) -> None:
    """JAX computes while Python goes on; the other backends' steps are done when they return."""
    if keras.backend.backend() == "jax":
        import jax

        # Array by array: Keras keeps its state in lists of its own kind, which `block_until_ready` takes for leaves
        # that are ready, and so would not wait at all.
        state = getattr(model, "_jax_state", None) or {"": [each.value for each in model.variables]}
        jax.block_until_ready([array for arrays in state.values() for array in arrays])


def train(peer: str, name: str, folder: Path, mode: str) -> None:
    """`fit` on arrays, or on pictures."""
    pace = Pace(mode, versions_of("keras", "numpy", *PACKAGES[keras.backend.backend()]))
    keras.utils.set_random_seed(0)
    if peer.endswith(BFLOAT16):
        keras.config.set_dtype_policy("mixed_bfloat16")
    model, workload = keras_models.build(name), WORKLOADS[name]
    pace.parameters = lambda: sum(int(np.prod(each.shape)) for each in model.trainable_variables)
    pace.wait = lambda: wait(model)
    if workload.binary:
        loss: Any = keras.losses.BinaryCrossentropy(from_logits=True)
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=loss)
    hook = After(pace) if mode == "first" else Before(pace)
    if name == "g":
        model.fit(pictures(folder, workload.batch), epochs=FOREVER, verbose=0, callbacks=[hook])
    else:
        x, y = read(folder)
        model.fit(x, y, batch_size=workload.batch, epochs=FOREVER, verbose=0, callbacks=[hook])
