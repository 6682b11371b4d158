"""A trained model becomes a graph in a bundle, proven equal."""

from lepton_ai.exporting.card import model_card
from lepton_ai.exporting.export import export
from lepton_ai.exporting.onnx import to_onnx
from lepton_ai.exporting.parity import prove

__all__ = ["export", "model_card", "prove", "to_onnx"]
