"""The front door, and that nobody forgot the contract."""

from pathlib import Path

from lepton_ai import layers


def test_names_are_there_once() -> None:
    assert len(set(layers.__all__)) == len(layers.__all__)
    assert all(hasattr(layers, name) for name in layers.__all__)


def test_every_layer_keeps_the_contract() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    bases = {"Fitted", "GeometricLayer", "KernelLayer", "Layer", "MergeLayer", "RandomLayer", "Stage"}
    for name in set(layers.__all__) - bases:
        value = getattr(layers, name)
        if isinstance(value, type) and issubclass(value, layers.Layer):
            assert f"class Test{name}(" in tests, name
