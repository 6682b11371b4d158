"""The profile of the training data: counts that drift is later measured against."""

import msgspec

from lepton_ai.core import BundleError

PROFILE_VERSION = 1


class Feature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One column, or one image input as a whole.

    Numbers have `quantiles` (at 0, 5, 10, ..., 100 %) and a histogram: `counts[i]` values lie in
    `[edges[i], edges[i + 1])`, the last bin closed. Categories have `categories`: value to count. Texts have the
    figures of numbers for their lengths in characters; those of a column of categories have them too.
    `missing` counts NaN, None and empty strings; the other figures leave those out.
    """

    name: str
    kind: str  # "number", "category", "image", "text"
    count: int
    missing: int = 0
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = ()
    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    categories: dict[str, int] = {}


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`features` of each input by its name, and of the targets; `rows` that were profiled.

    `generated` marks a profile that was made from the signature because no data was at hand.
    """

    version: int = PROFILE_VERSION
    rows: int
    inputs: dict[str, tuple[Feature, ...]]
    targets: tuple[Feature, ...] = ()
    generated: bool = False


def encode_profile(profile: Profile) -> bytes:
    """The profile as it is stored.

    Raises: BundleError if it would not read back: a figure that is NaN or infinite.
    """
    content = msgspec.json.encode(profile)
    parse_profile(content, at="profile")
    return content


def parse_profile(content: bytes, *, at: str = "profile.json") -> Profile:
    """Read a stored profile.

    Raises: BundleError with the path of the field that is wrong.
    """
    try:
        profile = msgspec.json.decode(content, type=Profile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BundleError(str(error), at=at, expected="a profile without NaN or infinity") from error
    if profile.version != PROFILE_VERSION:
        raise BundleError(f"profile version {profile.version}, this version reads {PROFILE_VERSION}", at=at)
    return profile
