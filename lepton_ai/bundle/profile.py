"""The profile of the training data: counts that drift is later measured against."""

import msgspec


class Feature(msgspec.Struct, frozen=True, kw_only=True):
    """One column, or one image input as a whole.

    Numbers have `quantiles` (at 0, 5, 10, ..., 100 %) and a histogram: `counts[i]` values lie in
    `[edges[i], edges[i + 1])`, the last bin closed. Categories have `categories`: value to count.
    `missing` counts NaN, None and empty strings; the other figures leave those out.
    """

    name: str
    kind: str  # "number", "category", "image"
    count: int
    missing: int = 0
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    categories: dict[str, int] = {}


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """`features` of each input by its name, and of the targets; `rows` that were profiled.

    `generated` marks a profile that was made from the signature because no data was at hand.
    """

    version: int = 1
    rows: int
    inputs: dict[str, tuple[Feature, ...]]
    targets: tuple[Feature, ...] = ()
    generated: bool = False
