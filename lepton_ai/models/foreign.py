"""Foreign modules: anything that is a `torch.nn.Module`, as a layer and as a model."""

from typing import Any

from torch import nn

from lepton_ai.core import ConfigError, UsageError
from lepton_ai.layers import Input, Layer
from lepton_ai.models.model import Model


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


class ModuleModel(Model):
    """See `Model.from_module`."""

    def __init__(
        self, module: nn.Module, input_shape: Any, *, dtype: str | list[str] = "float32", name: str | None = None
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ConfigError(at="Model.from_module", got=type(module).__name__, expected="a torch.nn.Module")
        super().__init__(name=name or type(module).__name__.lower())
        self.inner = module.eval()
        named = list(input_shape.items()) if isinstance(input_shape, dict) else []
        if not named:
            several = bool(input_shape) and isinstance(input_shape[0], tuple | list)
            shapes: list[Any] = list(input_shape) if several else [input_shape]
            named = [(f"input_{i}" if len(shapes) > 1 else "input", shape) for i, shape in enumerate(shapes)]
        dtypes = dtype if isinstance(dtype, list) else [dtype] * len(named)
        self.by_name = isinstance(input_shape, dict)
        self.input_specs = [
            Input(tuple(shape), dtype=kind, name=key) for (key, shape), kind in zip(named, dtypes, strict=True)
        ]
        shapes_with_batch = [spec.shape for spec in self.input_specs]
        self.input_shape = shapes_with_batch[0] if len(shapes_with_batch) == 1 else tuple(shapes_with_batch)
        self.built = True

    def call(self, x: Any) -> Any:
        if isinstance(x, dict) and self.by_name:
            return self.inner(**x)
        if isinstance(x, tuple | list):
            return self.inner(*x)
        return self.inner(x)

    def get_config(self) -> dict[str, Any]:
        raise UsageError(
            f"{type(self.inner).__name__} is a foreign module and has no config",
            fix="Save it with save(path); load it with load(path, module=...).",
        )
