"""What every room may use: errors, names, whole files, events, and the facts about this machine."""

from lepton_ai.core.configured import constructor_arguments, constructor_values
from lepton_ai.core.container import memory_available
from lepton_ai.core.errors import (
    BundleError,
    ConfigError,
    DataError,
    DivergedError,
    LeptonError,
    MissingExtraError,
    NotFoundError,
    RequestError,
    ShapeError,
    StorageError,
    TooLargeError,
    UnavailableError,
    UnknownNameError,
    UsageError,
    WorkerError,
)
from lepton_ai.core.events import Channel
from lepton_ai.core.extras import load_extra
from lepton_ai.core.files import atomic_directory, cache_folder, sha256, write_atomic
from lepton_ai.core.machine import Machine, this_machine
from lepton_ai.core.names import Registry, snake_case, unique_name, unknown_name

__all__ = [
    "BundleError",
    "Channel",
    "ConfigError",
    "DataError",
    "DivergedError",
    "LeptonError",
    "Machine",
    "MissingExtraError",
    "NotFoundError",
    "Registry",
    "RequestError",
    "ShapeError",
    "StorageError",
    "TooLargeError",
    "UnavailableError",
    "UnknownNameError",
    "UsageError",
    "WorkerError",
    "atomic_directory",
    "cache_folder",
    "constructor_arguments",
    "constructor_values",
    "load_extra",
    "memory_available",
    "sha256",
    "snake_case",
    "this_machine",
    "unique_name",
    "unknown_name",
    "write_atomic",
]
