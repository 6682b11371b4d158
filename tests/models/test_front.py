"""Models that begin with stages: trained on strings, saved, summarised, and refused where stages cannot stand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import torch
from torch.utils.data import Dataset

from lepton_ai import layers
from lepton_ai.bundle import Bundle
from lepton_ai.core import ConfigError, DataError, ShapeError, UnknownNameError
from lepton_ai.data import Batches, Indexed, ResumeWarning, Stream, Table, split
from lepton_ai.models import Model, Sequential, distributed_train, load
from lepton_ai.training import Callback

TEXTS = ["a good film", "bad, really bad", "good good", "a bad film", "so good!", "not bad", "我爱 film", "bad"] * 4
LABELS = np.array([1, 0, 1, 0, 1, 1, 1, 0] * 4, "float32")


def reviews(length: int | None = 5, **settings: Any) -> Sequential:
    text = layers.TextVectorization(max_tokens=30, output_sequence_length=length, split="mixed", **settings)
    text.adapt(TEXTS)
    model = Sequential(
        [
            layers.Input((), dtype="string", name="review"),
            text,
            layers.Embedding(30, 4, mask_zero=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def frame(rows: int = 24) -> pandas.DataFrame:
    return pandas.DataFrame(
        {
            "age": np.arange(20, 20 + rows),
            "job": ["nurse", "clerk", "pilot"] * (rows // 3),
            "since": ["2024-01-02", "2023-05-06T10:00:00"] * (rows // 2),
        }
    )


def people() -> Model:
    age = layers.Input((1,), name="age")
    job, since = (layers.Input((1,), dtype="string", name=name) for name in ("job", "since"))
    lookup = layers.StringLookup(output_mode="one_hot", name="jobs")
    lookup.adapt(frame()["job"])
    ages = layers.Normalization(mean=30.0, variance=50.0)(age)
    x = layers.Concatenate()([ages, lookup(job), layers.DateParts(["month", "hour"])(since)])
    model = Model({"age": age, "job": job, "since": since}, layers.Dense(1, name="score")(x))
    model.compile("sgd", "mse")
    return model


def test_a_stack_learns_from_strings_and_answers_any_container() -> None:
    model = reviews()
    history = model.fit(TEXTS, LABELS, epochs=3, validation_split=0.25, verbose=0, seed=1)
    assert len(history.history["val_loss"]) == 3
    wanted = model.predict(TEXTS[:3])
    for given in (np.array(TEXTS[:3]), np.array(TEXTS[:3], object), pandas.Series(TEXTS[:3]), tuple(TEXTS[:3])):
        assert np.array_equal(model.predict(given), wanted)
    assert np.array_equal(model.predict({"review": TEXTS[:3]}), wanted)
    assert np.array_equal(model.predict([[text] for text in TEXTS[:3]]), wanted)
    np.testing.assert_allclose(model(TEXTS[:3]).detach().numpy(), wanted, atol=1e-6)
    assert set(model.evaluate(TEXTS, LABELS, verbose=0, return_dict=True)) == {"loss", "accuracy"}


def test_strings_are_encoded_once_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    model = reviews()
    calls: list[int] = []
    compute = layers.TextVectorization.compute

    def counting(stage: layers.TextVectorization, *arrays: Any) -> Any:
        calls.append(len(arrays[0]))
        return compute(stage, *arrays)

    monkeypatch.setattr(layers.TextVectorization, "compute", counting)
    model.fit(TEXTS, LABELS, epochs=5, batch_size=4, verbose=0)
    assert calls == [1, len(TEXTS)]  # a row to know how wide they are, then all


def test_training_on_strings_is_training_on_their_numbers() -> None:
    model = reviews()
    stage = model.layers[0]
    plain = Sequential(
        [layers.Input((5,), dtype="int64"), *(type(each).from_config(each.get_config()) for each in model.layers[1:])]
    )
    plain.compile("adam", "binary_crossentropy")
    plain.set_weights(model.get_weights())
    numbers = stage(TEXTS)
    losses = model.fit(TEXTS, LABELS, epochs=2, verbose=0, seed=3).history["loss"]
    assert losses == plain.fit(numbers, LABELS, epochs=2, verbose=0, seed=3).history["loss"]


class Rows(Indexed):
    """Texts that are not in memory."""

    def __len__(self) -> int:
        return len(TEXTS)

    def fetch(self, indices: torch.Tensor) -> tuple[Any, Any, None]:
        return np.array(TEXTS, object)[indices.numpy()], torch.from_numpy(LABELS)[indices], None


class Items(Dataset[tuple[str, float]]):
    def __len__(self) -> int:
        return len(TEXTS)

    def __getitem__(self, index: int) -> tuple[str, float]:
        return TEXTS[index], float(LABELS[index])


def parts() -> Iterator[tuple[list[str], Any]]:
    for start in range(0, len(TEXTS), 4):
        yield TEXTS[start : start + 4], LABELS[start : start + 4]


def batches() -> Batches:
    with pytest.warns(ResumeWarning):
        return Batches(parts)


def stream() -> Stream:
    def read(shard: int, start: int) -> Iterator[Any]:
        yield TEXTS[shard + start : shard + 8], LABELS[shard + start : shard + 8]

    return Stream(range(0, len(TEXTS), 8), read)


@pytest.mark.parametrize("make", [Rows, Items, batches, stream])
def test_sources_of_strings_give_the_same_answers(make: Callable[[], Any]) -> None:
    model = reviews()
    wanted = model.predict(TEXTS)
    source = make()
    np.testing.assert_allclose(model.predict(source), wanted, atol=1e-6)
    model.fit(source, epochs=1, batch_size=4, verbose=0)
    assert model.history is not None and np.isfinite(model.history.history["loss"][0])


def test_a_split_of_strings() -> None:
    model = reviews(length=None)
    learn, held_out = split(model.source(TEXTS, LABELS), test=0.25)
    model.fit(learn, validation_data=held_out, verbose=0)
    assert model.profile is not None and model.profile.rows == 24


def test_tables_give_columns_by_name() -> None:
    model, data = people(), frame()
    target = np.arange(24.0)
    model.fit(data, target, epochs=2, verbose=0)
    wanted = model.predict(data)
    shuffled = data[["since", "age", "job"]].assign(more=1)
    assert np.array_equal(model.predict(shuffled), wanted)
    assert np.array_equal(model.predict(Table.from_frame(data)), wanted)
    assert np.array_equal(model.predict({name: data[name].to_numpy() for name in data}), wanted)
    assert np.array_equal(model.predict([data["age"], data["job"], data["since"]]), wanted)
    assert np.array_equal(model.predict(data.astype({"job": "category", "age": "float64"})), wanted)
    assert np.array_equal(model.predict(data.astype({"job": "string", "age": "Int64"})), wanted)
    table = Table.from_frame(data.assign(y=target), target="y")
    model.fit(table, verbose=0)


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        (
            lambda data: data.rename(columns={"job": "jobs"}),
            UnknownNameError,
            "x lacks a column that the model was built for: unknown column 'job'. Did you mean 'jobs'?",
        ),
        (
            lambda data: {"age": data["age"], "since": data["since"]},
            UnknownNameError,
            "x lacks an input of the model: unknown column 'job'. Known: age, since.",
        ),
        (
            lambda data: data.assign(job=[None] * len(data)),
            DataError,
            "x['job']: None in row 0, expected a text. Fill the gap (column.fillna(\"\")), or say what stands for it "
            'in the layer: missing="[MISSING]".',
        ),
        (
            lambda data: data.assign(job=7),
            DataError,
            "x['job']: 7 in row 0, expected a text. If numbers are names here, write them as texts: "
            "column.astype(str).",
        ),
        (
            lambda data: data.assign(age=["30", "?"] * 12),
            DataError,
            "x['age']: the text '30' in row 0, where the model was built for numbers (float32). Convert the column: "
            "pandas.to_numeric(column). A text among numbers often means missing.",
        ),
        (
            lambda data: data.assign(since=["2024-01-01", "soon"] * 12),
            DataError,
            "DateParts 'date_parts': 'soon' in row 1 is no date, nor are 11 more, expected texts such as '2024-02-29' "
            "or '2024-02-29T18:30:00'. Or take them for missing: DateParts(missing=\"indicator\").",
        ),
        (
            lambda data: [data["age"], data["job"]],
            DataError,
            "x: got 2 inputs, expected 3: ['age', 'job', 'since']. Give a data frame or a dict with a column for each.",
        ),
        (
            lambda data: {"age": data["age"], "job": data["job"][:3], "since": data["since"]},
            DataError,
            "x['job']: 3 rows, where 'age' has 24",
        ),
        (
            lambda data: {"age": np.ones((24, 2)), "job": data["job"], "since": data["since"]},
            ShapeError,
            "x['age']: got examples of shape (2,), expected (1,)",
        ),
    ],
)
def test_columns_that_drifted_are_named(change: Any, kind: Any, said: str) -> None:
    with pytest.raises(kind) as caught:
        people().predict(change(frame()))
    assert str(caught.value) == said


def test_whole_numbers_stay_whole() -> None:
    number = layers.Input((1,), dtype="int64", name="number")
    model = Model(number, layers.Dense(1)(layers.Hashing(num_bins=8, output_mode="one_hot")(number)))
    assert model.predict(np.array([1.0, 2.0])).shape == (2, 1)
    with pytest.raises(DataError) as caught:
        model.predict(np.array([1.0, 2.5]))
    assert str(caught.value) == (
        "x: got 2.5 in row 1, expected int64, as the model was built for. A column of whole numbers becomes one of "
        "floats when a value is missing: fill the gaps."
    )


def test_a_single_text_is_not_a_list_of_letters() -> None:
    with pytest.raises(DataError) as caught:
        reviews().predict("good")
    assert str(caught.value) == "x: one text alone, 'good'. Give a list of texts: [text]."


def test_saved_and_loaded_with_its_vocabulary(tmp_path: Path) -> None:
    for name, model, data in (("stack", reviews(), TEXTS), ("graph", people(), frame())):
        model.fit(data, np.ones(len(data), "float32"), verbose=0)
        model.save(tmp_path / name)
        again = load(tmp_path / name)
        assert np.array_equal(again.predict(data), model.predict(data))
        assert [spec.dtype for spec in again.input_specs] == [spec.dtype for spec in model.input_specs]
        again.fit(data, np.ones(len(data), "float32"), verbose=0)
    profile = Bundle.open(tmp_path / "graph").profile()
    assert profile is not None
    job = profile.inputs["job"][0]
    assert (job.name, job.kind, job.categories) == ("job", "category", {"clerk": 8, "nurse": 8, "pilot": 8})


def test_the_summary_lists_stages(capsys: pytest.CaptureFixture[str]) -> None:
    text = reviews().summary()
    assert [line.split()[0] for line in text.splitlines()[4:8]][:1] == ["text_vectorization"]
    assert "TextVectorization" in text and "(None, 5)" in text
    assert "jobs" in people().summary()


def test_callbacks_see_the_whole_model() -> None:
    class Ask(Callback):
        answers: Any = None

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            model = self.model
            assert isinstance(model, Sequential)
            self.answers = model.predict(["good"])

    ask = Ask()
    reviews().fit(TEXTS, LABELS, callbacks=ask, verbose=0)
    assert ask.answers.shape == (1, 1)


def test_torch_s_own_verbs_reach_the_layers_behind_the_stages() -> None:
    model = reviews()
    seen: list[str] = []
    model.apply(lambda module: seen.append(type(module).__name__))
    assert seen[0] == "TextVectorization" and seen[-1] == "Sequential"
    assert model.double()(["good"]).dtype == torch.float64


def test_two_workers_train_on_strings() -> None:
    one, two = reviews(), reviews()
    two.set_weights(one.get_weights())
    first = distributed_train(one, TEXTS, LABELS, batch_size=8, epochs=1, verbose=0, seed=0)
    second = distributed_train(two, TEXTS, LABELS, batch_size=8, num_workers=2, epochs=1, verbose=0, seed=0)
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-4)


def a_stage() -> layers.StringLookup:
    return layers.StringLookup(vocabulary=["a"])


def strings() -> Any:
    return layers.Input((), dtype="string", name="word")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: Sequential([layers.Input((), dtype="string"), a_stage(), layers.Embedding(3, 2), a_stage()]),
            "StringLookup 'string_lookup' stands behind a layer that torch computes. Stages come first",
        ),
        (
            lambda: Sequential([a_stage()]),
            "StringLookup 'string_lookup' needs an Input below it, which says what it holds. Begin with Input((), "
            'dtype="string").',
        ),
        (
            lambda: Sequential([layers.Input((3,), dtype="string"), layers.Dense(2)]),
            "strings (input) go into Dense 'dense', which takes numbers. Put a stage between: StringLookup()",
        ),
        (
            lambda: Model(word := layers.Input((3,), dtype="string", name="word"), layers.Dense(2)(word)),
            "strings (word) go into Dense 'dense', which takes numbers. Put a stage between",
        ),
        (
            lambda: a_stage()(layers.Dense(2)(layers.Input((3,)))),
            "stands behind Dense 'dense', which torch computes. Stages come first",
        ),
        (
            lambda: Sequential([layers.Input((), dtype="string"), reviews()]),
            "has stages of its own, which cannot stand inside a model",
        ),
        (
            lambda: reviews()(strings()),
            "has stages of its own, which cannot stand inside a model. Call its stages on the Input",
        ),
    ],
)
def test_stages_come_first_and_strings_go_into_stages_only(make: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert said in str(caught.value)


def test_a_stack_may_be_popped_and_built_again() -> None:
    model = reviews()
    for _ in range(4):
        model.pop()
    assert model.front is None
    model.add(a_stage())
    model.add(layers.Embedding(3, 2))
    assert model(["a", "b"]).shape == (2, 2)


def test_several_numeric_inputs_take_columns_by_name_too() -> None:
    a, b = layers.Input((1,), name="a"), layers.Input((1,), name="b")
    model = Model([a, b], layers.Dense(1)(layers.Concatenate()([a, b])))
    data = pandas.DataFrame({"b": [1.0, 2.0], "a": [3.0, 4.0]})
    wanted = model.predict([data[["a"]].to_numpy(), data[["b"]].to_numpy()])
    assert np.array_equal(model.predict(data), wanted)


def test_one_stage_may_read_two_inputs_and_two_stages_one(tmp_path: Path) -> None:
    home, away = (layers.Input((1,), dtype="string", name=name) for name in ("home", "away"))
    teams = layers.StringLookup(vocabulary=["ajax", "psv"], num_oov_indices=0, output_mode="one_hot")
    pair = layers.HashedCrossing(num_bins=8, output_mode="one_hot")([home, away])
    x = layers.Concatenate()([teams(home), teams(away), pair])
    model = Model([home, away], layers.Dense(1)(x))
    assert model.front is not None and set(model.front.ends) == {
        "string_lookup()",
        "string_lookup()_1",
        "hashed_crossing()",
    }
    wanted = model.predict({"home": ["ajax", "psv"], "away": ["psv", "ajax"]})
    model.save(tmp_path / "teams")  # without samples: from examples, none of which the lookup refuses
    assert np.array_equal(load(tmp_path / "teams").predict([["ajax", "psv"], ["psv", "ajax"]]), wanted)
