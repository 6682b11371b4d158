"""Raw inputs in, the same answers out, in a process without torch: texts, a table with gaps, images, sound."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lepton_ai
from lepton_ai.layers import (
    Concatenate,
    Conv2D,
    Dense,
    Embedding,
    GlobalAveragePooling1D,
    GlobalAveragePooling2D,
    GlobalMaxPooling1D,
    Imputation,
    Input,
    MelSpectrogram,
    Normalization,
    Permute,
    Rescaling,
    Resizing,
    StringLookup,
    TextVectorization,
)
from lepton_ai.models import Model

RNG = np.random.default_rng(0)
NAMES = ("texts", "table", "images", "sound")

# What runs without torch: rows come from files, as a client's would.
PROGRAM = """
import json, sys
from pathlib import Path
import numpy as np
from lepton_ai import open_model

folder = Path(sys.argv[1])
answers = {}
for name in sys.argv[2:]:
    runtime = open_model(folder / f"{name}.lepton")
    specs = {spec.name: spec for spec in runtime.signature.inputs}
    answers[name] = []
    for rows in json.loads((folder / f"{name}.json").read_text(encoding="utf-8")):
        feed = {
            key: np.load(folder / value) if isinstance(value, str)
            else np.array(value, object if specs[key].dtype == "BYTES" else np.float32)
            for key, value in rows.items()
        }
        answers[name].append(runtime.run(feed)["output"].tolist())
assert "torch" not in sys.modules and "pandas" not in sys.modules
print(json.dumps(answers))
"""


def train(model: Model, x: Any, y: Any) -> Model:
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(x, y, epochs=2, batch_size=8, verbose=0, seed=0)
    return model


def texts() -> tuple[Model, list[dict[str, Any]]]:
    known = ["很好的酒店, great!", "房间很干净", "a bad room", "差 and loud"] * 6
    tokens = TextVectorization(split="mixed", output_sequence_length=8)
    tokens.adapt(known)
    text = Input((), dtype="string", name="text")
    x = Embedding(len(tokens.get_vocabulary()), 8, mask_zero=True)(tokens(text))
    model = Model(text, Dense(2, activation="softmax")(GlobalAveragePooling1D()(x)))
    train(model, known, [0, 0, 1, 1] * 6)
    return model, [{"text": ["很好 GREAT room!"]}, {"text": ["", "unknown 生词", "a\tbad\nroom " * 9, "Ünï 𝒳 😀"]}]


def table() -> tuple[Model, list[dict[str, Any]]]:
    rows: dict[str, Any] = {
        "age": RNG.normal(50, 10, (24, 1)).astype("float32"),
        "pay": RNG.normal(3000, 500, (24, 1)).astype("float32"),
        "job": [["nurse", "clerk", None][i % 3] for i in range(24)],
    }
    rows["age"][3] = np.nan
    numbers = [Input((1,), name="age"), Input((1,), name="pay")]
    job = Input((), dtype="string", name="job")
    fill, scale = Imputation("median", add_indicator=True), Normalization()
    values = np.concatenate([rows["age"], rows["pay"]], axis=1)
    fill.adapt(values)
    scale.adapt(np.nan_to_num(np.concatenate([values, np.isnan(values)], axis=1), nan=50.0))
    lookup = StringLookup(output_mode="one_hot", missing="missing")
    lookup.adapt(rows["job"])
    features = Concatenate()([scale(fill(Concatenate()(numbers))), lookup(job)])
    answer = Dense(2, activation="softmax")(Dense(8, activation="relu")(features))
    model = train(Model([*numbers, job], answer), rows, np.arange(24) % 2)
    new: list[dict[str, Any]] = [
        {"age": [[31.0]], "pay": [[2500.0]], "job": ["nurse"]},
        {"age": [[None], [70.0], [None]], "pay": [[1.0], [None], [None]], "job": ["pilot", "", "clerk"]},
    ]
    return model, new


def images() -> tuple[Model, list[dict[str, Any]]]:
    picture = Input((None, None, 3), dtype="uint8", name="picture")
    x = Rescaling(1 / 255)(Resizing(12, 12, antialias=True)(picture))
    x = GlobalAveragePooling2D()(Conv2D(4, 3, activation="relu")(x))
    model = Model(picture, Dense(2, activation="softmax")(x))
    train(model, RNG.integers(0, 256, (16, 20, 24, 3), dtype=np.uint8), np.arange(16) % 2)
    sizes = [(1, 50, 31), (3, 9, 17), (2, 12, 12)]
    return model, [{"picture": RNG.integers(0, 256, (*size, 3), dtype=np.uint8)} for size in sizes]


def sound() -> tuple[Model, list[dict[str, Any]]]:
    wave = Input((None,), dtype="int16", name="wave")
    mel = MelSpectrogram(128, 64, sampling_rate=8000, num_mel_bins=16)(Rescaling(1 / 2**15)(wave))
    x = Dense(8, activation="tanh")(Permute((2, 1))(mel))
    model = Model(wave, Dense(2, activation="softmax")(GlobalMaxPooling1D()(x)))
    train(model, (RNG.normal(size=(16, 800)) * 3000).astype("int16"), np.arange(16) % 2)
    return model, [{"wave": (RNG.normal(size=size) * 3000).astype("int16")} for size in [(1, 1000), (3, 257), (2, 641)]]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """By model the answers to each request: those of `predict` here, and those of the process without torch."""
    folder = tmp_path_factory.mktemp("raw")
    here: dict[str, list[Any]] = {}
    for name, make in zip(NAMES, (texts, table, images, sound), strict=True):
        model, requests = make()
        here[name] = [model.predict(_for_predict(rows)) for rows in requests]
        lepton_ai.export(model, folder / f"{name}.lepton")
        _write(folder, name, requests)
    command = [sys.executable, "-c", PROGRAM, str(folder), *NAMES]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return here, json.loads(done.stdout)


def _for_predict(rows: dict[str, Any]) -> dict[str, Any]:
    gaps = {key: np.array(value, np.float32) for key, value in rows.items() if isinstance(value[0], list)}
    return {key: gaps.get(key, value) for key, value in rows.items()}


def _write(folder: Path, name: str, requests: list[dict[str, Any]]) -> None:
    """Texts and numbers as JSON, arrays in files of their own."""
    told: list[dict[str, Any]] = []
    for number, rows in enumerate(requests):
        told.append(dict(rows))
        for key, value in rows.items():
            if isinstance(value, np.ndarray):
                told[-1][key] = f"{name}-{number}-{key}.npy"
                np.save(folder / told[-1][key], value)
    (folder / f"{name}.json").write_text(json.dumps(told, ensure_ascii=False), encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_raw_inputs_get_the_answers_of_predict(name: str, both: Any) -> None:
    here, there = both
    assert len(here[name]) == len(there[name]) >= 2
    for expected, answer in zip(here[name], there[name], strict=True):
        assert np.isfinite(expected).all() and np.allclose(expected.sum(1), 1, atol=1e-5)
        assert np.allclose(answer, expected, rtol=0, atol=1e-5)
    spread = np.concatenate(here[name])
    assert np.ptp(spread, axis=0).max() > 1e-4, "all answers are the same: nothing was compared"
