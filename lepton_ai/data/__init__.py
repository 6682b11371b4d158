"""Data: sources, tables, checks, schema, splits, the order of rows, and the profile that goes into the bundle."""

from lepton_ai.data.arrays import Arrays
from lepton_ai.data.audio import AudioFolder
from lepton_ai.data.check import Missing, check_batch, check_finite, check_lengths, check_source, is_resident
from lepton_ai.data.convert import as_array, to_tensor
from lepton_ai.data.csv_file import read_csv
from lepton_ai.data.dispatch import as_source
from lepton_ai.data.encode import encode_labels, pad_sequences, to_categorical
from lepton_ai.data.folds import Fold, fold_indices
from lepton_ai.data.foreign import Batches, ResumeWarning, TorchDataset
from lepton_ai.data.huggingface import HuggingFaceDataset, from_huggingface
from lepton_ai.data.images import ImageFolder
from lepton_ai.data.jsonlines import read_jsonl
from lepton_ai.data.loader import Loader
from lepton_ai.data.mapped import Mapped, map_inputs
from lepton_ai.data.memory_map import DiskTable
from lepton_ai.data.parquet import ParquetTable, read_parquet
from lepton_ai.data.profile import build_profile
from lepton_ai.data.remote import set_remote_cache
from lepton_ai.data.schema import Field, Schema
from lepton_ai.data.source import Batch, Indexed, Subset
from lepton_ai.data.split import split, split_indices, take_rows
from lepton_ai.data.sql import read_sql
from lepton_ai.data.stream import Stream
from lepton_ai.data.table import Column, Table
from lepton_ai.data.video import VideoFolder

__all__ = [
    "Arrays",
    "AudioFolder",
    "Batch",
    "Batches",
    "Column",
    "DiskTable",
    "Field",
    "Fold",
    "HuggingFaceDataset",
    "ImageFolder",
    "Indexed",
    "Loader",
    "Mapped",
    "Missing",
    "ParquetTable",
    "ResumeWarning",
    "Schema",
    "Stream",
    "Subset",
    "Table",
    "TorchDataset",
    "VideoFolder",
    "as_array",
    "as_source",
    "build_profile",
    "check_batch",
    "check_finite",
    "check_lengths",
    "check_source",
    "encode_labels",
    "fold_indices",
    "from_huggingface",
    "is_resident",
    "map_inputs",
    "pad_sequences",
    "read_csv",
    "read_jsonl",
    "read_parquet",
    "read_sql",
    "set_remote_cache",
    "split",
    "split_indices",
    "take_rows",
    "to_categorical",
    "to_tensor",
]
