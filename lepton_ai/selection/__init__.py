"""Choosing among models by what they answer to rows that they have not seen."""

from lepton_ai.selection.cross_validation import cross_validate
from lepton_ai.selection.select import select

__all__ = ["cross_validate", "select"]
