import math
from pathlib import Path

import msgspec
import pytest

from lepton_ai.training import History
from tests.contracts.fitting import compiled, mlp, table


def test_columns_by_epoch() -> None:
    history = History()
    history.append(3, {"loss": 0.5}, seconds=1.0)
    history.append(4, {"loss": 0.25, "val_loss": 1.0}, seconds=2.0, waited=0.5)
    history.append(5, {"val_loss": 0.5}, seconds=3.0)
    assert history.epoch == [3, 4, 5]
    assert history.seconds == [1.0, 2.0, 3.0] and history.waited == [0.0, 0.5, 0.0]
    assert history["loss"][:2] == [0.5, 0.25] and math.isnan(history["loss"][2])
    assert math.isnan(history["val_loss"][0]) and history["val_loss"][1:] == [1.0, 0.5]
    assert not history.interrupted
    with pytest.raises(KeyError):
        history["accuracy"]


def test_two_histories_share_nothing() -> None:
    one = History()
    one.append(0, {"loss": 1.0}, seconds=0.0)
    assert History().epoch == [] and History().history == {}


def test_it_can_be_stored() -> None:
    history = History()
    history.append(0, {"loss": 0.5}, seconds=1.0)
    assert History(**msgspec.json.decode(msgspec.json.encode(history.to_dict()))) == history


def test_a_run_that_goes_on_keeps_its_times(tmp_path: Path) -> None:
    x, y = table()
    for epochs in (2, 3):
        history = compiled(mlp()).fit(x, y, epochs=epochs, verbose=0, run=tmp_path)
    assert len(history.waited) == len(history.seconds) == len(history.epoch) == 3
    assert all(0 < waited < seconds for waited, seconds in zip(history.waited, history.seconds, strict=True))
