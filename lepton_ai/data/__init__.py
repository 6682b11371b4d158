"""Data: sources, tables, checks, schema, splits, the order of rows, and the profile that goes into the bundle."""

from lepton_ai.data.arrays import Arrays
from lepton_ai.data.check import Missing, check_batch, check_finite, check_lengths, check_source, is_resident
from lepton_ai.data.convert import as_array, to_tensor
from lepton_ai.data.dispatch import as_source
from lepton_ai.data.encode import encode_labels, to_categorical
from lepton_ai.data.foreign import Batches, ResumeWarning, TorchDataset
from lepton_ai.data.images import ImageFolder
from lepton_ai.data.loader import Loader
from lepton_ai.data.profile import build_profile
from lepton_ai.data.schema import Field, Schema
from lepton_ai.data.source import Batch, Indexed, Subset
from lepton_ai.data.split import split, split_indices
from lepton_ai.data.table import Column, Table, read_csv

__all__ = [
    "Arrays",
    "Batch",
    "Batches",
    "Column",
    "Field",
    "ImageFolder",
    "Indexed",
    "Loader",
    "Missing",
    "ResumeWarning",
    "Schema",
    "Subset",
    "Table",
    "TorchDataset",
    "as_array",
    "as_source",
    "build_profile",
    "check_batch",
    "check_finite",
    "check_lengths",
    "check_source",
    "encode_labels",
    "is_resident",
    "read_csv",
    "split",
    "split_indices",
    "to_categorical",
    "to_tensor",
]
