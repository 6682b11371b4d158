"""Pages for people: what is served, with a form to try it; and what happens, live."""

from typing import Any

import orjson

from lepton_ai.bundle import TensorSpec
from lepton_ai.serving.answers import page
from lepton_ai.serving.messages import Response
from lepton_ai.serving.model import ServedModel
from lepton_ai.serving.openapi import example, value_count
from lepton_ai.serving.service import Service
from lepton_ai.web import render

_WRITABLE = 200  # values that somebody may want to write by hand


def front_page(service: Service) -> Response:
    """Every model's tensors, and a form for those that are small enough."""
    return page(
        render(
            "service.html",
            script="service.js",
            models=[_describe(model) for model in service.models],
            version=service.server_metadata()["version"],
            token=not service.access.open,
        )
    )


def live_page() -> Response:
    """What the stream of events at /events says, drawn."""
    return page(render("live.html", script="live.js"))


def _describe(model: ServedModel) -> dict[str, Any]:
    small = sum(value_count(spec) for spec in model.signature.inputs) <= _WRITABLE
    writable = small and not any(spec.dtype in ("FP16", "BF16") for spec in model.signature.inputs)
    return {
        "name": model.name,
        "version": model.version,
        "inputs": [_tensor(spec) for spec in model.signature.inputs],
        "outputs": [_tensor(spec) for spec in model.signature.outputs],
        "labels": model.labels,
        "example": _write(example(model.signature.inputs)["inputs"]) if writable else "",
    }


def _write(inputs: list[dict[str, Any]]) -> str:
    """A request as somebody would write it: a line for each input."""
    lines = ",\n  ".join(orjson.dumps(each).decode() for each in inputs)
    return f'{{"inputs": [\n  {lines}\n]}}'


def _tensor(spec: TensorSpec) -> dict[str, str]:
    size = " × ".join("any" if each == -1 else str(each) for each in spec.shape) or "one value"
    return {"name": spec.name, "datatype": spec.dtype, "size": size}
