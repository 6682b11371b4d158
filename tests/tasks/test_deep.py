"""LPDNN: each family of each kind of input, as large as it may be; one of each kind through its bundle."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.core import ConfigError, UnknownNameError
from lepton_ai.layers import RandomTranslation
from lepton_ai.models import count_parameters
from lepton_ai.runtime import open_model
from lepton_ai.tasks import LPDNN, Classes, Image, Numbers, Series, Text

RNG = np.random.default_rng(0)
ROWS = 40
Y = np.arange(ROWS) % 2
TWO = Classes(labels=("no", "yes"))
IMAGES = (RNG.random((ROWS, 16, 16, 3)) * 100 + 100 * Y[:, None, None, None]).astype(np.uint8)
SERIES = (RNG.normal(size=(ROWS, 12, 2)) + Y[:, None, None]).astype(np.float32)
SERIES[0, 0, 0] = np.nan
TEXTS: Any = [("很好的酒店 very good " if y else "差 a bad room ") + f"w{i % 5}" for i, y in enumerate(Y)]
TEXTS[3], TEXTS[4] = "", None

IMAGE, TEXT = Image(height=16, width=16), Text(length=10)
FIXED, FREE = Series(steps=12, channels=2), Series(steps=None, channels=2)
CASES = [
    *((IMAGE, IMAGES, family) for family in ("resnet", "mobilenet_v2")),
    *((TEXT, TEXTS, family) for family in ("text_cnn", "lstm", "gru", "transformer")),
    *((spec, SERIES, family) for spec in (FREE, FIXED) for family in ("cnn", "lstm", "gru", "transformer")),
]


def named(case: Any) -> str:
    return f"{type(case[0]).__name__}-{getattr(case[0], 'steps', '')}-{case[2]}"


@pytest.mark.parametrize("outputs", [TWO, Numbers(count=2)], ids=["classes", "numbers"])
@pytest.mark.parametrize("case", CASES, ids=named)
def test_each_family_learns_within_its_budget(case: Any, outputs: Any) -> None:
    spec, x, family = case
    y = Y if outputs is TWO else np.stack([Y * 5.0, -Y], axis=1)
    model = LPDNN(spec, outputs, family=family, parameters=60_000).fit(x, y, epochs=1, verbose=0)
    assert model.model is not None and count_parameters(model.model)[0] <= 60_000
    answers = model.predict(x)
    assert answers.shape == (ROWS, 2) and np.isfinite(answers).all()
    if outputs is TWO:
        assert np.allclose(answers.sum(1), 1, atol=1e-5)


@pytest.mark.parametrize("case", [CASES[0], CASES[3], CASES[6], CASES[9]], ids=named)
def test_the_bundle_takes_rows_as_they_are(case: Any, tmp_path: Path) -> None:
    spec, x, family = case
    model = LPDNN(spec, TWO, family=family, parameters=30_000).fit(x, Y, epochs=20, verbose=0)
    bundle = model.export(tmp_path / "m.lepton")
    raw = spec.take(x[:7])
    runtime = open_model(bundle)
    name = bundle.manifest.signature.inputs[0].name
    assert np.allclose(runtime.run({name: raw})["output"], model.predict(x[:7]), atol=1e-5)
    assert model.measured["validation accuracy"] > 0.6 and model.history is not None
    if spec is FREE:
        longer = np.concatenate([SERIES, SERIES[:, :5]], axis=1)[:3]
        assert np.allclose(runtime.run({name: longer})["output"], model.predict(longer), atol=1e-5)


def test_more_parameters_make_a_larger_model_and_too_few_none() -> None:
    sizes = []
    for parameters in (20_000, 100_000):
        model = LPDNN(TEXT, TWO, family="transformer", parameters=parameters).fit(TEXTS, Y, epochs=1, verbose=0)
        assert model.model is not None
        sizes.append(count_parameters(model.model)[0])
    assert 5_000 < sizes[0] <= 20_000 and 50_000 < sizes[1] <= 100_000
    model = LPDNN(IMAGE, TWO, parameters=100)
    with pytest.raises(
        ConfigError, match=r"LPDNN.parameters: got 100, expected at least (\d+), those of the"
    ) as caught:
        model.fit(IMAGES, Y)
    model.parameters = int(str(caught.value).split("at least ")[1].split(",")[0])
    fitted = model.fit(IMAGES, Y, epochs=1, verbose=0).model
    assert fitted is not None and count_parameters(fitted)[0] == model.parameters


def test_order_counts_in_a_transformer() -> None:
    """Positions are added to what stands there, in series of any length too."""
    for spec in (FIXED, FREE):
        model = LPDNN(spec, TWO, family="transformer", parameters=10_000).fit(SERIES, Y, epochs=1, verbose=0)
        ahead = model.predict(SERIES[1:4])
        assert np.abs(ahead - model.predict(SERIES[1:4, ::-1])).max() > 1e-4
        assert np.abs(ahead - model.predict(SERIES[11:14])).max() > 1e-4


def test_augmentation_is_for_training_alone() -> None:
    model = LPDNN(IMAGE, TWO, parameters=6_000, augmentation=[RandomTranslation(0.1, 0.1)])
    model.fit(IMAGES, Y, epochs=1, verbose=0)
    assert (model.predict(IMAGES) == model.predict(IMAGES)).all()
    assert model.model is not None and "RandomTranslation" in {type(each).__name__ for each in model.model.layers}


def test_mistakes() -> None:
    with pytest.raises(UnknownNameError, match="LPDNN of Image: unknown family 'resnt'. Did you mean 'resnet'?"):
        LPDNN(IMAGE, TWO, family="resnt")
    with pytest.raises(ConfigError, match=r"LPDNN.augmentation: .* expected none for texts"):
        LPDNN(TEXT, TWO, augmentation=[RandomTranslation(0.1, 0.1)])
    with pytest.raises(ConfigError, match=r"LPDNN.inputs: .* expected one of Image, Text, Series"):
        LPDNN(TWO, TWO)  # type: ignore[arg-type]
