"""The card says what the manifest and the profile say."""

import msgspec

from lepton_ai.bundle import Feature, Graph, Parity, Profile
from lepton_ai.exporting import model_card
from tests.contracts.bundles import manifest, signature, spec


def test_a_full_card() -> None:
    sign = signature((spec("image", "UINT8", (-1, -1, 28, 1)),), (spec("output", "FP32", (-1, 2)),))
    parity = Parity(batch_sizes=(1, 2), max_difference=1.5e-7, tolerance=1e-4)
    graph = Graph(file="variants/fp32/model.onnx", signature=sign, parity=parity)
    full = msgspec.structs.replace(
        manifest("digits", sign, {"fp32": graph}),
        task="classification",
        labels=("no", "yes"),
        metrics={"accuracy": 0.98765},
        lineage={"epochs": "3"},
        environment={"torch": "2.13"},
    )
    target = Feature(name="target", kind="category", count=1200, categories={"no": 700, "yes": 500})
    feature = Feature(name="image", kind="image", count=1200, mean=3.0)
    card = model_card(full, Profile(rows=1200, inputs={"image": (feature,)}, targets=(target,)))
    for line in (
        "# digits",
        "Classification, made 2026-11-24T00:00:00+00:00.",
        "| image (in) | UINT8 | any, any, 28, 1 |",
        "| output (out) | FP32 | any, 2 |",
        "Labels: no, yes.",
        "- epochs: 3",
        "- accuracy: 0.9877",
        "- fp32: variants/fp32/model.onnx, equal to the model within 1.5e-07",
        "Training data: 1,200 rows, 1 features.",
        "Classes: no 700, yes 500.",
        "- torch: 2.13",
    ):
        assert line in card.splitlines(), line


def test_an_empty_card_says_so() -> None:
    card = model_card(manifest(), None)
    assert card.startswith("# double\n\nOther, made ")
    assert "No profile of the training data." in card and "\nNone.\n" in card
    assert card.count("Nothing recorded.") == 3 and "Labels" not in card


def test_a_generated_profile_is_called_so() -> None:
    profile = Profile(rows=64, inputs={"x": (Feature(name="x0", kind="number", count=64),)}, generated=True)
    assert "Generated from the signature: no training data was at hand. 64 rows" in model_card(manifest(), profile)
