"""The command `lepton`: thin verbs over the rooms."""

from lepton_ai.cli.main import app, main

__all__ = ["app", "main"]
