"""The verb: what lands in the bundle, what may be replaced, and that nothing is lost when it fails."""

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai.bundle import Bundle, Draft, decode_request, decode_response
from lepton_ai.core import BundleError, DataError, ShapeError, StorageError, UsageError
from lepton_ai.exporting import export
from lepton_ai.exporting.parity import arrays
from lepton_ai.layers import BatchNormalization, Dense, Dropout, Embedding, Flatten, Input, Normalization
from lepton_ai.models import Model, Sequential, load, sample_inputs
from lepton_ai.runtime import open_model, replay_golden

torch.set_num_threads(1)

VERB = sys.modules["lepton_ai.exporting.export"]  # the room's front door has a function of that name
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(3, 2, (60, 4)).astype("float32")
X[::7, 2] = np.nan
Y = (X[:, 0] > 3).astype("int64") + (X[:, 1] > 4)


def make() -> Model:
    scale = Normalization(missing="mean")
    scale.adapt(X)
    return Sequential(
        [
            Input((4,), name="rows"),
            scale,
            Dense(8, activation="relu"),
            BatchNormalization(),
            Dropout(0.3),
            Dense(3, activation="softmax"),
        ],
        name="kinds",
    )


@pytest.fixture(scope="module")
def fitted() -> Model:
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=3, validation_data=(X, Y), validation_freq=2, verbose=0)
    return model


@pytest.fixture(scope="module")
def exported(fitted: Model, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    path = tmp_path_factory.mktemp("export") / "kinds.lepton"
    return export(fitted, path, labels=["low", "middle", "high"], metrics={"held_out_accuracy": 0.75})


def tree(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


# -- what is in it ---------------------------------------------------------------------------------------


def test_the_bundle_holds_everything(exported: Bundle) -> None:
    assert set(exported.manifest.files) == {
        "architecture.json",
        "card.md",
        "golden/000.request",
        "golden/000.response",
        "golden/001.request",
        "golden/001.response",
        "profile.json",
        "variants/fp32/model.onnx",
        "weights.safetensors",
    }
    manifest = exported.manifest
    assert (manifest.name, manifest.task, manifest.labels) == ("kinds", "classification", ("low", "middle", "high"))
    assert manifest.lineage["epochs"] == "3" and manifest.lineage["rows"] == "60"
    assert {path.name for path in exported.path.parent.iterdir()} == {"kinds.lepton"}


def test_metrics_are_the_newest_that_were_measured(exported: Bundle, fitted: Model) -> None:
    assert fitted.history is not None and np.isnan(fitted.history["val_loss"][-1])
    assert exported.manifest.metrics["val_loss"] == fitted.history["val_loss"][1]
    assert exported.manifest.metrics["held_out_accuracy"] == 0.75


def test_golden_pairs_are_the_kept_rows_and_replay(exported: Bundle) -> None:
    requests = [decode_request(request).inputs["rows"] for request, _ in exported.golden()]
    assert [len(rows) for rows in requests] == [1, 3]
    np.testing.assert_array_equal(requests[1], X[:3])  # the first of them has a gap
    answer = decode_response(exported.golden()[0][1])
    assert answer.model_name == "kinds" and answer.outputs["output"].shape == (1, 3)
    runtime = open_model(exported)
    assert replay_golden(exported, runtime) < 1e-6
    runtime.close()


def test_the_profile_is_of_the_training_data(exported: Bundle) -> None:
    profile = exported.profile()
    assert profile is not None and profile.rows == 60 and not profile.generated
    assert [feature.missing for feature in profile.inputs["rows"]] == [0, 0, 9, 0]
    assert "Training data: 60 rows" in exported.read("card.md").decode()


def test_without_data_samples_are_generated_and_marked(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), Dense(2)])
    bundle = export(model, tmp_path / "a.lepton")
    profile = bundle.profile()
    assert profile is not None and profile.generated and profile.rows == 64
    assert "Generated from the signature" in bundle.read("card.md").decode()
    assert model.samples is None and model.profile is None
    assert bundle.manifest.name == "a" and bundle.manifest.task == "other"


def test_samples_given(tmp_path: Path) -> None:
    model = Sequential([Input((4,), name="rows"), Dense(2)])
    rows = np.arange(20, dtype="float32").reshape(5, 4)
    bundle = export(model, tmp_path / "bundle", samples=rows, name="other-name")
    np.testing.assert_array_equal(decode_request(bundle.golden()[1][0]).inputs["rows"], rows[:3])
    profile = bundle.profile()
    assert profile is not None and profile.rows == 5 and not profile.generated
    assert bundle.manifest.name == "other-name"


def test_samples_leave_what_fit_kept(fitted: Model, tmp_path: Path) -> None:
    before = (fitted.samples, fitted.profile, fitted.labels)
    bundle = export(fitted, tmp_path / "bundle", samples=np.zeros((2, 4), "float32"))
    profile = bundle.profile()
    assert profile is not None and profile.rows == 60
    assert (fitted.samples, fitted.profile, fitted.labels) == before
    assert not decode_request(bundle.golden()[1][0]).inputs["rows"].any()


# -- the model stays as it was ---------------------------------------------------------------------------


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=1, verbose=0)
    model.train()
    model.layers[2].eval()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    places = {name: value.data_ptr() for name, value in model.state_dict().items()}
    gradients = [weight.requires_grad for weight in model.parameters()]
    export(model, tmp_path / "bundle")
    assert model.training and [layer.training for layer in model.layers] == [True, True, False, True, True]
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert {name: value.data_ptr() for name, value in model.state_dict().items()} == places
    assert [weight.requires_grad for weight in model.parameters()] == gradients
    model.fit(X, Y, epochs=1, verbose=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_model_on_a_gpu_stays_there(tmp_path: Path) -> None:
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=1, verbose=0)
    assert next(model.parameters()).device.type == "cuda"
    bundle = export(model, tmp_path / "bundle")
    assert next(model.parameters()).device.type == "cuda"
    np.testing.assert_allclose(open_model(bundle).run({"rows": X})["output"], model.predict(X), atol=1e-4)


# -- and answers -----------------------------------------------------------------------------------------

READER = """
import json, sys
import numpy as np
from lepton_ai import Bundle, open_model
bundle = Bundle.open(sys.argv[1])
answers = open_model(bundle).run({"rows": np.load(sys.argv[2])})["output"]
loaded = [name for name in ("torch", "onnx", "scipy", "sklearn", "pandas") if name in sys.modules]
print(json.dumps({"answers": answers.tolist(), "loaded": loaded}))
"""


def test_it_answers_where_torch_is_not_imported(exported: Bundle, fitted: Model, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    command = [sys.executable, "-W", "error", "-c", READER, str(exported.path), str(tmp_path / "x.npy")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    reply = json.loads(done.stdout)
    assert reply["loaded"] == [] and done.stderr == ""
    np.testing.assert_allclose(np.array(reply["answers"]), fitted.predict(X), atol=1e-6)


def test_the_model_comes_back_and_learns_on(exported: Bundle, fitted: Model, tmp_path: Path) -> None:
    model = load(exported.path)
    assert np.array_equal(model.predict(X), fitted.predict(X))
    assert model.evaluate(X, Y, verbose=0) == fitted.evaluate(X, Y, verbose=0)
    before = model.evaluate(X, Y, verbose=0)[0]
    model.fit(X, Y, epochs=5, verbose=0)
    assert model.evaluate(X, Y, verbose=0)[0] < before
    again = export(model, tmp_path / "again")
    np.testing.assert_allclose(open_model(again).run({"rows": X})["output"], model.predict(X), atol=1e-5)


def test_tokens_declared_without_a_type_stay_tokens(tmp_path: Path) -> None:
    model = Sequential([Embedding(9, 3, input_shape=(5,)), Flatten(), Dense(1)])
    model.compile("adam", "mse")
    model.fit(RANDOM.integers(0, 9, (12, 5)), np.zeros((12, 1), "float32"), verbose=0)
    first = export(model, tmp_path / "first")
    again = export(load(first.path), tmp_path / "again")
    assert again.manifest.signature == first.manifest.signature
    assert first.manifest.signature.inputs[0].dtype == "INT64"


def test_a_loaded_model_is_exported_with_its_profile_and_labels(exported: Bundle, tmp_path: Path) -> None:
    again = export(load(exported.path), tmp_path / "again")
    assert again.profile() == exported.profile()
    assert again.manifest.labels == exported.manifest.labels
    assert again.manifest.signature == exported.manifest.signature


# -- what may be replaced --------------------------------------------------------------------------------


def test_a_bundle_with_graphs_is_not_replaced_unasked(exported: Bundle, fitted: Model) -> None:
    before = tree(exported.path)
    with pytest.raises(
        StorageError, match=r"kinds.lepton: exists already. Choose another path, or pass overwrite=True"
    ):
        export(fitted, exported.path)
    assert tree(exported.path) == before


def test_overwrite_replaces_a_bundle(tmp_path: Path) -> None:
    first, second = Sequential([Input((4,)), Dense(2)]), Sequential([Input((3,)), Dense(2)])
    export(first, tmp_path / "bundle")
    bundle = export(second, tmp_path / "bundle", overwrite=True)
    assert bundle.manifest.signature.inputs[0].shape == (-1, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_saved_bundle_is_completed(fitted: Model, tmp_path: Path) -> None:
    path = tmp_path / "kinds.lepton"
    fitted.save(path)
    saved = Bundle.open(path).manifest
    bundle = export(load(path), path, labels=["low", "middle", "high"])  # in a process that did not train it
    assert list(bundle.manifest.graphs) == ["fp32"]
    assert (bundle.manifest.metrics, bundle.manifest.lineage) == (saved.metrics, saved.lineage)
    assert bundle.manifest.task == "classification"
    profile = bundle.profile()
    assert profile is not None and profile.rows == 60 and not profile.generated
    assert replay_golden(bundle, open_model(bundle)) < 1e-6


def test_a_saved_bundle_of_another_model_is_kept(fitted: Model, tmp_path: Path) -> None:
    path = tmp_path / "mine.lepton"
    other = make()
    other.ensure_built((None, 4))
    other.save(path)
    before = tree(path)
    with pytest.raises(StorageError, match=r"mine.lepton: exists already and holds other weights. .*overwrite=True"):
        export(fitted, path)
    assert tree(path) == before and list(tmp_path.iterdir()) == [path]


def test_what_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), Dense(2)])
    file, folder = tmp_path / "notes.txt", tmp_path / "photos"
    file.write_text("mine")
    folder.mkdir()
    (folder / "one.txt").write_text("mine too")
    for path in (file, folder):
        with pytest.raises(StorageError, match="exists already"):
            export(model, path)
        with pytest.raises(StorageError, match="is there and is not a bundle, so it will not be overwritten"):
            export(model, path, overwrite=True)
    assert file.read_text() == "mine" and (folder / "one.txt").read_text() == "mine too"


def test_a_damaged_bundle_is_replaced_only_when_asked(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), Dense(2)])
    model.ensure_built((None, 4))
    model.save(tmp_path / "bundle")
    weights = tmp_path / "bundle" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(StorageError, match="exists already"):
        export(model, tmp_path / "bundle")
    assert list(export(model, tmp_path / "bundle", overwrite=True).manifest.graphs) == ["fp32"]


# -- refusals --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Data that comes as ready batches")
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels": ["a", "b"]}, DataError, "export(labels=...): 2 labels for a model of 3 classes"),
        ({"metrics": {"accuracy": float("nan")}}, DataError, "export(metrics={'accuracy': ...}): got nan"),
        ({"metrics": {"accuracy": float("inf")}}, DataError, "expected a finite number"),
        ({"name": "no spaces"}, BundleError, "name: got 'no spaces', expected 1 to 128 letters"),
        ({"samples": np.zeros((2, 5), "float32")}, ShapeError, "input 'rows' of Sequential 'kinds'"),
        ({"samples": np.zeros((0, 4), "float32")}, DataError, "empty data"),
        ({"samples": iter([np.zeros((2, 4), "float32")])}, DataError, "samples come as batches"),
        ({"samples": [["a"] * 4]}, DataError, "x"),
    ],
)
def test_refusals(
    fitted: Model, tmp_path: Path, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        export(fitted, tmp_path / "kinds", **arguments)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == [] and fitted.samples is not None


def test_labels_of_one_output(tmp_path: Path) -> None:
    model = Sequential([Input((4,)), Dense(1, activation="sigmoid")])
    assert export(model, tmp_path / "a", labels=["no", "yes"]).manifest.labels == ("no", "yes")
    with pytest.raises(DataError, match="3 labels for a model of 2 classes"):
        export(model, tmp_path / "b", labels=["a", "b", "c"])


def test_a_model_without_weights(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no weights yet. Call it on an example, or fit it"):
        export(Sequential([Dense(2)]), tmp_path / "bundle")


def test_a_graph_that_differs(fitted: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_ai.exporting.parity.answers", lambda model, x: {"output": np.ones((1, 3), "float32")})
    with pytest.raises(
        DataError, match=r"the exported graph differs from the model by \S+ in 'output' at batch size 1"
    ):
        export(fitted, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_old_bundle(fitted: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bundle"
    fitted.save(path)
    before = tree(path)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for owner, name in ((VERB, "to_onnx"), (Draft, "write_golden")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, full)
            with pytest.raises(StorageError, match="could not write: No space left on device"):
                export(fitted, path, overwrite=True)
        assert tree(path) == before and list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing(fitted: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(VERB, "prove", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export(fitted, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == [] and not fitted.training


def test_kept_rows_are_what_is_proven(fitted: Model) -> None:
    np.testing.assert_array_equal(arrays(fitted, sample_inputs(fitted, 3))["rows"], X[:3])
