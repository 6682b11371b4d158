"""Every layer against Keras 3 on the torch backend: float64, forward and gradients, equal weights."""

import inspect
import os

os.environ["KERAS_BACKEND"] = "torch"

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from lepton_ai import layers
from lepton_ai.layers.shapes import shapes_of

torch.set_num_threads(1)


def assert_equal(got: Any, wanted: Any) -> None:
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=1e-9, atol=1e-9)


@pytest.fixture(autouse=True)
def double_precision(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keras' torch backend narrows float64 to float32 in many operations, as JAX does; this table is what does it."""
    monkeypatch.setattr(keras.src.backend.common.dtypes, "BIT64_TO_BIT32_DTYPE", {})
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")  # Keras keeps the policy of its first layer, whatever floatx is later
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


def case(name: str, *inputs: Any, call: dict[str, Any] | None = None, **arguments: Any) -> Any:
    """The layer `name` with `arguments`, on `inputs`: shapes of noise, or arrays."""
    label = ",".join(f"{key}={value}" for key, value in {**arguments, **(call or {})}.items() if np.ndim(value) < 2)
    return pytest.param(name, inputs, arguments, call or {}, id=f"{name}({label[:70]})")


def padded(*lengths: int, steps: int) -> np.ndarray:
    """A mask of sequences padded on the right."""
    mask: np.ndarray = np.arange(steps) < np.array(lengths)[:, None]
    return mask


def recurrent(name: str) -> list[Any]:
    x = (3, 6, 4)
    mask = {"mask": padded(6, 2, 4, steps=6)}
    return [
        case(name, x, units=5),
        case(name, x, units=5, return_sequences=True),
        case(name, x, units=5, return_sequences=True, return_state=True, go_backwards=True),
        case(name, x, units=5, use_bias=False, return_state=True),
        case(name, x, units=5, go_backwards=True),
        case(name, x, units=5, call=mask),
        case(name, x, units=5, call=mask, return_sequences=True),
        case(name, x, units=5, call=mask, return_sequences=True, return_state=True),
        case(name, x, units=5, call=mask, return_sequences=True, return_state=True, go_backwards=True),
        case(name, x, units=5, call=mask, go_backwards=True),
    ]


IMAGES = (2, 7, 6, 4)
CASES = [
    *(case("Activation", (3, 5), activation=name) for name in (
        "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "swish", "mish", "sigmoid",
        "hard_sigmoid", "tanh", "softmax", "log_softmax", "softplus", "softsign", "exponential",
    )),
    case("ReLU", (3, 5)),
    case("ReLU", (3, 5), max_value=0.7, negative_slope=0.1),
    case("ReLU", (3, 5), max_value=1.5, negative_slope=0.1, threshold=0.4),
    case("Softmax", (3, 5)),
    case("Softmax", (3, 5, 4), axis=1),
    case("Dense", (3, 5), units=4),
    case("Dense", (3, 2, 5), units=4, activation="tanh", use_bias=False),
    case("Conv2D", IMAGES, filters=6, kernel_size=3),
    case("Conv2D", IMAGES, filters=6, kernel_size=(3, 2), padding="same"),
    case("Conv2D", IMAGES, filters=6, kernel_size=3, strides=2, padding="same"),
    case("Conv2D", IMAGES, filters=6, kernel_size=(2, 3), strides=(2, 1), activation="relu"),
    case("Conv2D", IMAGES, filters=6, kernel_size=3, dilation_rate=2, padding="same"),
    case("Conv2D", IMAGES, filters=6, kernel_size=2, dilation_rate=(2, 3)),
    case("Conv2D", IMAGES, filters=6, kernel_size=3, groups=2, use_bias=False),
    case("MaxPooling2D", IMAGES),
    case("MaxPooling2D", IMAGES, pool_size=3, strides=2, padding="same"),
    case("MaxPooling2D", IMAGES, pool_size=(2, 3), strides=1, padding="same"),
    case("MaxPooling2D", IMAGES, pool_size=(3, 2), strides=(2, 3)),
    case("MaxPooling2D", IMAGES, pool_size=4, padding="same"),
    case("AveragePooling2D", IMAGES, pool_size=2),
    case("AveragePooling2D", IMAGES, pool_size=(3, 2), strides=(2, 3)),
    case("AveragePooling2D", IMAGES, pool_size=3, strides=1, padding="same"),
    *(
        case(name, IMAGES, keepdims=keepdims)
        for name in ("GlobalAveragePooling2D", "GlobalMaxPooling2D")
        for keepdims in (False, True)
    ),
    case("Flatten", (2, 3, 4)),
    case("Flatten", (3,)),
    case("Reshape", (2, 3, 4), target_shape=(2, 6)),
    case("Reshape", (2, 3, 4), target_shape=(2, -1, 3)),
    case("BatchNormalization", (6, 5)),
    case("BatchNormalization", IMAGES, momentum=0.8, epsilon=1e-5),
    case("BatchNormalization", IMAGES, axis=1, center=False),
    case("BatchNormalization", (3, 4, 5), scale=False),
    case("LayerNormalization", (3, 4, 5)),
    case("LayerNormalization", (3, 4, 5), axis=(1, 2), epsilon=1e-6),
    case("LayerNormalization", (3, 4, 5, 2), axis=(1, 3), center=False),
    case("Embedding", np.array([[0, 3, 6], [6, 1, 1]]), input_dim=7, output_dim=3),
    *recurrent("LSTM"),
    *recurrent("GRU"),
    case("LSTM", (3, 6, 4), units=5, call={"initial_state": [np.full((3, 5), 0.3), np.full((3, 5), -0.2)]}),
    case("GRU", (3, 6, 4), units=5, call={"initial_state": np.full((3, 5), 0.3)}),
    case("MultiHeadAttention", (2, 5, 6), (2, 4, 3), num_heads=3, key_dim=4),
    case("MultiHeadAttention", (2, 5, 6), (2, 4, 3), (2, 4, 7), num_heads=2, key_dim=4, value_dim=5, output_shape=8),
    case("MultiHeadAttention", (2, 5, 6), (2, 5, 6), num_heads=2, key_dim=4, use_bias=False,
         call={"use_causal_mask": True}),
    case("MultiHeadAttention", (2, 5, 6), (2, 5, 6), num_heads=2, key_dim=4,
         call={"use_causal_mask": True, "attention_mask": padded(5, 3, steps=5)[:, None].repeat(5, 1)}),
    case("MultiHeadAttention", (2, 5, 6), (2, 4, 6), num_heads=2, key_dim=4,
         call={"return_attention_scores": True, "attention_mask": padded(4, 3, steps=4)[:, None]}),
    *(case(name, (3, 4), (3, 4)) for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")),
    *(case(name, (3, 4), (3, 4), (3, 1)) for name in ("Add", "Multiply", "Average", "Maximum", "Minimum")),
    case("Concatenate", (3, 4), (3, 2)),
    case("Concatenate", (3, 4, 2), (3, 1, 2), (3, 5, 2), axis=1),
    case("Rescaling", (3, 4), scale=1 / 127.5, offset=-1.0),
    case("Normalization", (3, 4), mean=(1.0, 2.0, 3.0, 4.0), variance=(1.0, 4.0, 0.0, 2.0)),
    case("Normalization", (3, 4), mean=2.0, variance=4.0, invert=True),
    *(case("Resizing", IMAGES, height=height, width=width, interpolation=interpolation)
      for height, width in ((3, 4), (9, 11)) for interpolation in ("bilinear", "nearest", "bicubic")),
    case("Resizing", IMAGES, height=3, width=4, antialias=True),
    case("Resizing", (2, 9, 6, 3), height=4, width=4, crop_to_aspect_ratio=True),
    case("Resizing", (2, 6, 11, 3), height=5, width=3, crop_to_aspect_ratio=True, antialias=True),
    case("Dropout", (3, 4), rate=0.5),
    case("RandomFlip", IMAGES, mode="horizontal"),
    case("RandomTranslation", IMAGES, height_factor=0.1, width_factor=0.1),
]  # fmt: skip
MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")


def outputs_of(answer: Any) -> list[Tensor]:
    return list(answer) if isinstance(answer, Sequence) else [answer]


def pull(outputs: Sequence[Tensor]) -> None:
    """Backward from a fixed random combination of all outputs."""
    noise = np.random.default_rng(3)
    if any(output.requires_grad for output in outputs):
        torch.stack(
            [(output * torch.from_numpy(noise.normal(size=output.shape))).sum() for output in outputs]
        ).sum().backward()  # type: ignore[no-untyped-call]


def run(layer: Callable[..., Any], name: str, inputs: list[np.ndarray], call: dict[str, Any]) -> Any:
    """The layer's outputs, and its inputs with their gradients."""
    tensors = [torch.from_numpy(array.copy()).requires_grad_(array.dtype.kind == "f") for array in inputs]
    outputs = outputs_of(layer(tensors, **call) if name in MERGES else layer(*tensors, **call))
    pull(outputs)
    return outputs, tensors


def as_tensors(call: dict[str, Any]) -> dict[str, Any]:
    def convert(value: Any) -> Any:
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    return {
        key: [convert(v) for v in value] if isinstance(value, list) else convert(value) for key, value in call.items()
    }


def pair(name: str, arrays: list[np.ndarray], arguments: dict[str, Any]) -> tuple[layers.Layer, Any]:
    """Our layer and Keras', built, in float64, with equal random weights."""
    noise = np.random.default_rng(2)
    theirs = getattr(keras.layers, name)(**arguments, dtype="float64")
    tensors = [torch.from_numpy(array) for array in arrays]
    theirs(tensors) if name in MERGES else theirs(*tensors)
    ours: layers.Layer = getattr(layers, name)(**arguments)
    ours.ensure_built(shapes_of((tensors,) if name in MERGES else tuple(tensors)))
    ours.double()
    if name != "Normalization":
        weights = [noise.normal(size=weight.shape) for weight in theirs.get_weights()]
        if name == "BatchNormalization":
            weights[-1] = np.abs(weights[-1]) + 0.1
        theirs.set_weights(weights)
        ours.set_weights(weights)
        for got, wanted in zip(ours.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(got, wanted)
    return ours, theirs


def gradients(ours: layers.Layer, theirs: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """The weights' gradients in Keras' axis orders."""
    mine = [
        owner._to_keras(name, value.grad) for _, owner, name, value in ours._own_weights() if value.grad is not None
    ]
    return [each.numpy() for each in mine], [v.value.grad.numpy() for v in theirs.trainable_variables]


def assert_parity(name: str, inputs: tuple[Any, ...], arguments: dict[str, Any], call: dict[str, Any]) -> Any:
    noise = np.random.default_rng(1)
    arrays = [each if isinstance(each, np.ndarray) else noise.normal(size=each) for each in inputs]
    ours, theirs = pair(name, arrays, arguments)
    training = call.pop("training", False)
    ours.train(training)
    outputs, tensors = run(ours, name, arrays, as_tensors(call))
    takes_training = "training" in inspect.signature(theirs.call).parameters
    keyword = {"training": training} if takes_training else {}
    wanted, their_tensors = run(theirs, name, arrays, {**as_tensors(call), **keyword})
    assert len(outputs) == len(wanted)
    for got, want in zip(outputs, wanted, strict=True):
        assert_equal(got.detach().numpy(), want.detach().numpy())
    for tensor, their_tensor in zip(tensors, their_tensors, strict=True):
        if tensor.grad is not None:
            assert_equal(tensor.grad.numpy(), their_tensor.grad.numpy())
    for got, want in zip(*gradients(ours, theirs), strict=True):
        assert_equal(got, want)
    return ours, theirs


@pytest.mark.parametrize(("name", "inputs", "arguments", "call"), CASES)
def test_parity_with_keras(name: str, inputs: tuple[Any, ...], arguments: dict[str, Any], call: dict[str, Any]) -> None:
    assert_parity(name, inputs, arguments, call)


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [((8, 5), {}), (IMAGES, {"momentum": 0.7, "epsilon": 1e-5}), (IMAGES, {"axis": 1, "scale": False}), ((1, 5), {})],
)
def test_batch_normalization_in_training(shape: tuple[int, ...], arguments: dict[str, Any]) -> None:
    ours, theirs = assert_parity("BatchNormalization", (shape,), arguments, {"training": True})
    for got, want in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert_equal(got, want)


def test_frozen_batch_normalization_is_at_inference() -> None:
    x = np.random.default_rng(0).normal(3, 2, (8, 5))
    ours, theirs = pair("BatchNormalization", [x], {})
    ours.trainable = theirs.trainable = False
    ours.train()
    before = ours.get_weights()
    assert_equal(ours(torch.from_numpy(x)).detach(), theirs(x, training=True).detach())
    for got, want in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(("axis", "shape"), [(-1, (50, 4)), (-1, (6, 5, 4, 3)), ((1, 3), (6, 5, 4, 3)), (None, (9, 4))])
@pytest.mark.parametrize("invert", [False, True])
def test_normalization_adapts_like_keras(axis: Any, shape: tuple[int, ...], invert: bool) -> None:
    noise = np.random.default_rng(0)
    data, x = noise.normal(100, 3, shape), noise.normal(100, 3, shape)
    data[..., 0] = x[..., 0] = 5.0  # a constant column
    theirs = keras.layers.Normalization(axis=axis, invert=invert, dtype="float64")
    theirs.adapt(data)
    ours = layers.Normalization(axis=axis, invert=invert)
    ours.ensure_built(shape)
    ours.double()
    ours.adapt(data)
    assert_equal(ours(torch.from_numpy(x)), theirs(x))
    for got, want in zip(ours.get_weights(), theirs.get_weights()[:2], strict=True):
        assert_equal(got, want)
    again = layers.Normalization(axis=axis, invert=invert)
    again.ensure_built(shape)
    again.double()
    again.set_weights(theirs.get_weights()[:2])
    assert_equal(again(torch.from_numpy(x)), theirs(x))


@pytest.mark.parametrize(("pool", "strides"), [(3, 2), (2, 1), (4, 4), (2, 3)])
def test_same_average_counts_cells_inside_only(pool: int, strides: int) -> None:
    """Keras on torch repeats the edge instead where the padding is uneven; on TensorFlow it does as we do."""
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3))
    got = layers.AveragePooling2D(pool, strides, "same")(torch.from_numpy(x)).numpy()
    height, width = (-(-size // strides) for size in x.shape[1:3])
    top, left = (max(0, (n - 1) * strides + pool - size) // 2 for n, size in ((height, 7), (width, 6)))
    for i in range(height):
        for j in range(width):
            row, column = i * strides - top, j * strides - left
            window = x[:, max(0, row) : row + pool, max(0, column) : column + pool]
            assert_equal(got[:, i, j], window.mean((1, 2)))


def test_layer_normalization_over_a_middle_axis() -> None:
    """Keras on torch fails here."""
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 4, 5)))
    deviation = (x.var(1, correction=0, keepdim=True) + 1e-3).sqrt()
    wanted = (x - x.mean(1, keepdim=True)) / deviation
    layer = layers.LayerNormalization(axis=1)
    layer.ensure_built(tuple(x.shape))
    assert_equal(layer.double()(x).detach(), wanted)


@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
@pytest.mark.parametrize(
    ("fill_mode", "theirs"), [("constant", "grid-constant"), ("nearest", "nearest"), ("reflect", "reflect")]
)
def test_translation_moves_as_scipy_shifts(interpolation: str, fill_mode: str, theirs: str) -> None:
    x = np.random.default_rng(0).normal(size=(2, 10, 8, 3))
    down, right = np.array([0.23, -0.4]), np.array([-0.36, 0.14])
    layer = layers.RandomTranslation(0.5, 0.5, fill_mode, interpolation, fill_value=0.5)
    got = layer.transform(torch.from_numpy(x), torch.from_numpy(np.stack((down, right), 1))).numpy()
    for row in range(2):
        shift, order = (down[row] * 10, right[row] * 8, 0), int(interpolation == "bilinear")
        wanted = ndimage.shift(x[row], shift, order=order, mode=theirs, cval=0.5)
        assert_equal(got[row], wanted)


INITIALIZERS = [
    "Zeros", "Ones", "RandomUniform", "RandomNormal", "TruncatedNormal", "VarianceScaling", "GlorotUniform",
    "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal",
]  # fmt: skip


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(200, 300), (3, 3, 60, 100), (20_000,)])
def test_initializers_have_keras_statistics(name: str, shape: tuple[int, ...]) -> None:
    seeded = {} if name in ("Zeros", "Ones") else {"seed": 0}
    theirs = np.asarray(getattr(keras.initializers, name)(**seeded)(shape))
    order = (shape[-1], *shape[-2:-1], *shape[:-2])
    ours = getattr(layers, name)()(order, torch.Generator().manual_seed(0)).numpy()
    assert ours.shape == order
    np.testing.assert_allclose(ours.std(), theirs.std(), rtol=0.02)
    np.testing.assert_allclose(ours.mean(), theirs.mean(), atol=0.02 * (theirs.std() + 1e-12))
    if name != "RandomNormal":
        np.testing.assert_allclose(np.abs(ours).max(), np.abs(theirs).max(), rtol=0.02)


@pytest.mark.parametrize("shape", [(4, 16), (16, 4), (8, 8)])
def test_orthogonal_has_orthonormal_rows_or_columns(shape: tuple[int, int]) -> None:
    weight = layers.Orthogonal(gain=2.0)(shape, torch.Generator().manual_seed(0)).double()
    square = weight @ weight.T if shape[0] < shape[1] else weight.T @ weight
    torch.testing.assert_close(square, 4 * torch.eye(min(shape), dtype=torch.float64), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("name", "arguments"), [("L1", {}), ("L2", {"l2": 0.3}), ("L1L2", {"l1": 0.1, "l2": 0.2})])
def test_regularizers(name: str, arguments: dict[str, float]) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5))
    want = getattr(keras.regularizers, name)(**arguments)(torch.from_numpy(x))
    got = getattr(layers, name)(**arguments)(torch.from_numpy(x))
    assert_equal(got, want)
