"""Arguments that several benchmarks take."""

import argparse
from collections.abc import Callable, Collection

ONLY_A_PART = "a part of the benchmark would overwrite the results of the whole: name a folder, --out FOLDER"


def listed(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    """For argparse: names with commas between them, all of them known ones.

    Example:
        >>> listed(("a", "b", "c"))("c,a")
        ('c', 'a')
    """

    def names(text: str) -> tuple[str, ...]:
        chosen = tuple(text.split(","))
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"no {unknown[0]!r}; there are {', '.join(known)}")
        return chosen

    return names
