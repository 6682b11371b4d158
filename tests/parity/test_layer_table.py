"""docs/keras-layers.md against what both packages hold."""

import inspect
import os
import re
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"

import keras

from lepton_ai import layers

PAGE = (Path(__file__).parent.parent.parent / "docs" / "keras-layers.md").read_text()
ROWS = re.findall(r"^\| (`.+`) \| (.+) \|$", PAGE, re.MULTILINE)


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_every_layer_of_keras_is_in_the_table_once() -> None:
    listed = [name for left, _ in ROWS for name in names(left)]
    theirs = {name for name, value in vars(keras.layers).items() if inspect.isclass(value)}
    assert sorted(listed) == sorted(theirs)


def test_what_the_table_says_is_here_is_here_and_nothing_else() -> None:
    for left, right in ROWS:
        for name in names(left):
            assert hasattr(layers, name) == right.startswith("yes"), name


def test_what_lepton_adds_is_here_and_not_in_keras() -> None:
    _, _, added = PAGE.partition("What Lepton adds")
    for name in names(added):
        assert hasattr(layers, name) and not hasattr(keras.layers, name), name
