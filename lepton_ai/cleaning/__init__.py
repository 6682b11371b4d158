"""Cleaning: what is wrong with data, how sure that is, and what was changed and why."""

from lepton_ai.cleaning.check import Limits
from lepton_ai.cleaning.cleaner import clean, copy_cleaned, write_cleaned
from lepton_ai.cleaning.examining import check_names, examine
from lepton_ai.cleaning.findings import Change, CheckRun, ColumnFacts, Examination, Finding
from lepton_ai.cleaning.page import examination_report
from lepton_ai.cleaning.reading import read_records
from lepton_ai.cleaning.records import Records
from lepton_ai.cleaning.rules import Rule

__all__ = [
    "Change",
    "CheckRun",
    "ColumnFacts",
    "Examination",
    "Finding",
    "Limits",
    "Records",
    "Rule",
    "check_names",
    "clean",
    "copy_cleaned",
    "examination_report",
    "examine",
    "read_records",
    "write_cleaned",
]
