"""Every family of layers as a graph: free batch, free axes, and the model's own answers at every size."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from lepton_ai.bundle import TensorSpec
from lepton_ai.core import UsageError
from lepton_ai.exporting import export, prove, to_onnx
from lepton_ai.exporting.onnx import at_inference
from lepton_ai.layers import (
    GRU,
    LSTM,
    Add,
    AveragePooling2D,
    BatchNormalization,
    Concatenate,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling2D,
    Input,
    Layer,
    LayerNormalization,
    MaxPooling2D,
    MultiHeadAttention,
    Normalization,
    RandomFlip,
    RandomTranslation,
    Rescaling,
    Reshape,
    Resizing,
)
from lepton_ai.models import Model, Sequential, named_inputs, named_outputs, sample_inputs, signature
from lepton_ai.rng import set_seed
from lepton_ai.runtime import OnnxRuntime

torch.set_num_threads(1)


class TwoInputs(nn.Module):
    """A module of someone else's: channels first, two arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(6, 3)

    def forward(self, image: Tensor, extra: Tensor) -> Tensor:
        pooled = self.norm(self.conv(image)).relu().mean((2, 3))
        return self.head(torch.cat([pooled, extra], 1))  # type: ignore[no-any-return]


class Tied(nn.Module):
    """Two names for one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
        self.out.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.out(self.embed(tokens))  # type: ignore[no-any-return]


def table() -> Model:
    scale = Normalization(missing="mean")
    rows = np.random.default_rng(0).normal(5, 3, (40, 4)).astype("float32")
    rows[::3, 1] = np.nan
    scale.adapt(rows)
    return Sequential(
        [Input((4,), name="rows"), scale, Dense(8, activation="gelu"), Reshape((2, 4)), Flatten(), Dense(2)]
    )


def image() -> Model:
    return Sequential(
        [
            Input((None, None, 3), dtype="uint8", name="image"),
            Resizing(16, 16),
            Rescaling(1 / 255),
            RandomFlip("horizontal"),
            RandomTranslation(0.1, 0.1),
            Conv2D(6, 3, padding="same", activation="relu"),
            BatchNormalization(),
            MaxPooling2D(),
            Conv2D(6, 3, strides=2, padding="same"),
            AveragePooling2D(),
            Dropout(0.5),
            GlobalAveragePooling2D(),
            Dense(3, activation="softmax"),
        ]
    )


def dense_image() -> Model:
    """An answer for every pixel of an image of any size."""
    return Sequential(
        [Input((None, None, 1), dtype="uint8"), Rescaling(1 / 255), Conv2D(3, 3, padding="same"), Conv2D(2, 1)]
    )


def lstm() -> Model:
    tokens = Input((None,), dtype="int64", name="tokens")
    hidden = LSTM(5, return_sequences=True)(Embedding(30, 6)(tokens))
    return Model(tokens, Dense(2, activation="softmax")(LSTM(4)(hidden)))


def gru() -> Model:
    return Sequential([Input((None, 3), name="series"), GRU(4, return_sequences=True)])


def attention() -> Model:
    tokens = Input((None,), dtype="int64", name="tokens")
    embedded = Embedding(20, 8)(tokens)
    attended = MultiHeadAttention(2, 4)(embedded, embedded)
    return Model(tokens, Dense(2)(LayerNormalization()(Add()([embedded, attended]))))


def several() -> Model:
    age, picture = Input((4,), name="age"), Input((8, 8, 1), dtype="uint8", name="picture")
    joined = Concatenate()([Dense(8, activation="relu")(age), Flatten()(Rescaling(1 / 255)(picture))])
    outputs = {"kind": Dense(3, activation="softmax")(joined), "price": Dense(1)(joined)}
    return Model({"age": age, "picture": picture}, outputs)


def switches() -> Model:
    return Sequential([Input((4,), dtype="bool", name="switches"), Rescaling(2.0), Dense(2)])


FAMILIES: list[tuple[Callable[[], Model], dict[str, Any], dict[str, Any]]] = [
    (table, {"rows": ("FP32", (-1, 4))}, {"output": ("FP32", (-1, 2))}),
    (image, {"image": ("UINT8", (-1, -1, -1, 3))}, {"output": ("FP32", (-1, 3))}),
    (dense_image, {"input": ("UINT8", (-1, -1, -1, 1))}, {"output": ("FP32", (-1, -1, -1, 2))}),
    (lstm, {"tokens": ("INT64", (-1, -1))}, {"output": ("FP32", (-1, 2))}),
    (gru, {"series": ("FP32", (-1, -1, 3))}, {"output": ("FP32", (-1, -1, 4))}),
    (attention, {"tokens": ("INT64", (-1, -1))}, {"output": ("FP32", (-1, -1, 2))}),
    (
        several,
        {"age": ("FP32", (-1, 4)), "picture": ("UINT8", (-1, 8, 8, 1))},
        {"kind": ("FP32", (-1, 3)), "price": ("FP32", (-1, 1))},
    ),
    (
        lambda: Model.from_module(TwoInputs(), [(3, 9, 9), (2,)]),
        {"input_0": ("FP32", (-1, 3, 9, 9)), "input_1": ("FP32", (-1, 2))},
        {"output": ("FP32", (-1, 3))},
    ),
    (
        lambda: Model.from_module(Tied(), (5,), dtype="int64"),
        {"input": ("INT64", (-1, 5))},
        {"output": ("FP32", (-1, 5, 10))},
    ),
    (switches, {"switches": ("BOOL", (-1, 4))}, {"output": ("FP32", (-1, 2))}),
]
NAMES = ["table", "image", "dense_image", "lstm", "gru", "attention", "several", "foreign", "tied", "switches"]


def specs(tensors: dict[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(name=name, dtype=dtype, shape=shape) for name, (dtype, shape) in tensors.items())


def feed(inputs: dict[str, Any], rows: int, free: int) -> dict[str, Any]:
    """Inputs of a free size that was not traced."""
    made: dict[str, Any] = {}
    random = np.random.default_rng(rows)
    for name, (dtype, shape) in inputs.items():
        size = [rows, *(free if each == -1 else each for each in shape[1:])]
        whole = random.integers(0, 2 if dtype == "BOOL" else 10, size)
        kind = {"FP32": "float32", "UINT8": "uint8", "INT64": "int64", "BOOL": "bool"}[dtype]
        made[name] = random.normal(size=size).astype(kind) if dtype == "FP32" else whole.astype(kind)
    return made


@pytest.mark.parametrize(("make", "inputs", "outputs"), FAMILIES, ids=NAMES)
def test_family(make: Callable[[], Model], inputs: dict[str, Any], outputs: dict[str, Any], tmp_path: Path) -> None:
    set_seed(0)
    model = make()
    bundle = export(model, tmp_path / "family")
    graph = bundle.manifest.graphs["fp32"]
    assert graph.signature == bundle.manifest.signature
    assert graph.signature.inputs == specs(inputs) and graph.signature.outputs == specs(outputs)
    assert graph.parity is not None and graph.parity.batch_sizes == (1, 2, 3, 7)
    assert graph.parity.max_difference <= graph.parity.tolerance

    content = onnx.load(bundle.file(graph.file))
    onnx.checker.check_model(content)
    assert {each.domain for each in content.opset_import} <= {""} and not content.functions
    assert {each.domain for each in content.graph.node} <= {""}
    kinds = [each.op_type for each in content.graph.node]
    assert "Loop" not in kinds
    assert (kinds.count("LSTM"), kinds.count("GRU")) == {lstm: (2, 0), gru: (0, 1)}.get(make, (0, 0))

    runtime = OnnxRuntime(bundle.file(graph.file), signature=graph.signature)
    for rows, free in ((1, 9), (5, 21), (16, 33)):
        x = feed(inputs, rows, free)
        tensors = {name: torch.from_numpy(array) for name, array in x.items()}
        values = tuple(tensors.values())
        structure = tensors if make is several else values if len(values) > 1 else values[0]
        with torch.no_grad():
            expected = named_outputs(model, model(structure, training=False))
        for name, array in runtime.run(x).items():
            np.testing.assert_allclose(array, expected[name].numpy(), rtol=1e-4, atol=1e-4)
    runtime.close()


def test_missing_numbers_are_the_mean(tmp_path: Path) -> None:
    model = table()
    bundle = export(model, tmp_path / "table")
    runtime = OnnxRuntime(bundle.file("variants/fp32/model.onnx"))
    x = np.array([[5, np.nan, 2, np.nan], [np.nan] * 4, [1, 2, 3, 4]], "float32")
    answers = runtime.run({"rows": x})["output"]
    assert np.isfinite(answers).all()
    np.testing.assert_allclose(answers, model.predict(x), atol=1e-5)


def test_random_layers_answer_the_same_each_time(tmp_path: Path) -> None:
    bundle = export(image(), tmp_path / "image")
    runtime = OnnxRuntime(bundle.file("variants/fp32/model.onnx"))
    x = feed({"image": ("UINT8", (-1, 20, 20, 3))}, 4, 0)
    assert np.array_equal(runtime.run(x)["output"], runtime.run(x)["output"])


class Branch(Layer):
    """A branch that depends on the data."""

    def call(self, x: Tensor) -> Tensor:
        return x * 2 if bool(x.sum() > 0) else x


class Clash(Layer):
    """An operation that torch refuses for these shapes."""

    def call(self, x: Tensor) -> Tensor:
        if torch.compiler.is_exporting():
            raise RuntimeError("")
        return x


def test_a_model_that_cannot_be_traced(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = Sequential([Input((4,)), Branch()], name="brancher")
    with pytest.raises(UsageError) as caught:
        export(model, tmp_path / "bundle")
    text = str(caught.value)
    assert text.startswith("export of Sequential 'brancher': torch could not trace the model: ")
    assert "data-dependent" in text and "\n" not in text
    assert text.endswith("Shapes and branches in call() must not depend on the values of tensors.")
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")
    with pytest.raises(UsageError, match=r"torch could not trace the model: RuntimeError\(''\)"):
        export(Sequential([Input((4,)), Clash()]), tmp_path / "bundle")


def test_an_input_and_an_output_of_one_name(tmp_path: Path) -> None:
    x = Input((4,), name="x")
    with pytest.raises(UsageError, match="an input and an output are both called 'x'. Give the input another name"):
        export(Model(x, {"x": Dense(2)(x)}), tmp_path / "bundle")


def test_nothing_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder) -> None:
    export(image(), tmp_path / "bundle")
    assert capfd.readouterr() == ("", "") and not recwarn.list


def test_to_onnx_by_itself(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), Dense(3), Dropout(0.5)])
    model.ensure_built((None, 4))
    model.train()
    sign = signature(model)
    to_onnx(model, tmp_path / "model.onnx", sign)
    assert model.training and model.layers[0].training
    assert prove(model, OnnxRuntime(tmp_path / "model.onnx", signature=sign), (1, 4)).max_difference < 1e-5


def test_at_inference_gives_everything_back() -> None:
    model = Sequential([Input((4,)), Dense(3), Dropout(0.5), BatchNormalization()])
    model.ensure_built((None, 4))
    model.train()
    model.layers[2].eval()  # a part that its owner keeps at inference
    with at_inference(model):
        assert not any(module.training for module in model.modules())
    assert [layer.training for layer in model.layers] == [True, True, False] and model.training


def test_kept_samples_leave_free_axes_free(tmp_path: Path) -> None:
    """The rows that fit keeps have one length; the signature and the graph promise any."""
    model = gru()
    model.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(12, 7, 3)).astype("float32")
    model.fit(x, np.zeros((12, 7, 4), "float32"), verbose=0)
    bundle = export(model, tmp_path / "series")
    assert bundle.manifest.signature.outputs[0].shape == (-1, -1, 4)
    longer = np.concatenate([x, x], 1)
    answers = OnnxRuntime(bundle.file("variants/fp32/model.onnx")).run({"series": longer})["output"]
    np.testing.assert_allclose(answers, model.predict(longer), atol=1e-5)


def test_masks_are_inputs_too(tmp_path: Path) -> None:
    tokens, mask = Input((None,), dtype="int64", name="tokens"), Input((None,), dtype="bool", name="mask")
    model = Model([tokens, mask], LSTM(3)(Embedding(20, 4)(tokens), mask=mask))
    ids = np.random.default_rng(0).integers(0, 20, (6, 9))
    there = np.arange(9) < np.array([[9], [1], [4], [9], [2], [5]])
    bundle = export(model, tmp_path / "masked", samples=[ids, there])
    runtime = OnnxRuntime(bundle.file("variants/fp32/model.onnx"))
    got = runtime.run({"tokens": ids[:, :5].copy(), "mask": there[:, :5].copy()})["output"]
    np.testing.assert_allclose(got, model.predict([ids[:, :5], there[:, :5]]), atol=1e-5)


def test_samples_in_the_structure_of_the_model() -> None:
    model = several()
    named = named_inputs(model, sample_inputs(model, 3))
    assert list(named) == ["age", "picture"] and named["picture"].dtype == torch.uint8
