"""A run: state that can be saved, restored and handed over; plain modules in the same engine."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lepton_ai.core import StorageError
from lepton_ai.data import Arrays, Batch, Loader
from lepton_ai.training import (
    Callback,
    EarlyStopping,
    History,
    Job,
    Objective,
    ReduceLROnPlateau,
    Run,
    fit,
    get_optimizer,
    load_result,
)
from lepton_ai.training.checkpoint import load_checkpoint, save_checkpoint
from lepton_ai.training.interrupt import Interrupt
from lepton_ai.training.run import device_batch
from tests.contracts.fitting import table

X, Y = table()
CPU = torch.device("cpu")


class Norm(nn.Module):
    """A foreign module with dropout and running statistics of its own."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.4), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x).softmax(-1)
        return out


def job(module: nn.Module, **options: Any) -> Job:
    objective = Objective("sparse_categorical_crossentropy", ["accuracy"])
    objective.bind(torch.zeros(1, 3))
    loader = Loader(Arrays(X, Y), 8, shuffle=True, seed=4)
    settings: dict[str, Any] = {"optimizer": get_optimizer("adam"), "loader": loader, "epochs": 3, "seed": 4}
    return Job(module=module, objective=objective, **settings | options)


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_plain_module_trains() -> None:
    module = Norm()
    history = fit(job(module, epochs=20))
    assert history["loss"][-1] < history["loss"][0]
    assert not module.training and all(p.grad is None for p in module.parameters())


def test_its_own_dropout_repeats_and_resumes(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            if (self.run.epoch, batch) == (1, 2):
                raise KeyboardInterrupt

    whole, other, part, resumed = (Norm() for _ in range(4))
    first = fit(job(whole))
    torch.manual_seed(99)
    fit(job(other))
    assert equal(whole, other)
    fit(job(part, folder=tmp_path, callbacks=[Stop()]))
    history = fit(job(resumed, folder=tmp_path))
    assert equal(whole, resumed)
    assert history.history == first.history


def test_save_and_restore_hold_everything(tmp_path: Path) -> None:
    module = Norm()
    run = Run(job(module), CPU, Interrupt())
    run.begin_epoch()
    for batch in run.job.loader.epoch(0):
        run.optimizer.zero_grad()
        outputs = module.train()(batch.x)
        loss = run.job.objective.total(run.job.objective.losses(outputs, batch))
        loss.backward()  # type: ignore[no-untyped-call]
        run.optimizer.step()
        run.job.objective.update(outputs, batch.y)
        run.end_step(loss.item(), batch.global_rows)
        if run.step == 3:
            break
    run.learning_rate_scale, run.stopping = 0.25, True
    run.save(tmp_path / "c")
    again = Run(job(Norm()), CPU, Interrupt())
    again.restore(tmp_path / "c")
    assert (again.epoch, again.step, again.total_steps, again.rows) == (0, 3, 3, 24)
    assert (again.learning_rate_scale, again.stopping) == (0.25, True)
    assert again.training_logs() == run.training_logs()
    assert equal(again.module, module)
    assert again.learning_rate == run.learning_rate


def test_a_result_for_another_process(tmp_path: Path) -> None:
    module, other = Norm(), Norm()
    history = fit(job(module, result=tmp_path / "result"))
    assert load_result(tmp_path / "result", other) == history
    assert equal(module, other)


def test_a_checkpoint_of_another_optimizer(tmp_path: Path) -> None:
    fit(job(Norm(), folder=tmp_path))
    with pytest.raises(StorageError, match="belongs to a run with model 'Norm', this one has 'Linear'"):
        fit(job(nn.Linear(4, 3), folder=tmp_path))


@pytest.mark.parametrize("lacking", ["loss_sum", "seed", "given_plan", "history.interrupted", "head_sums", "metric/0"])
def test_a_checkpoint_that_lacks_something_is_refused(lacking: str, tmp_path: Path) -> None:
    """As one does that was made before the loss was summed outside of tensors."""
    path = tmp_path / "checkpoints" / "epoch-00001-step-00000000"
    Run(job(Norm()), CPU, Interrupt()).save(path)
    tensors, values = load_checkpoint(path)
    for part in (tensors, values, values["history"]):
        part.pop(lacking.removeprefix("history."), None)
    save_checkpoint(path, tensors, values)
    module, before = Norm(), Norm()
    with pytest.raises(StorageError) as refused:
        fit(job(module, folder=tmp_path))
    assert str(refused.value) == (
        f"{path}: lacks {lacking}, expected what this Lepton writes. "
        "Use another run folder, remove this one, or go on with the Lepton that wrote it."
    )
    assert equal(module, before)


def test_a_checkpoint_with_more_than_is_read_is_refused(tmp_path: Path) -> None:
    path, run = tmp_path / "c", Run(job(Norm()), CPU, Interrupt())
    run.save(path)
    tensors, values = load_checkpoint(path)
    del values["rows"], values["loss_sum"]
    values["history"]["watts"] = []
    save_checkpoint(path, tensors, values | {"weather": "fair"})
    with pytest.raises(StorageError, match=r"lacks loss_sum, rows; has history\.watts, weather, expected what this"):
        run.restore(path)
    values |= {"rows": 0, "loss_sum": 0.0, "history": History().to_dict()}
    save_checkpoint(path, tensors | {"loss_sum": torch.zeros(1)}, values)
    with pytest.raises(StorageError, match="has loss_sum, expected"):
        run.restore(path)


def test_a_plan_that_is_not_known_here_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "epoch-00001-step-00000000"
    Run(job(Norm()), CPU, Interrupt()).save(path)
    tensors, values = load_checkpoint(path)
    save_checkpoint(path, tensors, values | {"plan": values["plan"] | {"threads": "all"}})
    with pytest.raises(StorageError, match=r"epoch-00001-step-00000000: its plan cannot be read: .* at `\$.threads`"):
        fit(job(Norm(), folder=tmp_path))


def test_a_callback_that_misses_its_state_is_named(tmp_path: Path) -> None:
    run = Run(job(Norm(), callbacks=[EarlyStopping("loss")]), CPU, Interrupt())
    run.save(tmp_path / "c")
    other = Run(job(Norm(), callbacks=[ReduceLROnPlateau("loss")]), CPU, Interrupt())
    with pytest.raises(StorageError, match=r"no 'cooling' for callbacks\[0\], expected what a ReduceLROnPlateau"):
        other.restore(tmp_path / "c")


def test_a_schedule_sees_the_length_of_the_run() -> None:
    from lepton_ai.training import SGD, CosineDecay

    rates: list[float] = []

    class Watch(Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, float]) -> None:
            rates.append(getattr(self.run, "optimizer").param_groups[0]["lr"])  # noqa: B009 - not for callbacks

    fit(job(Norm(), optimizer=SGD(CosineDecay(1.0)), callbacks=[Watch()]))
    assert len(rates) == 21
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] < 0.02


def test_a_batch_stays_where_it_is_on_the_cpu() -> None:
    batch = Batch(torch.ones(2), None, None, torch.arange(2, dtype=torch.int32), 2)
    assert device_batch(batch, CPU) is batch


def test_a_batch_moves_with_its_structure() -> None:
    ones = torch.ones(2)
    batch = Batch({"a": ones, "b": (ones, ones)}, [ones], None, torch.arange(2, dtype=torch.int32), 2)
    moved = device_batch(batch, torch.device("meta"))
    assert moved.x["a"].device.type == moved.x["b"][1].device.type == moved.y[0].device.type == "meta"
    assert moved.positions.device.type == "meta" and moved.weight is None
