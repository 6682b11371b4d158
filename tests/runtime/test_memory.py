"""Is there enough memory for a model?"""

from pathlib import Path

import pytest

from lepton_ai.bundle import Bundle
from lepton_ai.core import UnavailableError
from lepton_ai.runtime import check_memory, memory_needed
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    path = write_bundle(tmp_path / "rows", name="rows", sign=graphs.ROWS, graphs={"fp32": graphs.rows_graph()})
    return Bundle.open(path)


def test_what_does_not_fit_is_refused_with_both_numbers(bundle: Bundle) -> None:
    needed = memory_needed(bundle, "fp32")
    assert needed > 3 * bundle.manifest.files["variants/fp32/model.onnx"].size
    check_memory(bundle, "fp32", available=needed)
    with pytest.raises(UnavailableError, match=r"rows \(fp32\): loading needs about 16 MiB, 16 MiB are free. Unload"):
        check_memory(bundle, "fp32", available=needed - 1)
