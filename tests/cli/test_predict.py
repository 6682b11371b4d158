"""`lepton predict`: answers for files, in text and JSON, without torch."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lepton_ai.bundle import Array
from lepton_ai.cli import predict
from lepton_ai.runtime import open_model
from tests.contracts.command import Terminal, run_process


def png(path: Path, values: Array) -> Path:
    Image.fromarray(np.asarray(values, "uint8")).save(path)
    return path


def test_images_get_their_labels(lepton: Terminal, images: Path, tmp_path: Path) -> None:
    dark = png(tmp_path / "dark.png", np.full((6, 8), 9))
    light = png(tmp_path / "light_one.png", np.full((6, 8), 250))
    done = lepton("predict", images, dark, light)
    assert done.code == 0 and done.err == ""
    first, second = done.out.splitlines()
    assert first.startswith(f"{dark}       dark ") and second.startswith(f"{light}  light ")
    assert first.count("%") == 2
    assert lepton("predict", images, dark, "--top", "1").out.count("%") == 1


def test_json_lines(images: Path, tmp_path: Path) -> None:
    dark = png(tmp_path / "dark.png", np.full((6, 8), 9))
    rows = np.stack([np.full((6, 8, 1), value, "uint8") for value in (9, 250, 9)])
    np.save(tmp_path / "rows.npy", rows)
    done = run_process("predict", images, dark, tmp_path / "rows.npy", "--json")
    assert done.code == 0 and done.err == "imported []\n"
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [answer["label"] for answer in answers] == ["dark", "dark", "light", "dark"]
    assert [answer["file"] for answer in answers] == [str(dark), *(f"{tmp_path}/rows.npy[{i}]" for i in range(3))]
    np.testing.assert_allclose(answers[0]["output"], answers[1]["output"])


def test_many_rows_in_parts(lepton: Terminal, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "ROWS", 3)
    rows = np.random.default_rng(0).integers(0, 256, (8, 6, 8, 1)).astype("uint8")
    np.save(tmp_path / "rows.npy", rows)
    answers = [
        json.loads(line)["output"]
        for line in lepton("predict", images, tmp_path / "rows.npy", "--json").out.splitlines()
    ]
    np.testing.assert_allclose(answers, open_model(images).run({"image": rows})["output"], atol=1e-6)


def test_numbers_have_no_labels(lepton: Terminal, table: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("size,age\n1,1\n3,3\n")
    done = lepton("predict", table, tmp_path / "rows.csv")
    assert done.out.splitlines() == [f"{tmp_path}/rows.csv[0]  11", f"{tmp_path}/rows.csv[1]  33"]
    first = json.loads(lepton("predict", table, tmp_path / "rows.csv", "--json").out.splitlines()[0])
    assert first == {"file": f"{tmp_path}/rows.csv[0]", "output": [11.0]}


def test_colour_images_of_any_size(lepton: Terminal, colours: Path, tmp_path: Path) -> None:
    png(tmp_path / "a.png", np.full((31, 17, 3), (10, 20, 30)))
    assert lepton("predict", colours, tmp_path / "a.png").out == f"{tmp_path}/a.png  10  20  30\n"


def test_columns_in_another_order(lepton: Terminal, table: Path, tmp_path: Path) -> None:
    """The bundle knows the names of the data frame that the model was trained on."""
    (tmp_path / "rows.csv").write_text("age,name,size\n1,ann,3\n,bob,1\n")
    done = lepton("predict", table, tmp_path / "rows.csv")
    assert [line.split()[-1] for line in done.out.splitlines()] == ["13", "21"]
    (tmp_path / "rows.csv").write_text("age,sise\n1,3\n")
    assert lepton.mistake("predict", table, tmp_path / "rows.csv").endswith(
        "unknown column 'size'. Did you mean 'sise'?"
    )


def test_mistakes(lepton: Terminal, images: Path, saved: Path, tmp_path: Path) -> None:
    picture = png(tmp_path / "a.png", np.zeros((6, 8)))
    assert "has no graph to run" in lepton.mistake("predict", saved, picture)
    assert "unknown variant 'int8'" in lepton.mistake("predict", images, picture, "--variant", "int8")
    assert lepton.mistake("predict", images, picture, tmp_path / "b.png") == f"{tmp_path}/b.png: no such file"
    assert "does not exist" in lepton.mistake("predict", tmp_path / "no.lepton", picture)


@pytest.mark.parametrize(
    ("values", "labels", "text"),
    [
        ([0.25, 0.75], ("no", "yes"), "yes 75.0%  no 25.0%"),
        ([-1.5, 3.25], ("no", "yes"), "yes 3.25  no -1.5"),  # no probabilities
        ([0.9, 0.8], ("cat", "dog"), "cat 0.9  dog 0.8"),  # labels that do not exclude each other
        ([0.25], ("no", "yes"), "0.25"),
        ([np.nan, 0.5], ("no", "yes"), "nan  0.5"),
        ([1 / 3, 2], (), "0.333333  2"),
    ],
)
def test_answers_as_text(values: list[float], labels: tuple[str, ...], text: str) -> None:
    assert predict._text({"output": np.array(values, "float32")}, labels, top=3) == text


def test_several_outputs_are_named() -> None:
    answer = {"price": np.array([1.5], "float32"), "kind": np.array([3], "int64")}
    assert predict._text(answer, ("a",), top=3) == "price: 1.5  kind: 3"
    assert json.loads(predict._json("f", answer, ("a",))) == {"file": "f", "price": [1.5], "kind": [3], "label": "a"}
    texts = {"word": np.array(["a", "b"], dtype=object)}
    assert json.loads(predict._json("f", texts, ()))["word"] == ["a", "b"]


def test_rows_without_an_answer_are_named(
    lepton: Terminal, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gaps:
        def __init__(self, *given: object) -> None:
            inner = open_model(table)
            self.signature, self.close = inner.signature, inner.close

        def run(self, feed: dict[str, Array]) -> dict[str, Array]:
            return {"output": np.array([[1.0], [np.nan]], "float32")}

    monkeypatch.setattr(predict, "open_model", Gaps)
    np.save(tmp_path / "rows.npy", np.ones((2, 2), "float32"))
    said = lepton.mistake("predict", table, tmp_path / "rows.npy")
    assert "'output' is NaN for 1 of 2 rows, the first" in said and "rows.npy[1]. Fill the gaps" in said
