"""Models of strings as one graph with raw inputs: equal to the model, in a process without torch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import layers
from lepton_ai.bundle import Bundle, decode_request
from lepton_ai.core import DataError, ShapeError
from lepton_ai.exporting import export
from lepton_ai.models import Model, Sequential
from lepton_ai.runtime import OnnxRuntime, Runtime, open_model, replay_golden
from tests.contracts.stage import ODD, texts
from tests.models.test_front import TEXTS, frame, people, reviews

STOCK = {"", "ai.onnx.ml", "com.microsoft"}
ASK = """
import sys, json
import numpy as np
from lepton_ai.runtime import open_model
model = open_model(sys.argv[1])
answer = model.run({"review": np.array(json.loads(sys.stdin.read()), object)})["output"]
print(json.dumps({"answer": answer.tolist(), "torch": "torch" in sys.modules, "pandas": "pandas" in sys.modules}))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sequential, Path]:
    model = reviews()
    model.fit(TEXTS, np.arange(len(TEXTS)) % 2, verbose=0)
    path = tmp_path_factory.mktemp("bundles") / "reviews.lepton"
    export(model, path)
    return model, path


@pytest.fixture(scope="module")
def runtime(trained: tuple[Sequential, Path]) -> Runtime:
    return open_model(trained[1])


def test_one_graph_takes_strings(trained: tuple[Sequential, Path]) -> None:
    bundle = Bundle.open(trained[1])
    (spec,) = bundle.manifest.signature.inputs
    assert (spec.name, spec.dtype, spec.shape) == ("review", "BYTES", (-1,))
    graph = bundle.manifest.graphs["fp32"]
    assert graph.parity is not None and graph.parity.max_difference < 1e-6
    proto = onnx.load(bundle.file(graph.file))
    assert [each.name for each in proto.graph.input] == ["review"]
    assert {each.domain for each in proto.opset_import} <= STOCK and not proto.functions
    onnx.checker.check_model(proto)


def test_golden_pairs_hold_strings(trained: tuple[Sequential, Path], runtime: Runtime) -> None:
    bundle = Bundle.open(trained[1])
    requests = [decode_request(request).inputs["review"] for request, _ in bundle.golden()]
    assert [len(each) for each in requests] == [1, 3]
    assert [each.decode() if isinstance(each, bytes) else each for each in requests[1]] == TEXTS[:3]
    assert replay_golden(bundle, runtime) < 1e-6


def test_the_profile_knows_texts_by_their_lengths(tmp_path: Path) -> None:
    model = reviews()
    model.fit([f"film number {index}" for index in range(31)] + [""], np.zeros(32), verbose=0)
    assert model.profile is not None
    (feature,) = model.profile.inputs["review"]
    assert (feature.name, feature.kind, feature.count, feature.missing) == ("review", "text", 31, 1)
    assert feature.categories == {} and feature.quantiles[0] == 13.0 and feature.quantiles[-1] == 14.0


def test_any_text_gets_the_model_s_answer(trained: tuple[Sequential, Path], runtime: Runtime) -> None:
    model, _ = trained

    @settings(max_examples=40, deadline=None)
    @given(st.lists(texts, min_size=1, max_size=6))
    def check(rows: list[str]) -> None:
        got = runtime.run({"review": np.array(rows, object)})["output"]
        np.testing.assert_allclose(got, model.predict(rows), atol=1e-6)

    check()
    np.testing.assert_allclose(runtime.run({"review": np.array(ODD, object)})["output"], model.predict(ODD), atol=1e-6)
    assert runtime.run({"review": np.array([], object)})["output"].shape == (0, 1)


def test_a_process_without_torch_answers_the_same(trained: tuple[Sequential, Path]) -> None:
    model, path = trained
    rows = ["a GOOD film", "我爱", "", "zebra"]
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(path)], input=json.dumps(rows), capture_output=True, text=True, check=True
    )
    said = json.loads(done.stdout)
    assert said["torch"] is False and said["pandas"] is False
    np.testing.assert_allclose(said["answer"], model.predict(rows), atol=1e-6)


def test_bytes_that_are_not_utf8_are_refused(runtime: Runtime) -> None:
    with pytest.raises(DataError, match="input 'review': element 1 is not UTF-8 text"):
        runtime.run({"review": np.array([b"a", b"\xff"], object)})
    with pytest.raises(ShapeError, match=r"got shape \[1, 1\], expected \[-1\]"):
        runtime.run({"review": np.array([["a"]], object)})


def test_a_table_of_numbers_strings_and_dates_is_one_graph(tmp_path: Path) -> None:
    model, data = people(), frame()
    model.fit(data, np.arange(24.0), verbose=0)
    export(model, tmp_path / "people.lepton")
    runtime = open_model(tmp_path / "people.lepton")
    assert [(spec.name, spec.dtype, spec.shape) for spec in runtime.signature.inputs] == [
        ("age", "FP32", (-1, 1)),
        ("job", "BYTES", (-1, 1)),
        ("since", "BYTES", (-1, 1)),
    ]
    feed: dict[str, Any] = {name: data[[name]].to_numpy(dtype=object) for name in ("job", "since")}
    feed["age"] = data[["age"]].to_numpy("float32")
    np.testing.assert_allclose(
        runtime.run(feed)["score" if "score" in runtime.run(feed) else "output"], model.predict(data), atol=1e-5
    )
    feed["since"] = feed["since"].copy()
    feed["since"][3, 0] = "soon"
    with pytest.raises(DataError) as caught:
        runtime.run(feed)
    assert str(caught.value) == "the model cannot compute these inputs (a text that is no date for date_parts)"


def test_free_lengths_masks_and_stages_that_share_an_input(tmp_path: Path) -> None:
    text = layers.TextVectorization(split="character", max_tokens=40, name="letters")
    text.adapt(TEXTS)
    word = layers.Input((1,), dtype="string", name="word")
    number = layers.Input((1,), dtype="int64", name="number")
    x = layers.LSTM(3)(layers.Embedding(40, 4, mask_zero=True)(text(word)))
    kind = layers.Hashing(num_bins=4, output_mode="one_hot")(word)
    cross = layers.HashedCrossing(num_bins=6, output_mode="one_hot")([word, number])
    model = Model([word, number], layers.Dense(2)(layers.Concatenate()([x, kind, cross])))
    export(model, tmp_path / "free", samples=[np.array(TEXTS[:5], object), np.arange(5)])
    runtime = OnnxRuntime(tmp_path / "free" / "variants" / "fp32" / "model.onnx")
    rows, numbers = np.array([*ODD[1:18], "good"], object)[:, None], np.arange(18)[:, None]
    got = next(iter(runtime.run({"word": rows, "number": numbers}).values()))
    np.testing.assert_allclose(got, model.predict([rows, numbers]), atol=1e-5)


def test_without_samples_examples_come_from_the_vocabulary(tmp_path: Path) -> None:
    bundle = export(reviews(), tmp_path / "fresh")
    requests = [decode_request(request).inputs["review"] for request, _ in bundle.golden()]
    assert any("good" in (each.decode() if isinstance(each, bytes) else each) for each in requests[1])
    profile = bundle.profile()
    assert profile is not None and profile.generated
