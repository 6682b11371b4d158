"""The messages of the gRPC service are those that other clients send."""

from typing import Any

import pytest

from lepton_ai.serving.grpc_messages import messages

theirs = pytest.importorskip("tritonclient.grpc.service_pb2", exc_type=ImportError)
theirs_config = pytest.importorskip("tritonclient.grpc.model_config_pb2", exc_type=ImportError)

NESTED = {
    "TensorMetadata": "ModelMetadataResponse",
    "InferInputTensor": "ModelInferRequest",
    "InferRequestedOutputTensor": "ModelInferRequest",
    "InferOutputTensor": "ModelInferResponse",
    "ModelIndex": "RepositoryIndexResponse",
    "Latest": "ModelVersionPolicy",
}
HEALTH = {"HealthCheckRequest", "HealthCheckResponse"}  # of another service, which tritonclient does not have


def shape_of(field: Any) -> tuple[Any, ...]:
    kind = field.message_type or field.enum_type
    return (
        field.name,
        field.number,
        field.type,
        field.is_repeated,
        field.containing_oneof is not None,
        kind.name if kind is not None else "",
    )


def ours() -> list[str]:
    return [name for name in messages()._classes if name not in HEALTH]


@pytest.mark.parametrize("name", ours())
def test_a_message_is_theirs_or_a_part_of_it(name: str) -> None:
    module = theirs_config if hasattr(theirs_config, NESTED.get(name, name)) else theirs
    outer = getattr(module, NESTED.get(name, name))
    there = (getattr(outer, name) if name in NESTED else outer).DESCRIPTOR
    fields = {shape_of(field) for field in there.fields}
    mine = {shape_of(field) for field in messages()[name].DESCRIPTOR.fields}
    assert mine <= fields
    if module is theirs:  # of the configuration we have a part only
        assert mine == fields


def test_enums_are_theirs() -> None:
    for name, there in (
        ("DataType", theirs_config.DataType.DESCRIPTOR),
        ("Kind", theirs_config.ModelInstanceGroup.DESCRIPTOR.enum_types_by_name["Kind"]),
    ):
        field = next(
            field
            for message in ("ModelInput", "ModelInstanceGroup")
            for field in messages()[message].DESCRIPTOR.fields
            if field.enum_type is not None and field.enum_type.name == name
        )
        wanted = {value.name: value.number for value in there.values}
        assert {value.name: value.number for value in field.enum_type.values} == wanted


def test_bytes_are_read_by_both() -> None:
    mine = messages()["ModelInferRequest"](model_name="m", raw_input_contents=[b"\x00\xff"])
    mine.parameters["priority"].uint64_param = 2**63
    mine.inputs.add(name="x", datatype="UINT8", shape=[-1, 2]).parameters["a"].string_param = "ü"
    read = theirs.ModelInferRequest.FromString(mine.SerializeToString())
    assert read.parameters["priority"].uint64_param == 2**63 and list(read.inputs[0].shape) == [-1, 2]
    assert messages()["ModelInferRequest"].FromString(read.SerializeToString()) == mine
