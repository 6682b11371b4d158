"""The base of all layers: built when its input's shape is known, described by its config, free of devices."""

import inspect
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar, Self, TypedDict

import numpy as np
import torch
from torch import Tensor, nn

from lepton_ai.core import ConfigError, ShapeError, UsageError, constructor_arguments, snake_case, unknown_name
from lepton_ai.layers.config import Configured
from lepton_ai.layers.constraints import Constraint
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.masks import uses_mask
from lepton_ai.layers.recompute import recomputed, recomputes_now
from lepton_ai.layers.regularizers import Regularizer
from lepton_ai.layers.shapes import is_shape, leaves, map_leaves, merge, shapes_of, show
from lepton_ai.layers.symbolic import Node, SymbolicTensor, is_symbolic
from lepton_ai.layers.tracking import tracked
from lepton_ai.rng import derive, get_seed

_made: Counter[str] = Counter()
_TORCHS_OWN = frozenset(vars(nn.Module()))


class LayerOptions(TypedDict, total=False):
    """What every layer's constructor takes besides its own arguments."""

    name: str | None
    trainable: bool
    input_shape: tuple[int | None, ...] | None


class Layer(Configured, nn.Module):
    """A `torch.nn.Module` with Keras' life: constructed, `build(input_shape)` once, then `call(inputs)`.

    Subclass it: keep every constructor argument as the attribute of the same name, make weights with
    `add_weight` in `build`, compute in `call`. Layers may be kept in lists and dicts.
    Shapes are batch first and channels last, and include the batch.
    A layer computes as at inference until `train()` is called, as `fit` does.

    Args:
        name: unique in its model; made from the class' name if not given.
        trainable: False freezes the weights (see `trainable`).
        input_shape: shape of one example, without the batch; lets a `Sequential` build at once.
    """

    ndim: ClassVar[int | None] = None  # the rank that inputs must have, batch included
    min_ndim: ClassVar[int] = 1
    fixed_axes: tuple[int, ...] = ()  # axes whose size is fixed by the weights
    accepts_missing: bool = False  # NaN in the input is an answer, not a mistake
    supports_masking: bool = False  # each step of the output belongs to the same step of the input, and so its mask
    makes_mask: bool = False  # its output has a mask even where its input has none
    recompute: bool = False  # in training, compute again in the backward pass what would be kept for it
    # How Keras orders the axes of a weight, where torch's kernels want another order.
    keras_axes: ClassVar[dict[str, tuple[int, ...]]] = {}

    def __init__(
        self,
        *,
        name: str | None = None,
        trainable: bool = True,
        input_shape: tuple[int | None, ...] | None = None,
        **unknown: Any,  # what no subclass took: a typing mistake
    ) -> None:
        super().__init__()
        if unknown:
            raise unknown_name("argument", next(iter(unknown)), _arguments(type(self)), at=type(self).__name__)
        if name is not None and (not isinstance(name, str) or not name or "." in name):
            raise ConfigError(at=f"{type(self).__name__}.name", got=name, expected="a name without dots")
        base = snake_case(type(self).__name__)
        self.auto_named = name is None
        self.name = name or base
        # Until a model says where this layer stands, its own count keeps equal layers from equal weights.
        self.path = f"{self.name}#{_made[self.name]}"
        _made[self.name] += 1
        self.built = False
        # One shape, or a structure of them for a layer of several inputs.
        self.input_shape: Any = None if input_shape is None else (None, *input_shape)
        self._trainable = trainable
        self._regularizers: dict[str, Regularizer] = {}
        self._constraints: dict[str, Constraint] = {}
        self._lost_mask = False
        self.training = False

    def __setattr__(self, name: str, value: Any) -> None:
        held = vars(self).get("_parameters")
        if held and isinstance(value, nn.Parameter) and name not in held and any(value is own for own in held.values()):
            object.__setattr__(self, name, value)  # a second name for a weight: self.w = self.add_weight("kernel", ...)
            return
        super().__setattr__(name, tracked(value, f"{type(self).__name__}.{name}"))

    def track(self) -> None:
        """Find the layers that were appended to lists kept as attributes."""
        for name, value in list(vars(self).items()):
            if name not in _TORCHS_OWN and tracked(value, f"{type(self).__name__}.{name}") is not value:
                setattr(self, name, value)

    # -- what subclasses write ---------------------------------------------------------------------------

    def build(self, input_shape: Any) -> None:
        """Make the weights; `input_shape` has the structure of the call's arguments."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the outputs."""
        raise NotImplementedError(f"{type(self).__name__}.call")

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The output's shape, batch included. Found by running a copy on zeros unless a layer knows better."""
        return merge(*(self._trial_shape(input_shape, free) for free in (2, 3)))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the output, from the inputs and theirs; None if every step counts, or there are none.

        A mask passes through a layer that `supports_masking`, and ends at one that takes it in its `call`. Any
        other layer loses it, and says so once. Of several inputs' masks the first one passes.
        """
        if mask is None:
            return None
        if self.supports_masking:
            return mask[0] if isinstance(mask, list | tuple) else mask
        if not uses_mask(type(self)) and not self._lost_mask and not torch.compiler.is_compiling():
            self._lost_mask = True
            warnings.warn(
                f"{self.label} has no use for the mask that comes with its input: padded steps count like all others, "
                "here and in the layers behind it",
                UserWarning,
                stacklevel=2,
            )
        return None

    # -- weights ----------------------------------------------------------------------------------------

    def add_weight(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: str | Initializer = "glorot_uniform",
        *,
        regularizer: Regularizer | None = None,
        constraint: Constraint | None = None,
        trainable: bool = True,
    ) -> nn.Parameter:
        """A parameter initialised as a function of (seed, path of the weight); (out, in, *window) orders `shape`."""
        generator = torch.Generator().manual_seed(derive(get_seed(), self.path, name))
        value = get_initializer(initializer)(shape, generator)
        parameter = nn.Parameter(value, requires_grad=trainable and self._trainable)
        self.register_parameter(name, parameter)
        if regularizer is not None:
            self._regularizers[name] = regularizer
        if constraint is not None:
            self._constraints[name] = constraint
        return parameter

    def add_buffer(self, name: str, shape: tuple[int, ...], initializer: str | Initializer = "zeros") -> None:
        """A tensor that belongs to the state but is no weight, initialised like one."""
        generator = torch.Generator().manual_seed(derive(get_seed(), self.path, name))
        self.register_buffer(name, get_initializer(initializer)(shape, generator))

    def regularization(self) -> Iterator[Tensor]:
        """The penalty of each regularised weight, for this layer and those inside it."""
        for module in self.modules():
            if isinstance(module, Layer):
                for name, regularizer in module._regularizers.items():
                    if getattr(module, name).requires_grad:  # as in Keras, frozen weights cost nothing
                        yield regularizer(getattr(module, name))

    @torch.no_grad()
    def constrain(self) -> None:
        """Project each constrained weight, of this layer and those inside it, as `fit` does after each step.

        Raises: ConfigError if a constraint looks along an axis that its weight has not.
        """
        for module in self.modules():
            if isinstance(module, Layer):
                for name, constraint in module._constraints.items():
                    module._constrain(name, constraint)

    def _constrain(self, name: str, constraint: Constraint) -> None:
        weight = getattr(self, name)
        if not weight.requires_grad:
            return
        shown = self._to_keras(name, weight)
        try:
            weight.copy_(self._from_keras(name, constraint(shown)))
        except IndexError as error:
            raise ConfigError(
                f"{constraint.get_config()} does not fit a weight of shape {show(tuple(shown.shape))}",
                at=f"{self.label}.{name}",
            ) from error

    @property
    def trainable(self) -> bool:
        """Whether training changes the weights. Setting it reaches all layers inside; a frozen
        `BatchNormalization` also stops following its batches, as in Keras."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for module in self.modules():
            if isinstance(module, Layer):
                module._trainable = value
        self.requires_grad_(value)

    def get_weights(self) -> list[Any]:
        """The weights as numpy arrays, in Keras' axis orders."""
        return [
            owner._to_keras(name, value.detach()).cpu().numpy().copy() for _, owner, name, value in self._own_weights()
        ]

    def set_weights(self, weights: list[Any]) -> None:
        """Take arrays as `get_weights` gives them.

        Raises: ShapeError naming the weight and both shapes; nothing is changed then.
        """
        own = list(self._own_weights())
        if len(own) != len(weights):
            fix = "" if self.built else "Call the layer once before, so that it makes its weights."
            raise ShapeError(at=self.label, got=len(weights), expected=f"{len(own)} arrays", fix=fix)
        arrays = [torch.from_numpy(np.array(array)) for array in weights]
        for (label, owner, name, value), array in zip(own, arrays, strict=True):
            expected = tuple(owner._to_keras(name, value.detach()).shape)
            if expected != tuple(array.shape):
                raise ShapeError(at=f"{self.label}.{label}", got=tuple(array.shape), expected=str(expected))
        for (_, owner, name, value), array in zip(own, arrays, strict=True):
            value.detach().copy_(owner._from_keras(name, array))

    def _own_weights(self) -> Iterator[tuple[str, "Layer", str, Tensor]]:
        """Each weight and buffer: how errors call it, the layer that holds it, its name there, its value."""
        for module in self.modules():
            owner = module if isinstance(module, Layer) else self
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                if value is not None and name not in module._non_persistent_buffers_set:
                    yield (name if owner is self else f"{owner.name}.{name}"), owner, name, value

    def _to_keras(self, name: str, value: Tensor) -> Tensor:
        axes = self.keras_axes.get(name)
        return value if axes is None else value.permute(axes)

    def _from_keras(self, name: str, array: Tensor) -> Tensor:
        axes = self.keras_axes.get(name)
        return array if axes is None else array.permute([axes.index(axis) for axis in range(len(axes))])

    # -- the call ---------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """How errors name this layer."""
        return f"{type(self).__name__} {self.name!r}"

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Build on the first call, then `call`; on symbolic tensors, add a node to the graph instead."""
        if self.built and args and isinstance(args[0], Tensor):
            rank = args[0].ndim
            if rank < self.min_ndim or self.ndim not in (None, rank):
                self.check_shape(shapes_of(args))
        elif next(leaves((args, kwargs), is_symbolic), None) is not None:
            return self._call_symbolic(args, kwargs)
        elif not args:
            raise UsageError("got no inputs by position", at=self.label, fix="Write layer(x), not layer(inputs=x).")
        else:
            self.ensure_built(shapes_of(args))
        try:
            if self.recompute and recomputes_now(self):
                return recomputed(self, self.call, args, kwargs)
            return self.call(*args, **kwargs)
        except (RuntimeError, IndexError) as error:
            self._explain(args, error)
            raise

    def ensure_built(self, input_shape: Any) -> None:
        """Check the shape and build, once.

        Raises: ShapeError naming the layer, what came and what it expects.
        """
        if self.built:
            return
        self.check_shape(input_shape)
        self.track()
        self.build(input_shape)
        self.input_shape = input_shape
        self.built = True

    def check_shape(self, input_shape: Any) -> None:
        """Raise a ShapeError if inputs of this shape cannot enter."""
        for shape in leaves(input_shape, is_shape):
            if self.ndim is not None and len(shape) != self.ndim:
                raise ShapeError(
                    at=self.label,
                    message=f"got an input of shape {show(shape)}, expected {self.ndim} dimensions with the batch",
                    fix="Give the batch first and the channels last.",
                )
            if len(shape) < self.min_ndim:
                raise ShapeError(
                    at=self.label,
                    message=f"got an input of shape {show(shape)}, expected at least {self.min_ndim} dimensions",
                )
        if self.built and self.input_shape is not None and is_shape(input_shape) and is_shape(self.input_shape):
            for axis in self.fixed_axes:
                got, held = input_shape[axis], self.input_shape[axis]
                if got is not None and held is not None and got != held:
                    raise ShapeError(
                        at=self.label,
                        message=f"got an input of shape {show(input_shape)}, expected {held} at axis {axis}: "
                        f"it was built for {show(self.input_shape)}",
                    )

    def _explain(self, args: tuple[Any, ...], error: Exception) -> None:
        """Turn torch's complaint about shapes into ours, if the shape is what is wrong."""
        try:
            self.check_shape(shapes_of(args))
            if type(self).compute_output_shape is not Layer.compute_output_shape:  # that one would call us again
                self.compute_output_shape(shapes_of(args))
        except ShapeError as clearer:
            raise clearer from error
        except Exception:  # the search for a clearer reason must not hide the one there is
            return

    def _call_symbolic(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        input_shape = shapes_of(args)
        self.check_shape(input_shape)
        node = Node(self, args, kwargs)
        output = self._symbolic_shape(input_shape, kwargs)
        if is_shape(output):
            return SymbolicTensor(output, "float32", node)
        if isinstance(output, dict):
            return {key: SymbolicTensor(shape, "float32", node, key) for key, shape in output.items()}
        return tuple(SymbolicTensor(shape, "float32", node, index) for index, shape in enumerate(output))

    def _symbolic_shape(self, input_shape: Any, kwargs: dict[str, Any]) -> Any:
        """The output's shape of one call; overridden where a call's keywords change it."""
        return self.compute_output_shape(input_shape)

    def _trial_shape(self, input_shape: Any, free: int) -> Any:
        trial = self if self.built else type(self).from_config(self.get_config())
        zeros = map_leaves(lambda shape: torch.zeros([free if s is None else s for s in shape]), input_shape, is_shape)
        with torch.no_grad():
            output = trial(*zeros) if isinstance(zeros, tuple) else trial(zeros)
        return shapes_of((output,))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the name and whether it is frozen."""
        config = super().get_config()
        config["name"], config["trainable"] = self.name, self._trainable
        config.pop("input_shape", None)
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """The layer that `get_config` described; its constructor need not take the name."""
        taken = inspect.signature(cls.__init__).parameters
        rest = {"name", "trainable"} if not any(each.kind is each.VAR_KEYWORD for each in taken.values()) else set()
        made = super().from_config({key: value for key, value in config.items() if key not in rest - taken.keys()})
        made.name, made.auto_named = config.get("name", made.name), made.auto_named and "name" not in config
        if not config.get("trainable", True):
            made.trainable = False
        return made

    def extra_repr(self) -> str:
        return self.name


def _arguments(cls: type) -> list[str]:
    return sorted(
        {name for each in cls.__mro__ if issubclass(each, Layer) for name in constructor_arguments(each)} - {"unknown"}
    )
