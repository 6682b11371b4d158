"""What every schedule keeps: finite rates, open lengths filled in by `bind`, settings that survive storage."""

import json
import math
from typing import ClassVar

import pytest

from lepton_ai.core import UsageError
from lepton_ai.training.schedules import Schedule, get_schedule


class ScheduleContract:
    """A child gives a schedule; `opened` is one whose length is open, or None."""

    schedule: ClassVar[Schedule]
    opened: ClassVar[Schedule | None] = None

    def test_rates_are_finite_numbers_for_ever(self) -> None:
        bound = self.schedule.bind(100)
        for step in (*range(130), 10**6):
            rate = bound(step)
            assert type(rate) is float and math.isfinite(rate) and rate >= 0

    def test_depends_on_the_step_alone(self) -> None:
        bound = self.schedule.bind(100)
        assert [bound(step) for step in range(50)] == [bound(step) for step in reversed(range(50))][::-1]

    def test_settings_survive_storage(self) -> None:
        for schedule in (self.schedule, self.opened, self.schedule.bind(100)):
            if schedule is not None:
                again = get_schedule(json.loads(json.dumps(schedule.config())))
                assert type(again) is type(schedule) and again.config() == schedule.config()
                assert [again.bind(30)(s) for s in range(40)] == [schedule.bind(30)(s) for s in range(40)]

    def test_an_open_length_is_asked_for(self) -> None:
        if self.opened is None:
            assert self.schedule.bind(7).config() == self.schedule.config()
            return
        with pytest.raises(UsageError, match=r"the length of the run is not known yet. Pass \w+, or call bind"):
            self.opened(99)
        bound = self.opened.bind(50)
        assert bound(49) < bound(10)
        assert bound.bind(10).config() == bound.config()
