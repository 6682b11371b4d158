"""Nearly equal texts, by the share of short pieces that they have in common."""

import hashlib
import re
from collections.abc import Iterator, Sequence

import numpy as np

from lepton_ai.cleaning.check import Check, TableSubject
from lepton_ai.cleaning.columns import Array, Column, scramble
from lepton_ai.cleaning.findings import Finding, many
from lepton_ai.cleaning.neighbours import joined

SHINGLE = 5  # letters in a piece
HASHES, BANDS = 64, 16
ALIKE = 0.75  # share of pieces in common (Jaccard) from which two texts are nearly equal
PROSE = 30  # letters that a text has on average where near duplicates are looked for
CROWD = 100  # texts compared within one bucket


class NearDuplicateTexts(Check[TableSubject]):
    """Texts of some length that share three quarters of their pieces of five letters: found by MinHash, then compared.

    Broder: On the resemblance and containment of documents, 1997.
    """

    name = "near_duplicate_texts"
    about = "texts that are almost equal"
    sampled = True

    def why_not(self, subject: TableSubject) -> str:
        return "" if any(_prose(column) for column in subject.features) else "no column of longer texts"

    def run(self, subject: TableSubject) -> Iterator[Finding]:
        for column in filter(_prose, subject.features):
            rows = subject.sample(np.nonzero(column.known)[0])
            groups = [rows[group] for group in joined(alike([column.values[row] for row in rows]), len(rows))]
            if not groups:
                continue
            later = np.sort(np.concatenate([group[1:] for group in groups]))
            one, other = groups[0][:2]
            yield Finding(
                check=self.name,
                severity="warning",
                title="nearly equal texts",
                columns=(column.name,),
                count=len(later),
                rows=tuple(np.sort(np.concatenate(groups)).tolist()),
                action="drop rows",
                action_rows=tuple(later.tolist()),
                evidence=f"{many(len(later), 'text')} equal or almost equal to an earlier one, such as rows {one} "
                f"and {other}: "
                f"{_short(column.show(int(one)))!r}, {_short(column.show(int(other)))!r}",
                remedy="look at them; clean keeps the first of each group",
            )


def alike(texts: Sequence[str]) -> Array:
    """Pairs (P, 2) of texts that are alike, whatever their case and spaces.

    Example:
        >>> alike(["The parcel came late, and it was wet.", "Great!", "the parcel came late and it was wet"]).tolist()
        [[0, 2]]
    """
    pieces = [_pieces(text) for text in texts]
    sketches = np.stack([_sketch(each) for each in pieces])
    width = HASHES // BANDS
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        part = sketches[:, band * width : (band + 1) * width]
        _, places = np.unique(part, axis=0, return_inverse=True)
        order = np.argsort(places.reshape(-1), kind="stable")
        cuts = np.nonzero(np.diff(places.reshape(-1)[order]))[0] + 1
        for group in np.split(order, cuts):
            # The first of a crowd stands for it: comparing all with all would take the square of its size.
            pairs |= {(int(group[0]), int(other)) for other in group[1:]}
            few = group[1:CROWD].tolist()
            pairs |= {(one, other) for place, one in enumerate(few) for other in few[place + 1 :]}
    close = [pair for pair in sorted(pairs) if _share(pieces[pair[0]], pieces[pair[1]]) >= ALIKE]
    return np.array(close, np.int64).reshape(-1, 2)


def _pieces(text: str) -> Array:
    plain = re.sub(r"[\W_]+", " ", text).strip().casefold()
    found = {plain[start : start + SHINGLE] for start in range(max(1, len(plain) - SHINGLE + 1))}
    digests = (hashlib.blake2b(each.encode("utf-8", "surrogatepass"), digest_size=8).digest() for each in found)
    return np.unique(np.frombuffer(b"".join(digests), np.uint64))


def _sketch(pieces: Array) -> Array:
    salts = scramble(np.arange(1, HASHES + 1, dtype=np.uint64))
    return np.array([scramble(pieces ^ salt).min() for salt in salts], np.uint64)


def _share(one: Array, other: Array) -> float:
    common = len(np.intersect1d(one, other, assume_unique=True))
    return common / (len(one) + len(other) - common)


def _prose(column: Column) -> bool:
    if column.kind != "text" or column.categorical or not len(column.present):
        return False
    return float(np.mean([len(text) for text in column.present[:1000]])) >= PROSE


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
