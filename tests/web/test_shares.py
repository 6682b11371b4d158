"""The matrix of shares: a line for each column, a cell for each stretch that has any."""

import xml.etree.ElementTree as ET

import pytest

from lepton_ai.core import ShapeError
from lepton_ai.web import share_matrix


def test_cells_are_where_shares_are() -> None:
    svg = share_matrix([[0.0, 1.0], [0.5, 0.0]], columns=["age", "<town>"], rows_per_stretch=1000, title="Gaps")
    tree = ET.fromstring(str(svg).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" '))
    boxes = [each for each in tree.iter("{http://www.w3.org/2000/svg}rect") if each.get("class") == "cell-miss"]
    assert [box.get("fill-opacity") for box in boxes] == ["0.60", "1.00"]
    tips = [each.text for each in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert tips == ["Gaps", "age, rows from 1,000: 50.0\u202f%", "<town>, rows from 0: 100.0\u202f%"]
    assert "&lt;town&gt;" in svg and "<town>" not in svg


def test_shares_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ShapeError) as error:
        share_matrix([[0.0, 1.0]], columns=["age"], rows_per_stretch=1, title="Gaps")
    assert str(error.value) == "share_matrix.shares: got (1, 2), expected (stretches, 1)"
