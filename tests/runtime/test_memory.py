"""Is there enough memory? By the machine, by the container, and where nobody says."""

from pathlib import Path

import pytest

from lepton_ai.bundle import Bundle
from lepton_ai.core import UnavailableError
from lepton_ai.runtime import check_memory, memory_available, memory_needed
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    path = write_bundle(tmp_path / "rows", name="rows", sign=graphs.ROWS, graphs={"fp32": graphs.rows_graph()})
    return Bundle.open(path)


def test_the_machine_and_the_container_are_both_asked(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:   50 kB\n")
    assert memory_available(tmp_path / "meminfo", tmp_path / "none") == 50 * 1024
    (tmp_path / "memory.max").write_text("30000\n")
    (tmp_path / "memory.current").write_text("25000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 5000\n")
    assert memory_available(tmp_path / "meminfo", tmp_path) == 10_000, "what is only cached can be taken back"
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_available(tmp_path / "meminfo", tmp_path) == 50 * 1024
    assert memory_available(tmp_path / "none", tmp_path / "none") is None


def test_what_does_not_fit_is_refused_with_both_numbers(bundle: Bundle) -> None:
    needed = memory_needed(bundle, "fp32")
    assert needed > 3 * bundle.manifest.files["variants/fp32/model.onnx"].size
    check_memory(bundle, "fp32", available=needed)
    with pytest.raises(UnavailableError, match=r"rows \(fp32\): loading needs about 16 MiB, 16 MiB are free. Unload"):
        check_memory(bundle, "fp32", available=needed - 1)
