"""Metrics of text: how many edits an answer is away from the truth, and how much of its wording it shares.

Texts are compared as they are. Case, punctuation and spaces count, and so do the two ways in which Unicode writes some
letters: bring both sides to one form first where they should not.
"""

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, Literal

import numpy as np

from lepton_ai.core import ConfigError, DataError, ShapeError, unknown_name


def edit_distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The least number of insertions, deletions and replacements that turn one sequence into the other.

    Strings are sequences of characters; lists of words or of numbers work too.

    Source: Levenshtein 1966; Wagner & Fischer 1974, https://doi.org/10.1145/321796.321811.

    Example:
        >>> edit_distance("kitten", "sitting"), edit_distance(["a", "b"], ["b"])
        (3, 1)
    """
    if len(first) < len(second):
        first, second = second, first
    if not second:
        return len(first)
    codes: dict[Hashable, int] = {}
    left, right = (np.array([codes.setdefault(each, len(codes)) for each in each_one]) for each_one in (first, second))
    row, place = np.arange(len(right) + 1), np.arange(len(right) + 1)
    for number, symbol in enumerate(left, start=1):
        best = np.minimum(row[1:] + 1, row[:-1] + (right != symbol))
        # Insertions run along the row: the least of what comes before, plus the steps from there.
        row = np.minimum.accumulate(np.concatenate([[number], best]) - place) + place
    return int(row[-1])


def word_error_rate(predicted: Sequence[str], targets: Sequence[str]) -> float:
    """Edits of words over words in the targets, of all texts together; above 1 where answers are much too long.

    Words are what white space separates.

    Raises: ShapeError for lengths that differ; DataError if there are no texts, or no words in the targets.

    Example:
        >>> word_error_rate(["the cat sat", "a dog"], ["the cat sat", "the big dog"])
        0.3333333333333333
    """
    return _error_rate(*_texts("word_error_rate", predicted, targets), "word_error_rate", words=True)


def character_error_rate(predicted: Sequence[str], targets: Sequence[str]) -> float:
    """Edits of characters over characters in the targets, of all texts together; spaces count.

    Raises: as `word_error_rate`.

    Example:
        >>> character_error_rate(["cut"], ["cat"])
        0.3333333333333333
    """
    return _error_rate(*_texts("character_error_rate", predicted, targets), "character_error_rate", words=False)


def exact_match(predicted: Sequence[str], targets: Sequence[str]) -> float:
    """The share of texts that are the target's, character by character.

    Example:
        >>> exact_match(["Paris", "rome"], ["Paris", "Rome"])
        0.5
    """
    said, true = _texts("exact_match", predicted, targets)
    return sum(a == b for a, b in zip(said, true, strict=True)) / len(true)


def bleu(
    predicted: Sequence[str],
    targets: Sequence[str | Sequence[str]],
    *,
    max_order: int = 4,
    smoothing: Literal["none", "add_one"] = "none",
    tokens: Literal["words", "characters"] = "words",
) -> float:
    """The corpus BLEU score, from 0 to 1: how many runs of 1 to `max_order` tokens an answer shares with a reference.

    Counts are gathered over all texts, then the geometric mean of the shares is taken, times a penalty for answers
    shorter than the closest reference. Each target is a text or several references. Without smoothing the score is 0
    where no run of some length is shared; "add_one" adds 1 to both counts of runs of two and more tokens (Lin & Och).
    `tokens="characters"` is for Chinese and Japanese, white space left out. Scores depend on the tokens: compare only
    those made alike.

    Source: Papineni et al. 2002, https://doi.org/10.3115/1073083.1073135; Lin & Och 2004,
    https://aclanthology.org/C04-1072.

    Raises: ConfigError for a setting that cannot be; ShapeError, DataError as `word_error_rate`.

    Example:
        >>> round(bleu(["the cat is on the mat"], [["there is a cat on the mat", "a cat is on the mat"]]), 4)
        0.7598
    """
    if isinstance(max_order, bool) or not isinstance(max_order, int) or max_order < 1:
        raise ConfigError(at="bleu.max_order", got=max_order, expected="an int of at least 1")
    for at, value, known in (
        ("smoothing", smoothing, ["none", "add_one"]),
        ("tokens", tokens, ["words", "characters"]),
    ):
        if value not in known:
            raise unknown_name(at, value, known, at=f"bleu.{at}")
    references = [[target] if isinstance(target, str) else list(target) for target in targets]
    said, _ = _texts("bleu", predicted, [each[0] if each else "" for each in references])
    for row, each in enumerate(references):
        if not each or not all(isinstance(text, str) for text in each):
            raise DataError(at=f"bleu.targets[{row}]", got=each, expected="a text, or one reference text or more")
    matched, possible = np.zeros(max_order), np.zeros(max_order)
    length = wanted = 0
    for text, own in zip(said, references, strict=True):
        answer, truths = _split(text, tokens), [_split(each, tokens) for each in own]
        length += len(answer)
        wanted += min((abs(len(each) - len(answer)), len(each)) for each in truths)[1]
        for order in range(1, max_order + 1):
            runs = _runs(answer, order)
            most: Counter[Any] = Counter()
            for truth in truths:
                most |= _runs(truth, order)
            matched[order - 1] += sum((runs & most).values())
            possible[order - 1] += sum(runs.values())
    if smoothing == "add_one":
        matched[1:] += 1
        possible[1:] += 1
    if not matched.all():
        return 0.0
    penalty = 1.0 if length > wanted else math.exp(1 - wanted / length)
    return penalty * math.exp(float(np.log(matched / possible).mean()))


def _runs(tokens: list[str], order: int) -> Counter[Any]:
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))


def _split(text: str, tokens: str) -> list[str]:
    return text.split() if tokens == "words" else [each for each in text if not each.isspace()]


def _error_rate(said: list[str], true: list[str], at: str, *, words: bool) -> float:
    edits = total = 0
    for answer, target in zip(said, true, strict=True):
        a, b = (answer.split(), target.split()) if words else (list(answer), list(target))
        edits += edit_distance(a, b)
        total += len(b)
    if not total:
        raise DataError(f"the targets hold no {'words' if words else 'characters'}", at=at, expected="at least one")
    return edits / total


def _texts(at: str, predicted: Sequence[str], targets: Sequence[str]) -> tuple[list[str], list[str]]:
    """Both as lists of texts, of one length."""
    lists = []
    for name, given in (("predicted", predicted), ("targets", targets)):
        if isinstance(given, str):
            raise DataError(at=f"{at}.{name}", got=given, expected="a list of texts", fix="Write [text] for one.")
        texts = list(given)
        for row, text in enumerate(texts):
            if not isinstance(text, str):
                raise DataError(at=f"{at}.{name}[{row}]", got=text, expected="a text")
        lists.append([str(text) for text in texts])
    said, true = lists
    if len(said) != len(true):
        raise ShapeError(
            f"predicted has {len(said)} rows, targets has {len(true)} rows",
            at=at,
            expected="one row for each sample in all of them",
        )
    if not said:
        raise DataError("there are no samples", at=at, expected="at least one")
    return said, true
