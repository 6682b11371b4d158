"""The messages of the protocol's gRPC service, in a pool of their own.

Other packages, such as tritonclient, register messages of the same names in protobuf's common pool, where the second
to come fails. So ours are built here, from the table below, and registered nowhere.
"""

import functools
import re
from typing import Any

from lepton_ai.core import load_extra

SERVICE = "inference.GRPCInferenceService"
HEALTH = "grpc.health.v1.Health"

# A line is a message and its fields, as protobuf writes them; `|` before a field: one of several of which one is set.
# What a field means is said by the protocol: docs/rooms/serving.md names it. Types that Triton nests stand beside each
# other here, which the wire does not show.
_TABLE = """
ServerLiveRequest
ServerLiveResponse: bool live = 1
ServerReadyRequest
ServerReadyResponse: bool ready = 1
ModelReadyRequest: string name = 1; string version = 2
ModelReadyResponse: bool ready = 1
ServerMetadataRequest
ServerMetadataResponse: string name = 1; string version = 2; repeated string extensions = 3
ModelMetadataRequest: string name = 1; string version = 2
TensorMetadata: string name = 1; string datatype = 2; repeated int64 shape = 3
ModelMetadataResponse: string name = 1; repeated string versions = 2; string platform = 3; repeated TensorMetadata inputs = 4; repeated TensorMetadata outputs = 5
InferParameter: |bool bool_param = 1; |int64 int64_param = 2; |string string_param = 3; |double double_param = 4; |uint64 uint64_param = 5
InferTensorContents: repeated bool bool_contents = 1; repeated int32 int_contents = 2; repeated int64 int64_contents = 3; repeated uint32 uint_contents = 4; repeated uint64 uint64_contents = 5; repeated float fp32_contents = 6; repeated double fp64_contents = 7; repeated bytes bytes_contents = 8
InferInputTensor: string name = 1; string datatype = 2; repeated int64 shape = 3; map<InferParameter> parameters = 4; InferTensorContents contents = 5
InferRequestedOutputTensor: string name = 1; map<InferParameter> parameters = 2
ModelInferRequest: string model_name = 1; string model_version = 2; string id = 3; map<InferParameter> parameters = 4; repeated InferInputTensor inputs = 5; repeated InferRequestedOutputTensor outputs = 6; repeated bytes raw_input_contents = 7
InferOutputTensor: string name = 1; string datatype = 2; repeated int64 shape = 3; map<InferParameter> parameters = 4; InferTensorContents contents = 5
ModelInferResponse: string model_name = 1; string model_version = 2; string id = 3; map<InferParameter> parameters = 4; repeated InferOutputTensor outputs = 5; repeated bytes raw_output_contents = 6
ModelStreamInferResponse: string error_message = 1; ModelInferResponse infer_response = 2
ModelConfigRequest: string name = 1; string version = 2
DataType = TYPE_INVALID TYPE_BOOL TYPE_UINT8 TYPE_UINT16 TYPE_UINT32 TYPE_UINT64 TYPE_INT8 TYPE_INT16 TYPE_INT32 TYPE_INT64 TYPE_FP16 TYPE_FP32 TYPE_FP64 TYPE_STRING TYPE_BF16
Kind = KIND_AUTO KIND_GPU KIND_CPU KIND_MODEL
Latest: uint32 num_versions = 1
ModelVersionPolicy: |Latest latest = 1
ModelInput: string name = 1; DataType data_type = 2; repeated int64 dims = 4
ModelOutput: string name = 1; DataType data_type = 2; repeated int64 dims = 3; string label_filename = 4
ModelInstanceGroup: string name = 1; int32 count = 2; Kind kind = 4
ModelDynamicBatching: repeated int32 preferred_batch_size = 1; uint64 max_queue_delay_microseconds = 2; bool preserve_ordering = 3; uint64 priority_levels = 4; uint64 default_priority_level = 5
ModelParameter: string string_value = 1
ModelConfig: string name = 1; string platform = 2; ModelVersionPolicy version_policy = 3; int32 max_batch_size = 4; repeated ModelInput input = 5; repeated ModelOutput output = 6; repeated ModelInstanceGroup instance_group = 7; string default_model_filename = 8; |ModelDynamicBatching dynamic_batching = 11; map<ModelParameter> parameters = 14; string backend = 17
ModelConfigResponse: ModelConfig config = 1
ModelStatisticsRequest: string name = 1; string version = 2
StatisticDuration: uint64 count = 1; uint64 ns = 2
InferStatistics: StatisticDuration success = 1; StatisticDuration fail = 2; StatisticDuration queue = 3; StatisticDuration compute_input = 4; StatisticDuration compute_infer = 5; StatisticDuration compute_output = 6; StatisticDuration cache_hit = 7; StatisticDuration cache_miss = 8
InferResponseStatistics: StatisticDuration compute_infer = 1; StatisticDuration compute_output = 2; StatisticDuration success = 3; StatisticDuration fail = 4; StatisticDuration empty_response = 5; StatisticDuration cancel = 6
InferBatchStatistics: uint64 batch_size = 1; StatisticDuration compute_input = 2; StatisticDuration compute_infer = 3; StatisticDuration compute_output = 4
MemoryUsage: string type = 1; int64 id = 2; uint64 byte_size = 3
ModelStatistics: string name = 1; string version = 2; uint64 last_inference = 3; uint64 inference_count = 4; uint64 execution_count = 5; InferStatistics inference_stats = 6; repeated InferBatchStatistics batch_stats = 7; repeated MemoryUsage memory_usage = 8; map<InferResponseStatistics> response_stats = 9
ModelStatisticsResponse: repeated ModelStatistics model_stats = 1
ModelRepositoryParameter: |bool bool_param = 1; |int64 int64_param = 2; |string string_param = 3; |bytes bytes_param = 4
ModelIndex: string name = 1; string version = 2; string state = 3; string reason = 4
RepositoryIndexRequest: string repository_name = 1; bool ready = 2
RepositoryIndexResponse: repeated ModelIndex models = 1
RepositoryModelLoadRequest: string repository_name = 1; string model_name = 2; map<ModelRepositoryParameter> parameters = 3
RepositoryModelLoadResponse
RepositoryModelUnloadRequest: string repository_name = 1; string model_name = 2; map<ModelRepositoryParameter> parameters = 3
RepositoryModelUnloadResponse
ServingStatus = UNKNOWN SERVING NOT_SERVING SERVICE_UNKNOWN
HealthCheckRequest: string service = 1
HealthCheckResponse: ServingStatus status = 1
"""  # noqa: E501

_FIELD = re.compile(r"(\|)?(repeated |map<)?(\w+)>? (\w+) = (\d+)")
_SCALARS = {
    "double": 1, "float": 2, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12, "uint32": 13,
}  # fmt: skip
_ENUM, _MESSAGE = 14, 11
_OPTIONAL, _REPEATED = 1, 3


class Messages:
    """The classes of the messages, by name: `messages()["ModelInferRequest"]`; and JSON as it becomes one of them."""

    def __init__(self) -> None:
        purpose = "gRPC"
        descriptors = load_extra("google.protobuf.descriptor_pb2", extra="grpc", purpose=purpose)
        pools = load_extra("google.protobuf.descriptor_pool", extra="grpc", purpose=purpose)
        factory = load_extra("google.protobuf.message_factory", extra="grpc", purpose=purpose)
        self._json = load_extra("google.protobuf.json_format", extra="grpc", purpose=purpose)
        file = descriptors.FileDescriptorProto(name="lepton/inference.proto", package="inference", syntax="proto3")
        enums = {line.split()[0] for line in _TABLE.split("\n") if re.match(r"\w+ = ", line)}
        for line in filter(None, _TABLE.split("\n")):
            name, _, rest = line.partition(" = " if line.split()[0] in enums else ":")
            if name in enums:
                enum = file.enum_type.add(name=name)
                for number, word in enumerate(rest.split()):
                    enum.value.add(name=word, number=number)
            else:
                _describe(file.message_type.add(name=name), rest, enums)
        pool = pools.DescriptorPool()
        pool.Add(file)
        self._classes = {
            message.name: factory.GetMessageClass(pool.FindMessageTypeByName(f"inference.{message.name}"))
            for message in file.message_type
        }

    def __getitem__(self, name: str) -> Any:
        return self._classes[name]

    def from_json(self, name: str, content: object) -> Any:
        """The message that an object of JSON describes; what the message has no field for is left out."""
        return self._json.ParseDict(content, self[name](), ignore_unknown_fields=True)


@functools.cache
def messages() -> Messages:
    """The classes, built once.

    Raises: MissingExtraError without protobuf.
    """
    return Messages()


def _describe(message: Any, fields: str, enums: set[str]) -> None:
    """Add the fields to a message's descriptor."""
    for one_of, shape, kind, name, number in _FIELD.findall(fields):
        field = message.field.add(name=name, number=int(number), label=_REPEATED if shape else _OPTIONAL)
        if shape == "map<":
            entry = message.nested_type.add(name=f"{name.title().replace('_', '')}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=_OPTIONAL, type=_SCALARS["string"])
            value = entry.field.add(name="value", number=2, label=_OPTIONAL)
            _set_type(value, kind, enums)
            field.type, field.type_name = _MESSAGE, f".inference.{message.name}.{entry.name}"
        else:
            _set_type(field, kind, enums)
        if one_of:
            if not message.oneof_decl:
                message.oneof_decl.add(name="choice")
            field.oneof_index = 0


def _set_type(field: Any, kind: str, enums: set[str]) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _ENUM if kind in enums else _MESSAGE, f".inference.{kind}"
