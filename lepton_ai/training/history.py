"""What a run leaves to look at."""

from typing import Any

import msgspec


class History(msgspec.Struct, kw_only=True):
    """Metrics by epoch: `history["val_loss"][3]` belongs to epoch number `epoch[3]`, which took `seconds[3]`.

    Of these, `waited[3]` were spent waiting for data: the rest is the model's. With several workers it is the first's.

    `plan` says how the steps were computed, and why so.

    Example:
        >>> h = History()
        >>> h.append(0, {"loss": 0.5}, seconds=1.5)
        >>> h["loss"], h.epoch
        ([0.5], [0])
    """

    history: dict[str, list[float]] = {}
    epoch: list[int] = []
    seconds: list[float] = []
    waited: list[float] = []
    interrupted: bool = False
    plan: str = ""

    def append(self, epoch: int, logs: dict[str, float], *, seconds: float, waited: float = 0.0) -> None:
        """Add an epoch. A metric that not every epoch has is NaN where it was not measured."""
        for name in dict.fromkeys((*self.history, *logs)):
            column = self.history.setdefault(name, [float("nan")] * len(self.epoch))
            column.append(float(logs.get(name, "nan")))
        self.epoch.append(epoch)
        self.seconds.append(seconds)
        self.waited.append(waited)

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON can hold it."""
        return {name: getattr(self, name) for name in self.__struct_fields__}
