"""Plans that won a race on this machine, kept in the user's cache so that the same work is not raced again."""

import msgspec

from lepton_ai.core import StorageError, cache_folder, write_atomic
from lepton_ai.hal.plan import ExecutionPlan


class ChosenPlan(msgspec.Struct, frozen=True, kw_only=True):
    """`plan` is `gain` times as fast as the default for the work `key`, which people know as `work`.

    `seconds` is what the race cost. Where the default won, it is the plan, and `gain` is 1.
    """

    key: str
    work: str
    plan: ExecutionPlan
    gain: float
    seconds: float

    def describe(self) -> str:
        """One line for people."""
        gain = "no other was faster" if self.gain == 1 else f"{self.gain:.2f}x over default"
        return f"{self.plan.describe()}, {gain}"


def remember(chosen: ChosenPlan) -> None:
    """Keep the outcome of a race; where nothing can be written, nothing is kept."""
    folder = cache_folder()
    if folder is None:
        return
    try:
        (folder / "plans").mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "plans" / f"{chosen.key}.json", msgspec.json.encode(chosen))
    except (OSError, StorageError):
        return


def recall(key: str) -> ChosenPlan | None:
    """What was chosen for the work `key`."""
    return next((chosen for chosen in chosen_plans() if chosen.key == key), None)


def chosen_plans() -> list[ChosenPlan]:
    """All that were chosen on this machine, in the order of their keys; files that are damaged are passed over."""
    folder, found = cache_folder(), []
    for path in sorted((folder / "plans").glob("*.json")) if folder is not None else ():
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=ChosenPlan))
        except (OSError, msgspec.DecodeError):
            continue
    return found
