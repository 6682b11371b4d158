"""Lepton."""
