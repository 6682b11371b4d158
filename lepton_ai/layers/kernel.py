"""What layers with a kernel and a bias share."""

from typing import Unpack

from torch import nn

from lepton_ai.layers.constraints import Constraint, get_constraint
from lepton_ai.layers.initializers import Initializer, get_initializer
from lepton_ai.layers.layer import Layer, LayerOptions
from lepton_ai.layers.regularizers import Regularizer, get_regularizer


class BiasOptions(LayerOptions, total=False):
    """What the constructors of layers with a bias take besides their own arguments."""

    use_bias: bool
    bias_initializer: str | Initializer
    bias_regularizer: str | Regularizer | None
    bias_constraint: str | Constraint | None


class KernelOptions(BiasOptions, total=False):
    """What the constructors of layers with a kernel take besides their own arguments."""

    kernel_initializer: str | Initializer
    kernel_regularizer: str | Regularizer | None
    kernel_constraint: str | Constraint | None


class KernelLayer(Layer):
    """The base of layers that hold a `weight` and, unless `use_bias=False`, a `bias`."""

    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        *,
        use_bias: bool = True,
        kernel_initializer: str | Initializer = "glorot_uniform",
        bias_initializer: str | Initializer = "zeros",
        kernel_regularizer: str | Regularizer | None = None,
        bias_regularizer: str | Regularizer | None = None,
        kernel_constraint: str | Constraint | None = None,
        bias_constraint: str | Constraint | None = None,
        **options: Unpack[LayerOptions],
    ) -> None:
        super().__init__(**options)
        self.use_bias = use_bias
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.bias_initializer = get_initializer(bias_initializer)
        self.kernel_regularizer = get_regularizer(kernel_regularizer)
        self.bias_regularizer = get_regularizer(bias_regularizer)
        self.kernel_constraint = get_constraint(kernel_constraint)
        self.bias_constraint = get_constraint(bias_constraint)

    def add_kernel(self, shape: tuple[int, ...]) -> None:
        """Make `weight`, (out, in, *window) in `shape`."""
        self.add_weight(
            "weight",
            shape,
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )

    def add_bias(self, shape: tuple[int, ...]) -> None:
        """Make `bias`; None without one."""
        if self.use_bias:
            self.add_weight(
                "bias",
                shape,
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        else:
            self.register_parameter("bias", None)
