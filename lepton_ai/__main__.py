"""`python -m lepton_ai` is `lepton`."""

from lepton_ai.cli import main

main()
