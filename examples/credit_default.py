"""Who will not pay next month: numbers and categories of 30,000 card holders, with a threshold by what mistakes cost.

python examples/credit_default.py FILE         # UCI's "default of credit card clients" as CSV
"""

import argparse
import json
import urllib.request
from pathlib import Path

import pandas as pd

import lepton_ai
from lepton_ai.evaluation import cheapest_threshold, roc_auc
from lepton_ai.serving import Server
from lepton_ai.tasks import LPNN, Classes, Columns

TARGET = "DID_DEFAULT_PAYMENT"


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Run it; the figures on rows that the model did not see."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--out", type=Path, default=Path("credit.lepton"))
    given = parser.parse_args(arguments)

    frame = pd.read_csv(given.file)
    y = frame.pop(TARGET).to_numpy()
    x = frame.drop(columns="USER_ID")
    (x_train, y_train), (x_test, y_test) = lepton_ai.split(x, y, test=0.2, stratify=y)

    columns = Columns.of(x_train, categories=("SEX", "EDUCATION", "MARITALSTATUS"))
    model = LPNN(columns, Classes(labels=("paid", "default")), parameters=50_000)
    model.fit(x_train, y_train, epochs=given.epochs)
    result = model.evaluate(x_test, y_test)
    chances = model.predict(x_test)[:, 1]
    figures = {"accuracy": float((chances.round() == y_test).mean()), "roc_auc": roc_auc(chances, y_test)}
    print(f"{model.chosen}: accuracy {result.accuracy:.4f}, AUC {figures['roc_auc']:.4f} on {len(y_test)} card holders")

    # The threshold is chosen on rows that were trained on no more than the test rows: here, half of the test set.
    half = len(y_test) // 2
    best = cheapest_threshold(chances[:half], y_test[:half], false_negative=5)
    called = chances[half:] >= best.threshold
    print(
        f"if a miss costs five false alarms, call {best.threshold:.2f} and more: "
        f"finds {called[y_test[half:] == 1].mean():.0%} of them"
    )

    model.export(given.out, overwrite=True)
    row = x_test.iloc[0]
    with Server.open(given.out, port=0) as server:
        inputs = [
            {"name": name, "shape": [1, 1], "datatype": "FP32", "data": [float(row[name])]} for name in columns.numbers
        ]
        inputs += [
            {"name": name, "shape": [1, 1], "datatype": "BYTES", "data": [str(int(row[name]))]}
            for name in columns.categories
        ]
        request = urllib.request.Request(
            f"{server.url}/v2/models/{given.out.stem}/infer",
            json.dumps({"inputs": inputs}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            answer = json.load(response)["outputs"][0]["data"]
        print(f"served: the first card holder defaults with {answer[1]:.1%}; in this process {chances[0]:.1%}")
    return figures


if __name__ == "__main__":
    main()
