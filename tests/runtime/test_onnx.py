"""onnxruntime."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from lepton_ai.bundle import Array, Signature
from lepton_ai.core import BundleError, DataError
from lepton_ai.runtime import OnnxRuntime
from tests.contracts import graphs
from tests.contracts.bundles import signature, spec
from tests.contracts.runtime import RuntimeContract


def load(folder: Path, content: bytes) -> OnnxRuntime:
    (folder / "model.onnx").write_bytes(content)
    return OnnxRuntime(folder / "model.onnx", threads=1, spinning=False)


class TestOnnxRuntime(RuntimeContract):
    def make(self, folder: Path) -> OnnxRuntime:
        return load(folder, graphs.rows_graph())


def column(*elements: object) -> Array:
    array = np.empty((len(elements), 1), dtype=object)
    array[:, 0] = elements
    return array


def test_texts_as_str_bytes_and_numpy_strings(tmp_path: Path) -> None:
    runtime = load(tmp_path, graphs.text_graph())
    assert runtime.run({"text": column("é", "é".encode(), "")})["echo"].tolist() == [["é"], ["é"], [""]]
    assert runtime.run({"text": np.array([["ab"]])})["echo"].tolist() == [["ab"]]


def test_texts_that_are_none(tmp_path: Path) -> None:
    runtime = load(tmp_path, graphs.text_graph())
    with pytest.raises(DataError, match="input 'text': element 1 is not UTF-8 text"):
        runtime.run({"text": column("a", b"\xff")})
    with pytest.raises(DataError, match=r"input 'text'\[0\]: got 5, expected str or UTF-8 bytes"):
        runtime.run({"text": column(5)})


def test_content_that_the_graph_cannot_compute(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    runtime = load(tmp_path, graphs.lookup_graph())
    assert runtime.run({"index": np.array([2])})["value"].tolist() == [[4, 5]]
    with pytest.raises(DataError, match="the model cannot compute these inputs .*out of data bounds, idx=7"):
        runtime.run({"index": np.array([7])})
    assert capfd.readouterr() == ("", "")


def test_rows_must_agree(tmp_path: Path) -> None:
    runtime = load(tmp_path, graphs.sum_difference_graph())
    with pytest.raises(ValueError, match="inputs: 'a' has 2, 'b' has 3 rows, expected as many rows in each"):
        runtime.run({"a": np.zeros((2, 4), "int32"), "b": np.zeros((3, 4), "int32")})


def test_files_that_are_no_graphs(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="onnxruntime cannot load it"):
        load(tmp_path, b"garbage")
    with pytest.raises(BundleError, match="onnxruntime cannot load it"):
        OnnxRuntime(tmp_path / "nothing.onnx")


@pytest.mark.parametrize(
    ("sign", "message"),
    [
        (
            signature((spec("z", shape=(-1, 3)),), ()),
            "promises the input 'z' as FP32[-1, 3], the graph has 'x' as FP32",
        ),
        (signature((spec("x", "INT8", (-1, 3)),), ()), "promises the input 'x' as INT8[-1, 3]"),
        (signature((spec("x", shape=(-1,)),), ()), "promises the input 'x' as FP32[-1]"),
        (signature((spec("x", shape=(-1, 3)),), (spec("y"),)), "promises the output 'y' as FP32[-1, 2]"),
        (signature((), ()), "the manifest lists 0 inputs, the graph has 1"),
    ],
)
def test_manifest_and_graph_must_agree(tmp_path: Path, sign: Signature, message: str) -> None:
    (tmp_path / "model.onnx").write_bytes(graphs.rows_graph())
    with pytest.raises(BundleError) as caught:
        OnnxRuntime(tmp_path / "model.onnx", signature=sign)
    assert message in str(caught.value)


def test_the_import_is_silent_and_light() -> None:
    code = (
        "import sys, lepton_ai.runtime\n"
        "print([m for m in ('torch', 'scipy', 'sklearn', 'pandas', 'onnx') if m in sys.modules], end='')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert (run.stdout, run.stderr) == ("[]", "")


def test_weights_beside_the_graph_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = onnx.load_model_from_string(graphs.lookup_graph())
    onnx.save_model(held, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").is_file()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match="onnxruntime cannot load it .*Save the graph with its weights inside"):
        OnnxRuntime(tmp_path / "model.onnx", threads=1)
