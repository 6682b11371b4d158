"""What `texts` does, in onnxruntime's operators.

Measured in onnxruntime 1.31: StringNormalizer refuses the default locale where it is not installed, lowers ASCII alone
under "C", and takes no empty tensor; Tokenizer loses a dimension when there are no rows. Hence the guard row, which is
cut off again, and the table for letters beyond ASCII.
"""

import numpy as np

from lepton_ai.layers.stage import GraphBuilder
from lepton_ai.layers.texts import IDEOGRAPHS, LOWER, PUNCTUATION, SPACES, Ranges

_MICROSOFT = "com.microsoft"
_ML = "ai.onnx.ml"
_GUARD = "0"  # a token of its own by every way of splitting


def rows_guarded(builder: GraphBuilder, texts: str) -> str:
    """Texts (N,) with one row more."""
    return builder.node("Concat", texts, builder.constant([_GUARD], object), axis=0)


def rows_unguarded(builder: GraphBuilder, values: str) -> str:
    """`values` without its last row."""
    return sliced(builder, values, 0, -1, axis=0)


def sliced(builder: GraphBuilder, values: str, start: int, stop: int, *, axis: int) -> str:
    """A part of an axis, as Python writes it."""
    return builder.node("Slice", values, *(builder.constant([each]) for each in (start, stop, axis)))


def tokenize(builder: GraphBuilder, texts: str, split: str | None, standard: str | None, most: int | None) -> str:
    """Texts (N,) to tokens (N, T), "" where a row has fewer; T is at least 1, at most `most`. See `tokens_of`."""
    guarded = rows_guarded(builder, texts)
    if split is None:
        tokens = builder.node("Unsqueeze", guarded, builder.constant([1]))
    else:
        stripped = standard is not None and "strip" in standard
        tokens = _matches(builder, guarded, _pattern(split, stripped))
    if most is not None:
        tokens = sliced(builder, tokens, 0, most, axis=1)
    flat = builder.node("Reshape", tokens, builder.constant([-1]))
    clean = standardize(builder, flat, standard, characters=split == "character")
    return rows_unguarded(builder, builder.node("Reshape", clean, builder.node("Shape", tokens)))


def standardize(builder: GraphBuilder, flat: str, standard: str | None, *, characters: bool = False) -> str:
    """Texts (N,), N at least 1, in lower case, without punctuation, or both; see `standardized`."""
    if standard is None or (characters and standard == "strip_punctuation"):
        return flat  # single characters were chosen by their kind already
    lower, strip = "lower" in standard, "strip" in standard
    if lower:
        flat = builder.node("StringNormalizer", flat, case_change_action="LOWER", is_case_sensitive=1, locale="C")
    if characters:
        return _lower_characters(builder, flat)
    letters = tuple((code, code) for code in LOWER if code > 0x7F)
    touched = _class(*([letters] if lower else []), *([PUNCTUATION] if strip else []))
    hit = builder.node("RegexFullMatch", flat, pattern=f"(?s).*[{touched}].*")
    rows = builder.node("Reshape", builder.node("NonZero", hit), builder.constant([-1]))
    some = rows_guarded(builder, builder.node("Gather", flat, rows, axis=0))
    pieces = _matches(builder, some, f"(?s)[^{_class(PUNCTUATION)}]" if strip else "(?s).")
    if lower:
        pieces = _lower_characters(builder, pieces)
    whole = rows_unguarded(builder, builder.join(pieces))
    return builder.node("ScatterElements", flat, rows, whole, axis=0)


def lookup(builder: GraphBuilder, texts: str, numbers: dict[str, int], default: int) -> str:
    """The number of each text."""
    return builder.node(
        "LabelEncoder",
        texts,
        domain=_ML,
        keys_strings=list(numbers),
        values_int64s=list(numbers.values()),
        default_int64=default,
    )


def hashed(builder: GraphBuilder, values: str, bins: int, seed: int) -> str:
    """The bucket of each text or int64: MurmurHash3 (32 bits), modulo `bins`."""
    mixed = builder.node("MurmurHash3", values, domain=_MICROSOFT, positive=1, seed=seed)
    return builder.node("Mod", builder.node("Cast", mixed, to=np.int64), builder.constant(bins))


def neighbours(builder: GraphBuilder, tokens: str, most: int) -> str:
    """Tokens (N, T), then the n-grams up to `most` beside them, "" where one would reach beyond its row."""
    empty, space = builder.constant("", object), builder.constant(" ", object)
    parts, run = [tokens], tokens
    for width in range(1, most):
        # Shifted to the left by `width`; rows end in "", so what reaches beyond is seen by its last token.
        gaps = builder.node("Expand", empty, builder.node("Shape", tokens))
        room = builder.node("Concat", tokens, gaps, axis=1)
        ends = builder.node("Add", builder.node("Shape", tokens, start=1), builder.constant([width]))
        last = builder.node("Slice", room, builder.constant([width]), ends, builder.constant([1]))
        longer = builder.node("StringConcat", builder.node("StringConcat", run, space), last)
        run = builder.node("Where", builder.node("Equal", last, empty), empty, longer)
        parts.append(run)
    return builder.node("Concat", *parts, axis=1)


def _lower_characters(builder: GraphBuilder, characters: str) -> str:
    beyond = {chr(code): chr(low) for code, low in LOWER.items()}
    found = builder.node(
        "LabelEncoder",
        characters,
        domain=_ML,
        keys_strings=list(beyond),
        values_strings=list(beyond.values()),
        default_string="",
    )
    unknown = builder.node("Equal", found, builder.constant("", object))
    return builder.node("Where", unknown, characters, found)


def _matches(builder: GraphBuilder, texts: str, pattern: str) -> str:
    return builder.node("Tokenizer", texts, domain=_MICROSOFT, tokenexp=pattern, mark=0, mincharnum=1, pad_value="")


def _pattern(split: str, stripped: bool) -> str:
    """What one token is, before punctuation goes; a token of nothing else is none."""
    signs = (PUNCTUATION,) if stripped else ()
    if split == "character":
        return f"(?s)[^{_class(*signs)}]" if stripped else "(?s)."
    word = (SPACES,) if split == "whitespace" else (SPACES, IDEOGRAPHS)
    run, kept = f"[^{_class(*word)}]", f"[^{_class(*word, *signs)}]"
    whole = f"{run}*{kept}{run}*" if stripped else f"{run}+"
    return whole if split == "whitespace" else f"[{_class(IDEOGRAPHS)}]|{whole}"


def _class(*several: Ranges) -> str:
    """The inside of a character class, in the syntax of RE2."""
    return "".join(f"\\x{{{first:x}}}-\\x{{{last:x}}}" for ranges in several for first, last in ranges)
