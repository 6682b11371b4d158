"""A foreign module, anything that is a `torch.nn.Module`, as a layer."""

from typing import Any

from torch import nn

from lepton_ai.core import UsageError
from lepton_ai.layers import Layer


class TorchModule(Layer):
    """A foreign module among our layers; its shapes are found by running it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__(name=None)
        self.inner = module.eval()

    def call(self, x: Any) -> Any:
        return self.inner(x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        self.built = True  # it brings its weights
        return super().compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        raise UsageError(
            f"{type(self.inner).__name__} inside {self.label} has no config of ours to store",
            fix="Bring the whole model in with Model.from_module(module, input_shape).",
        )
