"""Which rows lie close to each other: by distance, and by equality in all columns but one."""

from collections.abc import Sequence

import numpy as np

from lepton_ai.cleaning.columns import Array, Column
from lepton_ai.cleaning.learners import distance_to_crowd, pairs_within
from lepton_ai.cleaning.records import Records

CLOSE = 0.1  # of the median distance between a row and its nearest neighbour
RARE = 0.005  # a value with at most this share of a column agrees by chance hardly ever
BITS = 24.0  # of evidence beyond what finding one such pair among all takes
PROBE = 1_000
CROWD = 8  # neighbours; more copies than that of one row hide each other


def standardised(columns: Sequence[Column], like: Sequence[Column] | None = None) -> Array:
    """Numbers and dates in robust units (N, F), missing ones at the median; texts by rank of frequency, spread out so
    that two different ones never lie close. Units are those of `like`."""
    parts = []
    for column, model in zip(columns, like or columns, strict=True):
        if column.kind == "text":
            parts.append(_spread(column, model))
            continue
        rest = model.finite
        middle = float(np.median(rest)) if len(rest) else 0.0
        low, high = np.quantile(rest, [0.05, 0.95]) if len(rest) else (0.0, 0.0)
        scale = (float(high) - float(low)) / 3.29 or (float(rest.std()) if len(rest) else 0.0) or 1.0
        values = np.nan_to_num((column.values - middle) / scale, nan=0.0, posinf=100, neginf=-100)
        parts.append(np.sign(values) * np.log1p(np.abs(values)))  # long tails take no part in the unit
    return np.stack(parts, axis=1)


def _spread(column: Column, model: Column) -> Array:
    # Hashes differ for different texts; as numbers in 0..10 they lie apart by far more than "close" is.
    return np.where(column.missing, 0.0, (column.hashes >> np.uint64(44)).astype(np.float64) / 2**20 * 10)


def radius(points: Array) -> float:
    """What "close" is among the distinct `points`: a tenth of the usual distance to the nearest neighbour."""
    if len(points) < 3:
        return 0.0
    probe = points[:: max(1, len(points) // PROBE)][:PROBE]
    squares = (points**2).sum(axis=1)
    nearest = np.empty(len(probe))
    for start in range(0, len(probe), 64):
        part = probe[start : start + 64]
        distances = (part**2).sum(axis=1)[:, None] + squares[None, :] - 2 * part @ points.T
        nearest[start : start + 64] = np.sqrt(np.maximum(np.partition(distances, 1, axis=1)[:, 1], 0))
    return CLOSE * float(np.median(nearest))


def close_pairs(records: Records, names: Sequence[str]) -> tuple[Array, float]:
    """Pairs (P, 2) of different rows within the radius of each other, and the radius."""
    points, index = np.unique(standardised([records[name] for name in names]), axis=0, return_index=True)
    reach = radius(points)
    if reach <= 1e-9:
        return np.zeros((0, 2), np.int64), 0.0
    pairs = pairs_within(points, points, reach)
    near = np.unique(pairs)
    # In a lump of rows that say little, such as those of customers without a bill, all lie close: what counts is
    # that two lie closer to each other than to the crowd around them.
    crowd = np.zeros(len(points))
    crowd[near] = CLOSE * distance_to_crowd(points, near, CROWD)
    distances = np.linalg.norm(points[pairs[:, 0]] - points[pairs[:, 1]], axis=1)
    pairs = np.sort(index[pairs[distances <= np.minimum(crowd[pairs[:, 0]], crowd[pairs[:, 1]])]], axis=1)
    return same_texts(pairs, [records[name] for name in names], [records[name] for name in names]), reach


def same_texts(pairs: Array, columns: Sequence[Column], others: Sequence[Column]) -> Array:
    """Those of `pairs` (P, 2) whose texts are equal."""
    for column, other in zip(columns, others, strict=True):
        if column.kind == "text":
            pairs = pairs[column.hashes[pairs[:, 0]] == other.hashes[pairs[:, 1]]]
    return pairs


def differing_in_one(records: Records, names: Sequence[str]) -> Array:
    """Pairs (P, 2) of rows that differ in one column, and agree in values so rare that chance would not do it."""
    hashes = {name: records[name].hashes for name in names}
    total = np.zeros(len(records), np.uint64)
    evidence = {name: _information(each) for name, each in hashes.items()}
    for each in hashes.values():
        total = total + each
    bits = np.sum(list(evidence.values()), axis=0)
    rare = np.sum([each >= -np.log2(RARE) for each in evidence.values()], axis=0)
    needed = 2 * np.log2(max(len(records), 2)) + BITS
    found = []
    for name, own in hashes.items():
        enough = np.nonzero((bits - evidence[name] >= needed) & (rare - (evidence[name] >= -np.log2(RARE)) >= 4))[0]
        rest = (total - own)[enough]
        order = np.argsort(rest, kind="stable")
        equal = rest[order][1:] == rest[order][:-1]
        pairs = np.stack([enough[order[:-1]], enough[order[1:]]], axis=1)[equal]
        found.append(pairs[own[pairs[:, 0]] != own[pairs[:, 1]]])
    return np.sort(np.concatenate(found), axis=1)


def _information(hashes: Array) -> Array:
    """What agreeing in each row's value says (N,), in bits: little for a value that most rows have."""
    _, places, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    return np.asarray(-np.log2(counts[places] / len(hashes)))


def joined(pairs: Array, rows: int) -> list[Array]:
    """Groups of rows that pairs connect, each sorted, the groups by their first row."""
    parent = np.arange(rows)

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = int(parent[row])
        return row

    for one, other in pairs.tolist():
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for row in sorted({row for pair in pairs.tolist() for row in pair}):
        members.setdefault(root(row), []).append(row)
    return [np.array(group, np.int64) for group in members.values()]
