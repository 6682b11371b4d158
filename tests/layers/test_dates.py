"""Dates written as text: all that there are, and nothing else."""

import datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.core import ConfigError, DataError
from lepton_ai.layers import DateParts, Input
from lepton_ai.layers.dates import PARTS
from lepton_ai.layers.stage import Stage
from tests.contracts.stage import ODD, Graph, StageContract

FORMS = [
    "2024-02-29",
    "2023-02-29",
    "1900-02-29",
    "2000-02-29",
    "2024-12-31T23:59:59Z",
    "2024-12-31 23:59",
    "2024-06-01T00:00Z",
    "2024-06-01T08:09:10.123456+02:00",
    "2024-06-01T08:09:10-0330",
    "2024-06-31",
    "2024-13-01",
    "0999-01-01",
    "2024-6-1",
    "2024-01-01T24:00",
    " 2024-01-01",
    "２０２４-01-01",
    "2024-01-01\n",
]
moments = st.datetimes(datetime.datetime(1000, 1, 1), datetime.datetime(9999, 12, 31))


class TestDateParts(StageContract):
    def make(self) -> Stage:
        return DateParts(PARTS, missing="indicator")

    def rows(self) -> list[str]:
        return [*FORMS, *ODD[:8]]


class TestDatesInAColumn(StageContract):
    shapes = ((1,),)

    def make(self) -> Stage:
        return DateParts("weekday", missing="indicator")


@settings(max_examples=80, deadline=None)
@given(moments, st.sampled_from([" ", "T"]))
def test_parts_are_those_of_the_calendar(moment: datetime.datetime, mark: str) -> None:
    wanted = [
        moment.year,
        moment.month,
        moment.day,
        moment.weekday(),
        moment.timetuple().tm_yday,
        moment.hour,
        moment.minute,
        moment.second,
    ]
    assert DateParts(PARTS)([moment.isoformat(mark)])[0].tolist() == wanted
    assert DateParts(PARTS[:5])([moment.date().isoformat()])[0].tolist() == wanted[:5]


def test_every_day_of_four_centuries_is_the_same_in_the_graph() -> None:
    stage = DateParts(PARTS[:5])
    days = np.arange(np.datetime64("1899-12-30"), np.datetime64("2101-01-03")).astype(str).astype(object)
    got = Graph(stage, Input((), dtype="string"))(days)
    assert np.array_equal(got, stage.compute(days))
    first = datetime.date(1899, 12, 30)
    assert got[:, 3].tolist() == [(first.weekday() + index) % 7 for index in range(len(days))]


def test_what_is_no_date_is_an_error_with_row_and_value_or_a_mark() -> None:
    stage = DateParts(["year"], name="since")
    with pytest.raises(DataError) as caught:
        stage(["2024-01-01", "soon", "2024-02-30"])
    assert str(caught.value) == (
        "DateParts 'since': 'soon' in row 1 is no date, nor are 1 more, expected texts such as '2024-02-29' or "
        "'2024-02-29T18:30:00'. Or take them for missing: DateParts(missing=\"indicator\")."
    )
    graph = Graph(stage, Input((), dtype="string"))
    with pytest.raises(Exception, match="refused: a text that is no date for since"):
        graph(np.array(["2024-01-01", "soon"], object))
    assert graph(np.array(["2024-01-01"], object)).tolist() == [[2024.0]]
    marked = DateParts(["year"], missing="indicator")
    assert marked(["2024-01-01", None, "soon"]).tolist() == [[2024, 0], [0, 1], [0, 1]]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DateParts(["years"]), "DateParts.parts: got 'years', expected some of year, month, day"),
        (lambda: DateParts([]), "DateParts.parts: got (), expected some of"),
        (lambda: DateParts(missing="zero"), "DateParts.missing: got 'zero', expected None or \"indicator\""),
    ],
)
def test_settings_that_cannot_be_are_refused(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert str(caught.value).startswith(said)
