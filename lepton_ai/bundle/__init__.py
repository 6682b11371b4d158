"""The bundle: the folder that holds a finished model. The format, its reader and writer, and tensors as bytes."""

from lepton_ai.bundle.codec import DTYPES, Array, decode_tensor, dtype_of, element_count, encode_tensor, numpy_dtype
from lepton_ai.bundle.golden import decode_request, decode_response, encode_request, encode_response
from lepton_ai.bundle.manifest import (
    FORMAT,
    File,
    Graph,
    Manifest,
    Parity,
    Signature,
    TensorSpec,
    check_name,
    timestamp,
)
from lepton_ai.bundle.profile import Feature, Profile, encode_profile, parse_profile
from lepton_ai.bundle.protocol import (
    LENGTH_HEADER,
    InferRequest,
    InferResponse,
    check_id,
    parse_request,
    parse_response,
    read_classes,
    read_parameters,
)
from lepton_ai.bundle.reader import Bundle
from lepton_ai.bundle.rendering import Body, render_request, render_response
from lepton_ai.bundle.writer import Draft, amend, create

__all__ = [
    "DTYPES",
    "FORMAT",
    "LENGTH_HEADER",
    "Array",
    "Body",
    "Bundle",
    "Draft",
    "Feature",
    "File",
    "Graph",
    "InferRequest",
    "InferResponse",
    "Manifest",
    "Parity",
    "Profile",
    "Signature",
    "TensorSpec",
    "amend",
    "check_id",
    "check_name",
    "create",
    "decode_request",
    "decode_response",
    "decode_tensor",
    "dtype_of",
    "element_count",
    "encode_profile",
    "encode_request",
    "encode_response",
    "encode_tensor",
    "numpy_dtype",
    "parse_profile",
    "parse_request",
    "parse_response",
    "read_classes",
    "read_parameters",
    "render_request",
    "render_response",
    "timestamp",
]
