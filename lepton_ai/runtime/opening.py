"""From a bundle to something that runs."""

from collections.abc import Callable
from pathlib import Path

from lepton_ai.bundle import Bundle
from lepton_ai.core import BundleError, Registry, unknown_name
from lepton_ai.runtime.base import Runtime
from lepton_ai.runtime.onnx import OnnxRuntime

RUNTIMES = Registry[Callable[..., Runtime]]("runtime")
RUNTIMES.add("onnxruntime", OnnxRuntime)


def choose_variant(bundle: Bundle, variant: str | None = None) -> str:
    """The graph to run: `variant`, or else "fp32", or else the only one.

    Raises: BundleError if there is none, or several to choose from; UnknownNameError for a variant that is not there.
    """
    graphs = bundle.manifest.graphs
    if not graphs:
        raise BundleError(
            "has no graph to run: the model was saved but not exported",
            at=str(bundle.path),
            fix=f'Add one: lepton_ai.export(model, "{bundle.path}").',
        )
    if variant is not None:
        if variant not in graphs:
            raise unknown_name("variant", variant, list(graphs), at=str(bundle.path))
        return variant
    if "fp32" in graphs:
        return "fp32"
    if len(graphs) > 1:
        raise BundleError(
            f"has several graphs and none called fp32: {', '.join(graphs)}",
            at=str(bundle.path),
            fix=f"Choose one: variant={next(iter(graphs))!r}.",
        )
    return next(iter(graphs))


def open_model(
    bundle: Bundle | str | Path,
    variant: str | None = None,
    *,
    threads: int | None = None,
    spinning: bool = True,
) -> Runtime:
    """Load one graph of a bundle; a path is opened and verified first.

    Raises: BundleError for a bundle that is damaged or has no graph; UnknownNameError for an unknown variant.
    """
    if not isinstance(bundle, Bundle):
        bundle = Bundle.open(bundle)
    graph = bundle.manifest.graphs[choose_variant(bundle, variant)]
    make = RUNTIMES.get(graph.runtime)
    return make(bundle.file(graph.file), signature=graph.signature, threads=threads, spinning=spinning)
