"""The model: a network that can be compiled, trained, measured, summarised and saved."""

from pathlib import Path
from typing import Any

from torch import nn

from lepton_ai.core import ConfigError, UsageError
from lepton_ai.layers import Input
from lepton_ai.models.architecture import Architecture
from lepton_ai.models.saving import save
from lepton_ai.models.summary import summarize
from lepton_ai.models.trainer import Trainer


class Model(Trainer):
    """A model, made in one of three ways: `Model(inputs, outputs)` from symbolic tensors, by subclassing
    (make layers in `__init__`, use them in `call`), or `Model.from_module(module, input_shape)`.

    It is a `torch.nn.Module` too: plain PyTorch can take it from there.

    Example:
        >>> import torch
        >>> from lepton_ai.layers import Dense, Input
        >>> x = Input((4,))
        >>> model = Model(x, Dense(3, activation="softmax")(x))
        >>> model(torch.ones(2, 4)).shape
        torch.Size([2, 3])
    """

    @staticmethod
    def from_module(
        module: nn.Module,
        input_shape: tuple[int | None, ...] | list[tuple[int | None, ...]] | dict[str, tuple[int | None, ...]],
        *,
        dtype: str | list[str] = "float32",
        name: str | None = None,
    ) -> "Model":
        """Any `torch.nn.Module` as a Lepton model; it keeps its own layout and its weights as they are.

        Args:
            input_shape: of one example, without the batch; a list for a `forward` of several arguments, a dict
                for one that takes them by name.
            dtype: of the input, or of each.
        """
        return ModuleModel(module, input_shape, dtype=dtype, name=name)

    @property
    def subclassed(self) -> bool:  # type: ignore[override]
        """Whether more than the graph must be stored."""
        return type(self) is not Model

    def summary(self) -> str:
        """Print, and return, a table of layers: shapes, parameters, multiply-adds, memory."""
        text = summarize(self)
        print(text)  # noqa: T201 - printing is what summary() is for
        return text

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write a bundle without graphs at `path`: `lepton_ai.export` makes one that can be served.

        Raises: StorageError if `path` exists and not `overwrite`, or cannot be written; UsageError for a model
            without weights yet.
        """
        save(self, path, overwrite=overwrite)


class ModuleModel(Model):
    """See `Model.from_module`."""

    def __init__(
        self, module: nn.Module, input_shape: Any, *, dtype: str | list[str] = "float32", name: str | None = None
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ConfigError(at="Model.from_module", got=type(module).__name__, expected="a torch.nn.Module")
        if not isinstance(input_shape, tuple | list | dict):
            fix = f"Write Model.from_module(module, ({input_shape},))."
            raise ConfigError(at="Model.from_module", got=input_shape, expected="the shape of one example", fix=fix)
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

    def parts(self) -> dict[str, nn.Module]:
        return dict(self.inner.named_children())

    def architecture(self) -> Architecture:
        kind = type(self.inner)
        described = {"class": f"{kind.__module__}.{kind.__qualname__}", "config": {"by_name": self.by_name}}
        return Architecture(kind="reference", model=described, inputs=self.described_inputs())

    def get_config(self) -> dict[str, Any]:
        raise UsageError(
            f"{type(self.inner).__name__} is a foreign module and has no config",
            fix="Save it with save(path); load it with load(path, module=...).",
        )
