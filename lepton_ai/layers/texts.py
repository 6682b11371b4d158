"""Texts: as they come, in lower case, without punctuation, and cut into tokens. As a graph can do it too.

Lower case is a fixed table of one letter for one: ASCII, Latin, Greek, Cyrillic, Armenian and full-width letters. So
the final sigma and the dotted capital I, whose lower case depends on more than the letter, come out as plain ones do.
"""

import re
from typing import Any

import numpy as np
import numpy.typing as npt

from lepton_ai.core import DataError

Texts = npt.NDArray[np.object_]
Ranges = tuple[tuple[int, int], ...]

# Blocks in which every cased letter was settled by Unicode 7, which all supported Pythons know.
_CASED_BLOCKS: Ranges = (
    (0x41, 0x5A),
    (0xC0, 0x24F),
    (0x370, 0x52F),
    (0x531, 0x556),
    (0x1E00, 0x1FFF),
    (0xFF21, 0xFF3A),
)
LOWER: dict[int, int] = {
    code: ord(chr(code).lower())
    for first, last in _CASED_BLOCKS
    for code in range(first, last + 1)
    if chr(code).lower() != chr(code) and len(chr(code).lower()) == 1
}
# What `str.split()` splits at.
SPACES: Ranges = (
    (0x09, 0x0D),
    (0x1C, 0x20),
    (0x85, 0x85),
    (0xA0, 0xA0),
    (0x1680, 0x1680),
    (0x2000, 0x200A),
    (0x2028, 0x2029),
    (0x202F, 0x202F),
    (0x205F, 0x205F),
    (0x3000, 0x3000),
)
# Keras' ASCII signs, and their like in other scripts: quotes, dashes, and Chinese and full-width signs.
PUNCTUATION: Ranges = (
    (0x21, 0x2F),
    (0x3A, 0x40),
    (0x5B, 0x60),
    (0x7B, 0x7E),
    (0xA1, 0xA1),
    (0xAB, 0xAB),
    (0xB7, 0xB7),
    (0xBB, 0xBB),
    (0xBF, 0xBF),
    (0x2010, 0x2027),
    (0x2030, 0x205E),
    (0x3001, 0x3003),
    (0x3008, 0x3011),
    (0x3014, 0x301F),
    (0x30FB, 0x30FB),
    (0xFE30, 0xFE4F),
    (0xFF01, 0xFF0F),
    (0xFF1A, 0xFF20),
    (0xFF3B, 0xFF40),
    (0xFF5B, 0xFF65),
)
# Scripts written without spaces, whose characters are words to "mixed": Chinese, Japanese, bopomofo.
IDEOGRAPHS: Ranges = (
    (0x3005, 0x3007),
    (0x3041, 0x3096),
    (0x30A1, 0x30FA),
    (0x30FC, 0x30FF),
    (0x3105, 0x312F),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x3FFFD),
)

STANDARDS = (None, "lower", "strip_punctuation", "lower_and_strip_punctuation")
SPLITS = (None, "whitespace", "character", "mixed")

_NO_PUNCTUATION: dict[int, None] = {code: None for first, last in PUNCTUATION for code in range(first, last + 1)}
_TABLES: dict[str, dict[int, int | None]] = {
    "lower": {**LOWER},
    "strip_punctuation": {**_NO_PUNCTUATION},
    "lower_and_strip_punctuation": {**LOWER, **_NO_PUNCTUATION},
}


def chars(*several: Ranges) -> str:
    """The inside of a character class, in the syntax of Python."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for ranges in several for first, last in ranges)


_MIXED = re.compile(f"[{chars(IDEOGRAPHS)}]|[^{chars(IDEOGRAPHS, SPACES)}]+")


def standardized(text: str, standard: str | None) -> str:
    """A text in lower case, without punctuation, both, or as it is.

    Example:
        >>> standardized("Don't PANIC, Łódź!", "lower_and_strip_punctuation")
        'dont panic łódź'
    """
    return text if standard is None else text.translate(_TABLES[standard])


def tokens_of(text: str, split: str | None) -> list[str]:
    """A text's tokens: words between spaces, characters, Chinese characters and other words ("mixed"), or itself.

    Example:
        >>> tokens_of("我爱 deep learning", "mixed")
        ['我', '爱', 'deep', 'learning']
    """
    if split == "whitespace":
        return text.split()
    if split == "mixed":
        return _MIXED.findall(text)
    return list(text) if split == "character" else [text]


def joined_tokens(tokens: list[str], most: int) -> list[str]:
    """Tokens, then pairs of neighbours joined by a space, and so on up to `most` of them.

    Example:
        >>> joined_tokens(["new", "york", "city"], 2)
        ['new', 'york', 'city', 'new york', 'york city']
    """
    return [
        " ".join(tokens[start : start + width])
        for width in range(1, most + 1)
        for start in range(len(tokens) - width + 1)
    ]


def as_texts(values: Any, at: str, *, missing: bool = False) -> Texts:
    """Lists, arrays and data frames' columns of texts as an array of `str`; bytes are read as UTF-8.

    None, NaN and what pandas says for missing become "" where `missing`.

    Raises: DataError naming the row that is no text, is missing, or holds bytes that are not UTF-8.

    Example:
        >>> as_texts(["a", None], "x")
        Traceback (most recent call last):
        lepton_ai.core.errors.DataError: x: None in row 1, expected a text. Fill the gap (column.fillna("")), or say \
what stands for it in the layer: missing="[MISSING]".
    """
    array = as_objects(values)
    flat = array.reshape(-1)
    if all(type(value) is str and value.isascii() for value in flat):
        return array
    out = np.empty(flat.size, dtype=object)
    for index, value in enumerate(flat):
        out[index] = _text(value, at, index, array.shape, missing=missing)
    return out.reshape(array.shape)


def as_objects(values: Any) -> Texts:
    """Anything with rows as an array of `object`; a list of texts without the room that numpy's own strings take."""
    if isinstance(values, list | tuple) and not any(isinstance(value, list | tuple | np.ndarray) for value in values):
        array = np.empty(len(values), dtype=object)
        array[:] = values
        return array
    if type(values).__module__.startswith("pandas"):
        return np.asarray(values.to_numpy(dtype=object))
    return np.asarray(values, dtype=object)


def _text(value: Any, at: str, index: int, shape: tuple[int, ...], *, missing: bool) -> str:
    row = index // max(1, int(np.prod(shape[1:], dtype=np.int64)))
    where = f"row {row}" + (f", column {index % shape[1]}" if len(shape) == 2 and shape[1] > 1 else "")
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError as error:
            raise DataError(
                f"byte 0x{error.object[error.start]:02x} at place {error.start} of {where} is not UTF-8",
                at=at,
                fix="Decode it with its own encoding: value.decode('latin-1'), or 'gb18030'.",
            ) from error
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"half a character ({value[error.start]!r}) in {where}", at=at) from error
        return str(value)
    if value is None or type(value).__name__ in ("NAType", "NaTType") or value != value:  # noqa: PLR0124 - NaN
        if missing:
            return ""
        raise DataError(
            f"{'None' if value is None else 'NaN'} in {where}, expected a text",
            at=at,
            fix='Fill the gap (column.fillna("")), or say what stands for it in the layer: missing="[MISSING]".',
        )
    raise DataError(
        f"{value!r} in {where}, expected a text",
        at=at,
        fix="If numbers are names here, write them as texts: column.astype(str).",
    )
