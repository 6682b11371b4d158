"""What every layer keeps. Subclass it in the layer's test, with `make` and `example`."""

import abc
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lepton_ai import layers, rng
from lepton_ai.core import ShapeError
from lepton_ai.layers.layer import Layer
from lepton_ai.layers.shapes import is_shape, leaves, map_leaves, shapes_of, show

Inputs = tuple[Any, ...]


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal numbers, the same at each call."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def outputs_of(answer: Any) -> list[Tensor]:
    return list(answer) if isinstance(answer, tuple) else [answer]


def rows(inputs: Inputs, count: int) -> Inputs:
    """The first rows of each input."""
    first: Inputs = map_leaves(lambda x: x[:count], inputs, is_tensor)
    return first


def double(inputs: Inputs) -> Inputs:
    wide: Inputs = map_leaves(lambda x: x.double() if x.is_floating_point() else x, inputs, is_tensor)
    return wide


class Whole(nn.Module):
    """A layer behind one fixed signature, as a model is for the exporter."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, inputs: list[Any]) -> Any:
        return self.layer(*inputs)


class LayerContract(abc.ABC):
    """The promises of `Layer`. Class variables say which of them a layer cannot give."""

    differentiable: ClassVar[bool] = True
    any_rank: ClassVar[bool] = False

    @abc.abstractmethod
    def make(self) -> Layer:
        """A new layer."""

    @abc.abstractmethod
    def example(self) -> Inputs:
        """The arguments of a call, with seven rows."""

    def built(self) -> Layer:
        layer = self.make()
        layer.ensure_built(shapes_of(self.example()))
        return layer

    def test_config_survives_json(self) -> None:
        layer = self.built()
        text = msgspec.json.encode(layers.serialize(layer))
        again = layers.deserialize(msgspec.json.decode(text))
        assert type(again) is type(layer) and again.name == layer.name
        assert again.get_config() == layer.get_config()
        again.ensure_built(shapes_of(self.example()))
        again.set_weights(layer.get_weights())
        for got, wanted in zip(outputs_of(again(*self.example())), outputs_of(layer(*self.example())), strict=True):
            assert torch.equal(got, wanted)

    def test_output_shape_is_told_with_a_free_batch(self) -> None:
        real = shapes_of((self.built()(*self.example()),))
        free = map_leaves(lambda shape: (None, *shape[1:]), shapes_of(self.example()), is_shape)
        told = self.make().compute_output_shape(free)
        assert map_leaves(lambda shape: (7, *shape[1:]), told, is_shape) == real
        assert all(shape[0] is None for shape in ([told] if is_shape(told) else told))

    def test_symbolic_call_builds_nothing(self) -> None:
        layer = self.make()
        symbols = map_leaves(lambda x: layers.Input(tuple(x.shape[1:])), self.example(), is_tensor)
        answer = layer(*symbols)
        assert not layer.built and not list(layer.parameters())
        real = outputs_of(self.built()(*self.example()))
        symbolic = answer if isinstance(answer, tuple) else (answer,)
        assert [symbol.shape for symbol in symbolic] == [(None, *output.shape[1:]) for output in real]
        assert all(symbol.node.layer is layer for symbol in symbolic)

    def test_weights_follow_from_seed_and_path(self) -> None:
        def weights(path: str, seed: int = 0) -> list[Tensor]:
            layer = self.make()
            layer.path = path
            rng.set_seed(seed)
            try:
                layer.ensure_built(shapes_of(self.example()))
            finally:
                rng.set_seed(0)
            return list(layer.state_dict().values())

        first = weights("a")
        assert all(torch.equal(a, b) for a, b in zip(first, weights("a"), strict=True))
        random = [
            at for at, weight in enumerate(first) if weight.numel() > 3 and weight.std() > 0.01 and weight.ndim > 1
        ]
        for other in (weights("b"), weights("a", seed=1)):
            assert not any(torch.equal(first[at], other[at]) for at in random)

    def test_it_builds_once(self) -> None:
        layer = self.make()
        layer(*self.example())
        before = {name: value.data_ptr() for name, value in layer.state_dict().items()}
        layer(*self.example())
        assert layer.built and before == {name: value.data_ptr() for name, value in layer.state_dict().items()}

    def test_floats_out(self) -> None:
        layer = self.built()
        assert {output.dtype for output in outputs_of(layer(*self.example()))} == {torch.float32}
        wide = layer.double()(*double(self.example()))
        if self.differentiable:
            assert {output.dtype for output in outputs_of(wide)} == {torch.float64}

    def test_input_is_unchanged(self) -> None:
        layer = self.built().train()
        inputs = self.example()
        before = map_leaves(torch.clone, inputs, is_tensor)
        with torch.no_grad():
            layer(*inputs)
        assert all(torch.equal(a, b) for a, b in zip(_tensors(inputs), _tensors(before), strict=True))

    def test_gradients(self) -> None:
        if not self.differentiable:
            pytest.skip("its inputs are whole numbers")
        layer = self.built().double()
        inputs = double(rows(self.example(), 2))
        tensors = [x.requires_grad_() for x in _tensors(inputs) if x.is_floating_point()]
        weights = [weight for weight in layer.parameters() if weight.requires_grad]
        assert torch.autograd.gradcheck(lambda *_: layer(*inputs), (*tensors, *weights), fast_mode=True)

    def test_rows_do_not_depend_on_their_batch(self) -> None:
        layer = self.built().double()
        inputs = double(self.example())
        whole = outputs_of(layer(*inputs))
        for count in (1, 2):
            for got, wanted in zip(outputs_of(layer(*rows(inputs, count))), whole, strict=True):
                torch.testing.assert_close(got, wanted[:count], rtol=1e-9, atol=1e-9)

    def test_state_survives_safetensors(self, tmp_path: Path) -> None:
        layer, again = self.built(), self.built()
        save_file({name: value.contiguous() for name, value in layer.state_dict().items()}, tmp_path / "weights")
        again.load_state_dict(load_file(tmp_path / "weights"))
        for got, wanted in zip(outputs_of(again(*self.example())), outputs_of(layer(*self.example())), strict=True):
            assert torch.equal(got, wanted)

    def test_a_wrong_rank_names_the_layer_and_the_shapes(self) -> None:
        if self.any_rank:
            pytest.skip("it takes any rank")
        inputs = self.example()
        wrong = map_leaves(lambda x: x[0] if self.make().ndim else x.flatten()[:7], inputs, is_tensor)
        shape = show(tuple(_tensors(wrong)[0].shape))
        for layer in (self.make(), self.built()):
            with pytest.raises(ShapeError) as caught:
                layer(*wrong)
            assert str(caught.value).startswith(f"{type(layer).__name__} '{layer.name}': got an input of shape {shape}")
            assert "dimensions" in str(caught.value)

    def test_another_width_names_both_shapes(self) -> None:
        layer = self.built()
        if not layer.fixed_axes:
            pytest.skip("nothing about its input is fixed")
        inputs = map_leaves(lambda x: torch.cat((x, x), layer.fixed_axes[0]), self.example(), is_tensor)
        with pytest.raises(ShapeError) as caught:
            layer(*inputs)
        held = shapes_of(self.example())
        assert show(tuple(inputs[0].shape)) in str(caught.value) and f"built for {show(held)}" in str(caught.value)

    def test_it_exports_with_a_free_batch(self) -> None:
        layer = self.built().eval()
        inputs = list(self.example())
        batch = torch.export.Dim("batch", min=1, max=64)
        free = map_leaves(lambda _: {0: batch}, inputs, is_tensor)
        traced = rows((inputs,), 2)
        program = torch.export.export(Whole(layer), traced, dynamic_shapes={"inputs": free}, strict=False)
        for count in (1, 7):
            given = rows((inputs,), count)
            answers = outputs_of(program.module()(*given)), outputs_of(layer(*given[0]))
            for got, wanted in zip(*answers, strict=True):
                torch.testing.assert_close(got, wanted)


def _tensors(inputs: Any) -> list[Tensor]:
    return list(leaves(inputs, is_tensor))
