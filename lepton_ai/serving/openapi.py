"""The OpenAPI document: the protocol for programs, with the names, shapes and an example of every loaded model."""

from typing import Any

from lepton_ai.bundle import DTYPES, LENGTH_HEADER, TensorSpec
from lepton_ai.serving.service import Service

_DTYPE = {"type": "string", "enum": list(DTYPES)}
_PARAMETERS = {
    "type": "object",
    "additionalProperties": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}]},
}
_SHAPE = {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 8}
_NAME = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}
_VERSION = {"type": "string", "pattern": "^[0-9]+$"}
_ERRORS = {
    "400": "The request is not right; `error` says what is.",
    "401": "A token is needed.",
    "403": "Not allowed here.",
    "404": "No such model or version.",
    "413": "The body is too large.",
    "415": "The body's encoding is not known.",
    "429": "The client is over its own limit; see Retry-After.",
    "503": "Too much waits, or the server stops; see Retry-After.",
    "504": "The deadline passed.",
}


def _schemas() -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "shape", "datatype"],
        "properties": {
            "name": {"type": "string"},
            "shape": _SHAPE,
            "datatype": _DTYPE,
            "parameters": _PARAMETERS,
            "data": {"type": "array", "items": {}},
        },
    }
    name = {"name": {"type": "string"}}
    wanted = {"type": "object", "required": ["name"], "properties": {**name, "parameters": _PARAMETERS}}
    sizes = {"type": "array", "items": {"type": "integer"}}
    described = {"type": "object", "properties": {**name, "datatype": _DTYPE, "shape": sizes}}
    return {
        "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
        "InferRequest": {
            "type": "object",
            "required": ["inputs"],
            "properties": {
                "id": {"type": "string", "maxLength": 256},
                "parameters": _PARAMETERS,
                "inputs": {"type": "array", "minItems": 1, "items": tensor},
                "outputs": {"type": "array", "items": wanted},
            },
        },
        "InferResponse": {
            "type": "object",
            "required": ["model_name", "outputs"],
            "properties": {
                "model_name": {"type": "string"},
                "model_version": {"type": "string"},
                "id": {"type": "string"},
                "outputs": {"type": "array", "items": tensor},
            },
        },
        "ModelMetadata": {
            "type": "object",
            "required": ["name", "platform", "inputs", "outputs"],
            "properties": {
                "name": {"type": "string"},
                "versions": {"type": "array", "items": {"type": "string"}},
                "platform": {"type": "string"},
                "inputs": {"type": "array", "items": described},
                "outputs": {"type": "array", "items": described},
                "labels": {"type": "array", "items": {"type": "string"}},
            },
        },
    }


def document(service: Service) -> dict[str, Any]:
    """The document, in OpenAPI 3.1."""
    paths: dict[str, Any] = {
        "/v2": _get("The server's name, version and extensions."),
        "/v2/health/live": _get("Whether the process runs."),
        "/v2/health/ready": _get("Whether requests should be sent here.", errors=("503",)),
        "/v2/models": _get("The names of the loaded models."),
        "/v2/models/stats": _get("What all models did since they were loaded."),
    }
    for base, parameters in (
        ("/v2/models/{model}", [_parameter("model", _NAME)]),
        ("/v2/models/{model}/versions/{version}", [_parameter("model", _NAME), _parameter("version", _VERSION)]),
    ):
        for verb, text, schema in (
            ("", "The model's inputs and outputs.", "ModelMetadata"),
            ("/ready", "Whether the model answers.", None),
            ("/config", "The model's configuration.", None),
            ("/stats", "What the model did since it was loaded.", None),
        ):
            paths[base + verb] = {"parameters": parameters, **_get(text, schema, ("404", "503"))}
        paths[f"{base}/infer"] = {"parameters": parameters, "post": _infer(service)}
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Lepton",
            "version": service.server_metadata()["version"],
            "description": "The Open Inference Protocol, version 2, with its extension for binary tensors.",
        },
        "paths": paths,
        "components": {"schemas": _schemas()},
    }
    if not service.access.open:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def example(specs: tuple[TensorSpec, ...]) -> dict[str, Any]:
    """A request of one row that a model of these inputs reads.

    Example:
        >>> example((TensorSpec(name="x", dtype="FP32", shape=(-1, 2)),))["inputs"][0]["data"]
        [0, 0]
    """
    inputs = []
    for spec in specs:
        shape = [1 if size == -1 else size for size in spec.shape]
        count = 1
        for size in shape:
            count *= size
        filler: Any = "" if spec.dtype == "BYTES" else False if spec.dtype == "BOOL" else 0
        inputs.append({"name": spec.name, "shape": shape, "datatype": spec.dtype, "data": [filler] * count})
    return {"inputs": inputs}


def _infer(service: Service) -> dict[str, Any]:
    examples = {
        model.name: {"value": example(model.signature.inputs)}
        for model in service.models
        if sum(value_count(spec) for spec in model.signature.inputs) <= 1000
    }
    header = {"name": LENGTH_HEADER, "in": "header", "schema": {"type": "integer", "minimum": 0}, "required": False}
    answer = {"schema": {"$ref": "#/components/schemas/InferResponse"}}
    body = {"schema": {"$ref": "#/components/schemas/InferRequest"}, "examples": examples}
    return {
        "summary": "Ask the model.",
        "parameters": [header],
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": {
            "200": {
                "description": "The answer; with outputs in binary, JSON and then their bytes.",
                "content": {"application/json": answer, "application/octet-stream": {}},
            },
            **_failures(tuple(_ERRORS)),
        },
    }


def value_count(spec: TensorSpec) -> int:
    """How many values one row of a tensor has."""
    count = 1
    for size in spec.shape:
        count *= abs(size)
    return count


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _get(text: str, schema: str | None = None, errors: tuple[str, ...] = ()) -> dict[str, Any]:
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"} if schema else {"type": "object"}}
    done = {"description": "It is so.", "content": {"application/json": content}}
    return {"get": {"summary": text, "responses": {"200": done, **_failures(("401", "403", *errors))}}}


def _failures(statuses: tuple[str, ...]) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    return {status: {"description": _ERRORS[status], "content": content} for status in statuses}
