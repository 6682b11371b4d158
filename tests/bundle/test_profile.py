"""The profile's storage."""

import msgspec
import pytest

from lepton_ai.bundle import Feature, Profile, encode_profile, parse_profile
from lepton_ai.core import BundleError
from tests.contracts.bundles import PROFILE


def test_round_trip() -> None:
    assert parse_profile(encode_profile(PROFILE)) == PROFILE


def test_nan_is_refused_when_written() -> None:
    feature = Feature(name="x", kind="number", count=1, quantiles=(float("nan"),))
    with pytest.raises(BundleError, match=r"Expected `float`, got `null` - at `\$.inputs\[...\]\[0\].quantiles\[0\]`"):
        encode_profile(Profile(rows=1, inputs={"x": (feature,)}))


def test_future_version_is_refused() -> None:
    with pytest.raises(BundleError, match="profile version 2, this version reads 1"):
        parse_profile(msgspec.json.encode(msgspec.structs.replace(PROFILE, version=2)))
