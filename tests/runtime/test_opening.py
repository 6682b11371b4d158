"""Choosing and opening a graph."""

from pathlib import Path

import numpy as np
import pytest

from lepton_ai.bundle import Bundle
from lepton_ai.core import BundleError, UnknownNameError
from lepton_ai.runtime import choose_variant, open_model
from tests.contracts.bundles import write_bundle
from tests.contracts.graphs import ROWS, rows_graph


def bundle(folder: Path, *variants: str) -> Bundle:
    graphs = dict.fromkeys(variants, rows_graph())
    return Bundle.open(write_bundle(folder / "rows.lepton", name="rows", sign=ROWS, graphs=graphs))


def test_a_path_is_enough(tmp_path: Path) -> None:
    runtime = open_model(bundle(tmp_path, "fp32").path, threads=1)
    assert runtime.run({"x": np.ones((1, 3), "float32")})["total"].tolist() == [[3]]


def test_choice(tmp_path: Path) -> None:
    both = bundle(tmp_path, "int8", "fp32")
    assert choose_variant(both) == "fp32" and choose_variant(both, "int8") == "int8"
    with pytest.raises(UnknownNameError, match="unknown variant 'int9'. Did you mean 'int8'?"):
        choose_variant(both, "int9")
    assert choose_variant(bundle(tmp_path / "one", "int8")) == "int8"
    with pytest.raises(
        BundleError, match="several graphs and none called fp32: int8, int4. Choose one: variant='int8'"
    ):
        choose_variant(bundle(tmp_path / "two", "int8", "int4"))


def test_without_graphs_the_error_says_what_to_run(tmp_path: Path) -> None:
    saved = bundle(tmp_path)
    with pytest.raises(BundleError) as caught:
        open_model(saved)
    assert "has no graph to run: the model was saved but not exported" in str(caught.value)
    assert f'Add one: lepton_ai.export(model, "{saved.path}").' in str(caught.value)
