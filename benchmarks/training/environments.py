"""An environment for each family of peers, made where it is first needed, with the versions in benchmarks/peers."""

import subprocess
import sys
import venv
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]
FOLDER = BENCHMARKS / ".environments"
FAMILY = {
    "keras-jax": "keras-jax",
    "keras-tensorflow": "keras-tensorflow",
    "keras-torch": "keras-torch",
    "lightning": "lightning",
    "torch": "torch",
    "torch-dataloader": "torch",
    "torch-allocator": "torch",
    "keras-jax-bfloat16": "keras-jax",
    "keras-tensorflow-bfloat16": "keras-tensorflow",
    "torch-bfloat16": "torch",
}
OWN = ("lepton", "lepton-auto")
PEERS = (*OWN, *FAMILY)


class NoEnvironmentError(Exception):
    """What pip said last."""


def interpreter(peer: str) -> Path:
    """The Python that runs a peer; Lepton's is this one.

    Raises: NoEnvironmentError if pip cannot install what the peer needs.
    """
    return Path(sys.executable) if peer in OWN else environment(FAMILY[peer])


def environment(family: str) -> Path:
    """The Python of an environment with what benchmarks/peers/FAMILY.txt lists, made if it is not there.

    Raises: NoEnvironmentError if pip cannot install that.
    """
    folder, wanted = FOLDER / family, BENCHMARKS / "peers" / f"{family}.txt"
    python, done = folder / "bin" / "python", folder / "installed.txt"
    # The list of what was installed is written last: a build that was cut off is made again, and so is an old one.
    if not done.exists() or done.read_text() != wanted.read_text():
        print(f"   installing {family}, as benchmarks/peers/{family}.txt says", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(wanted)]
        ran = subprocess.run(pip, capture_output=True, text=True, check=False)
        if ran.returncode:
            lines = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")] or ran.stderr.splitlines()
            raise NoEnvironmentError(lines[-1] if lines else f"pip ended with {ran.returncode}")
        done.write_text(wanted.read_text())
    return python
