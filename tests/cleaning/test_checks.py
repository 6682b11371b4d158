"""All checks pass the contract, on data that has every fault and on data that has none."""

import pytest

from lepton_ai.cleaning.check import TableSubject
from lepton_ai.cleaning.examining import IMAGE_CHECKS, TABLE_CHECKS
from lepton_ai.cleaning.images import ImageSubject
from tests.contracts.check import hold
from tests.contracts.dirty import clean_images, clean_table, dirty_images, dirty_table


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[TableSubject, TableSubject]:
    folder = tmp_path_factory.mktemp("tables")
    return dirty_table(folder), clean_table(folder)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> tuple[ImageSubject, ImageSubject]:
    return dirty_images(tmp_path_factory.mktemp("dirty")), clean_images(tmp_path_factory.mktemp("clean"))


@pytest.mark.parametrize("name", list(TABLE_CHECKS))
def test_a_check_of_tables_holds_the_contract(name: str, tables: tuple[TableSubject, TableSubject]) -> None:
    dirty, clean = tables
    assert dirty.against is not None and dirty.against_as_it_came is not None
    columns = {*dirty.records.columns, *dirty.against_as_it_came.columns}
    hold(TABLE_CHECKS.get(name), dirty, clean, columns)


@pytest.mark.parametrize("name", list(IMAGE_CHECKS))
def test_a_check_of_images_holds_the_contract(name: str, images: tuple[ImageSubject, ImageSubject]) -> None:
    hold(IMAGE_CHECKS.get(name), *images, {"class"})


def test_clean_data_has_no_findings_of_weight(tables: tuple[TableSubject, TableSubject]) -> None:
    clean = tables[1]
    checks = [TABLE_CHECKS.get(name) for name in TABLE_CHECKS]
    found = [finding for check in checks if not check.why_not(clean) for finding in check.run(clean)]
    assert {(each.check, each.severity) for each in found} <= {
        ("suspicious_labels", "warning"),
        ("suspicious_labels", "note"),
    }
