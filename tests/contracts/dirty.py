"""Data with every fault that a check looks for, in files; and data with none."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from lepton_ai.cleaning import Limits, read_records
from lepton_ai.cleaning.check import TableSubject
from lepton_ai.cleaning.images import ImageSubject
from lepton_ai.cleaning.rules import Rule

ROWS = 400
LIMITS = Limits(now=1.7e9)
COMMENTS = ("The parcel came late and it was wet through", "Nothing to complain about this time at all",
            "Would order again if the price were lower", "The colour differs from what the page had shown")  # fmt: skip


def clean_columns() -> dict[str, list[str]]:
    """A table of texts in which nothing is wrong."""
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, ROWS)
    b, c, d = (a * share + rng.normal(0, 1, ROWS) for share in (0.5, 0.3, 0.1))
    town = rng.choice(["Graz", "Linz", "Wien"], ROWS)
    label = np.where(a + b + 2 * (town == "Wien") + rng.normal(0, 0.5, ROWS) > 1, "yes", "no")
    columns = {"a": a, "b": b, "c": c, "d": d, "town": town, "label": label}
    return {name: [f"{value:.4f}" if isinstance(value, float) else str(value) for value in values.tolist()]
            for name, values in columns.items()}  # fmt: skip


def dirty_columns() -> dict[str, list[str]]:
    """That table with faults."""
    columns = clean_columns()
    rng = np.random.default_rng(1)
    day = [f"2023-{1 + i // 34:02}-{1 + i % 28:02}" for i in range(ROWS)]
    columns |= {
        "id": [str(1000 + i) for i in range(ROWS)],
        "age": [str(20 + i % 60) for i in range(ROWS)],
        "grade": [str(1 + i % 5) for i in range(ROWS)],
        "empty": [""] * ROWS,
        "version": ["3"] * ROWS,
        "again": list(columns["a"]),
        "paid": ["100" if label == "yes" else "0" for label in columns["label"]],
        "comment": [
            f"{COMMENTS[i % 4]}, number {rng.integers(10**9)} says so {rng.integers(10**9)}" for i in range(ROWS)
        ],
        "joined": day,
        "customer": [f"c{i // 2}" for i in range(ROWS)],
    }
    put = {
        "b": {3: "", 4: "", 5: "-999", 6: "-999", 9: "900000"},
        "c": {10: "3,5 kg", 11: "about 4", 12: "inf"},
        "age": {20: "-5", 21: "180"},
        "grade": {30: "9"},
        "town": {40: "graz ", 41: "KÃ¶ln", 42: "?", 43: "W\ufffden"},
        "joined": {50: "2093-01-01", 51: "the third"},
        "label": {60: "", 61: "maybe", 62: "maybe"},
    }
    for name, values in put.items():
        for row, value in values.items():
            columns[name][row] = value
    columns["comment"][71] = columns["comment"][70].upper()
    for row in (80, 81):  # a row that hardly holds anything
        for name in columns:
            columns[name][row] = "" if name not in ("id", "label") else columns[name][row]
    columns["double"] = [f"{2 * float(value or 0) + rng.normal(0, 0.01):.4f}" for value in columns["a"]]
    low, high = (int(place(np.array(columns["double"], np.float64))) for place in (np.argmin, np.argmax))
    columns["double"][low], columns["double"][high] = columns["double"][high], columns["double"][low]
    pairs = {"duplicate": 300, "conflict": 310, "near": 320}
    for row in pairs.values():
        for name in columns:
            columns[name][row + 1] = columns[name][row] if name != "id" or row == 300 else columns[name][row + 1]
    columns["label"][311] = "no" if columns["label"][310] == "yes" else "yes"
    columns["d"][321] = f"{float(columns['d'][320]) + 0.0004:.4f}"
    for row in (330, 331, 332, 333):  # labels that all else speaks against
        columns["a"][row] = columns["again"][row] = "3.0"
        columns["b"][row], columns["town"][row], columns["label"][row] = f"2.{row}", "Wien", "no"
    columns["paid"] = [{"yes": "100", "no": "0"}.get(label, "50") for label in columns["label"]]
    columns["paid"][311] = columns["paid"][310]
    return columns


def write_csv(path: Path, columns: dict[str, list[str]], more: str = "") -> Path:
    """The columns as a CSV file, with lines that are not theirs at its end."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        file.write(more)
    return path


def other_columns() -> dict[str, list[str]]:
    """A test part that shares rows, groups and time with the dirty table, and has drifted."""
    columns = {name: values[200:260] for name, values in dirty_columns().items() if name != "grade"}
    columns["d"][:30] = [f"{float(value) + 0.0003:.4f}" for value in columns["d"][:30]]
    columns["label"][0] = "never"
    columns["more"] = ["x"] * 60
    return columns


def dirty_table(folder: Path) -> TableSubject:
    """The dirty table, as checks get it."""
    columns = dirty_columns()
    return TableSubject(
        read_records(
            write_csv(folder / "train.csv", columns, more=",".join(v[0] for v in columns.values()) + ",9,9\n")
        ),
        target="label",
        against=read_records(write_csv(folder / "test.csv", other_columns())),
        group="customer",
        time="joined",
        rules=(Rule.parse("age between 0 and 120"),),
        limits=LIMITS,
    )


def clean_table(folder: Path) -> TableSubject:
    """The clean table, as checks get it."""
    return TableSubject(read_records(write_csv(folder / "clean.csv", clean_columns())), target="label", limits=LIMITS)


def clean_images(folder: Path) -> ImageSubject:
    """Handwritten digits, 32 x 32, by class."""
    data = load_digits()
    for row, (image, label) in enumerate(zip(data.images[:300], data.target[:300], strict=True)):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        levels = (image * 15.9).astype(np.uint8)
        Image.fromarray(levels).resize((32, 32), Image.Resampling.BICUBIC).save(place / f"{row:03}.png")
    return ImageSubject.of_folder(folder, LIMITS)


def dirty_images(folder: Path) -> ImageSubject:
    """The digits with faults, held against a folder that shares some of them."""
    clean_images(folder / "train")
    train, other = folder / "train", folder / "test"
    files = sorted((train / "0").iterdir())
    pixels = [np.asarray(Image.open(file)).astype(np.float64) for file in files]
    rng = np.random.default_rng(0)
    (train / "0" / "cut.png").write_bytes(files[0].read_bytes()[:60])
    Image.fromarray(np.zeros((8, 90), np.uint8) + np.arange(90, dtype=np.uint8)).save(train / "0" / "long.png")
    Image.fromarray(np.full((32, 32), 7, np.uint8)).save(train / "0" / "blank.png")
    blurred = Image.fromarray(pixels[1].astype(np.uint8)).resize((3, 3), Image.Resampling.BOX)
    blurred.resize((32, 32), Image.Resampling.BICUBIC).save(train / "0" / "blurred.png")
    noisy = (pixels[2] + rng.normal(0, 90, (32, 32))).clip(0, 255)
    Image.fromarray(noisy.astype(np.uint8)).save(train / "0" / "noisy.png")
    Image.fromarray(pixels[3].astype(np.uint8)).save(train / "1" / "equal.png")
    Image.fromarray((pixels[4] * 0.7 + 20).astype(np.uint8)).save(train / "0" / "darker.png")
    (train / "rare").mkdir()
    Image.fromarray(rng.integers(0, 255, (32, 32)).astype(np.uint8)).save(train / "rare" / "one.png")
    (other / "0").mkdir(parents=True)
    Image.fromarray(pixels[5].astype(np.uint8)).save(other / "0" / "shared.png")
    subject = ImageSubject.of_folder(train, LIMITS)
    subject.against = ImageSubject.of_folder(other, LIMITS)
    return subject
