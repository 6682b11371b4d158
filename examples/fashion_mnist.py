"""Kinds of clothing from pictures: a convolutional network, trained, exported and served.

python examples/fashion_mnist.py FOLDER        # the folder with the four IDX files of Fashion-MNIST
"""

import argparse
from pathlib import Path

import numpy as np

import lepton_ai
from lepton_ai.datasets import fashion_mnist
from lepton_ai.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    GlobalAveragePooling2D,
    Input,
    MaxPooling2D,
    RandomFlip,
    Rescaling,
)
from lepton_ai.serving import Server
from lepton_ai.training import Adam, CosineDecay


def build(steps: int) -> lepton_ai.Sequential:
    """The network; it takes pictures as they are in the files."""
    model = lepton_ai.Sequential(
        [
            Input((28, 28, 1), dtype="uint8", name="image"),
            Rescaling(1 / 255),
            RandomFlip("horizontal"),
            Conv2D(32, 3, padding="same", use_bias=False),
            BatchNormalization(),
            Conv2D(32, 3, padding="same", activation="relu"),
            MaxPooling2D(),
            Conv2D(64, 3, padding="same", use_bias=False),
            BatchNormalization(),
            Conv2D(64, 3, padding="same", activation="relu"),
            MaxPooling2D(),
            Conv2D(128, 3, padding="same", activation="relu"),
            GlobalAveragePooling2D(),
            Dropout(0.3),
            Dense(10, activation="softmax"),
        ]
    )
    schedule = CosineDecay(1e-4, steps, alpha=0.01, warmup_target=3e-3, warmup_steps=steps // 10)
    model.compile(Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(arguments: list[str] | None = None) -> float:
    """Run it; the accuracy on the test set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("clothing.lepton"))
    given = parser.parse_args(arguments)

    (x_train, y_train), (x_test, y_test) = fashion_mnist.load_data(given.folder)
    x_train, x_test = x_train[..., None], x_test[..., None]
    batch = 64
    model = build(given.epochs * -(-len(x_train) // batch))
    model.fit(x_train, y_train, batch_size=batch, epochs=given.epochs, seed=0)
    accuracy = float(model.evaluate(x_test, y_test, return_dict=True)["accuracy"])
    print(f"accuracy on {len(x_test)} pictures: {accuracy:.2%}")

    labels = list(fashion_mnist.LABELS)
    lepton_ai.export(model, given.out, labels=labels, metrics={"accuracy": accuracy}, overwrite=True)
    with Server.open(given.out, port=0) as server:
        answer = ask(f"{server.url}/v2/models/{given.out.stem}/infer", x_test[:1])
        print(f"served: the first picture is {labels[int(answer.argmax())]}, it was {labels[y_test[0]]}")
    return accuracy


def ask(url: str, images: np.ndarray) -> np.ndarray:
    """The answer of a server of the Open Inference Protocol."""
    import json
    import urllib.request

    tensor = {"name": "image", "shape": images.shape, "datatype": "UINT8", "data": images.ravel().tolist()}
    request = urllib.request.Request(
        url, json.dumps({"inputs": [tensor]}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request) as response:
        return np.array(json.load(response)["outputs"][0]["data"])


if __name__ == "__main__":
    main()
