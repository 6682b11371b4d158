"""What is trained: seven workloads and their data, in numpy alone, which every environment has."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]

CLASSES = 10
TOKENS, LENGTH = 20_000, 80
STEPS, FEATURES = 128, 32
SIDE, CUT = 144, 128  # pictures are resized to the one and cropped to the other


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`shape` is of one row, channels last; `lead` steps are taken before the clock of a round starts, so that caches
    are warm again, and what a loader fetched ahead while its peer was waiting is used up."""

    title: str
    shape: tuple[int, ...]
    rows: int
    batch: int
    classes: int = CLASSES
    tokens: int = 0
    lead: int = 2

    @property
    def binary(self) -> bool:
        """One logit, and targets 0.0 and 1.0."""
        return self.classes == 1


WORKLOADS = {
    "a": Workload(title="CNN, 32x32x3", shape=(32, 32, 3), rows=8_192, batch=32, classes=2),
    "b": Workload(title="CNN, 128x128x1", shape=(128, 128, 1), rows=1_024, batch=32, classes=2),
    "c": Workload(title="MLP 30-256-256-256-2", shape=(30,), rows=204_800, batch=256, classes=2, lead=10),
    "d": Workload(title="Embedding + LSTM(64)", shape=(LENGTH,), rows=8_192, batch=32, classes=1, tokens=TOKENS),
    "e": Workload(title="ResNet-18, 32x32x3", shape=(32, 32, 3), rows=2_560, batch=128, lead=1),
    "f": Workload(title="Transformer, 4 layers", shape=(STEPS, FEATURES), rows=2_048, batch=32, classes=2),
    "g": Workload(title="JPEG folder, CNN 128x128x3", shape=(CUT, CUT, 3), rows=640, batch=32, classes=2, lead=6),
}
# Over these go the geometric means; (g) measures decoding as much as training.
ARRAYS = ("a", "b", "c", "d", "e", "f")


def write(name: str, folder: Path) -> None:
    """The data of a workload, as `x.npy` and `y.npy`, or as pictures in a folder for each class."""
    folder.mkdir(parents=True, exist_ok=True)
    random, workload = np.random.default_rng(0), WORKLOADS[name]
    if name == "g":
        _pictures(random, workload, folder)
        return
    shape = (workload.rows, *workload.shape)
    if workload.tokens:
        x: Array = random.integers(0, workload.tokens, shape)
    else:
        x = random.standard_normal(shape, np.float32)
    if workload.binary:
        y: Array = random.integers(0, 2, (workload.rows, 1)).astype(np.float32)
    else:
        y = random.integers(0, workload.classes, workload.rows)
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)


def read(folder: Path) -> tuple[Array, Array]:
    """What `write` wrote; not mapped, since no peer's user would map so little."""
    return np.load(folder / "x.npy"), np.load(folder / "y.npy")


def fingerprint(folder: Path) -> str:
    """A hash over all files, which the results name."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            digest.update(path.relative_to(folder).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _pictures(random: np.random.Generator, workload: Workload, folder: Path) -> None:
    """Smooth noise of 160 by 160, which compresses about as photographs do."""
    from PIL import Image

    for index in range(workload.rows):
        place = folder / f"class{index % workload.classes}"
        place.mkdir(exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (20, 20, 3), np.uint8))
        fine = np.asarray(coarse.resize((160, 160), Image.Resampling.BICUBIC), np.float32)
        noisy = (fine + random.normal(0, 6, fine.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(place / f"{index:04}.jpg", quality=90)
