"""Measurements behind what the documentation claims: `python -m benchmarks` lists and runs them."""
