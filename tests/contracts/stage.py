"""What every stage keeps: the same in numpy and in a graph, for any text there is. Subclass it with `make`."""

import abc
from typing import Any, ClassVar

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from lepton_ai import layers
from lepton_ai.core import ConfigError
from lepton_ai.exporting.stages import OPSET, Builder
from lepton_ai.layers import Stage, SymbolicTensor, Value

Array = npt.NDArray[Any]

ODD = [
    "",
    " ",
    "\t\n\x0b\x0c\r\x1c\x1f\x85\xa0\u2003\u3000x",
    "A good, GOOD film!",
    "Don't... -- stop",
    "...",
    "Straße ẞ ŁÓDŹ Ünïcode",
    "ΟΔΥΣΣΕΥΣ σοφός",
    "Привет, Мир ЁЖ",
    "İstanbul ıI",
    "Hello，世界！我爱 deep learning。",
    "カタカナ・ひらがな",
    "한국어 텍스트",
    "😀👩‍👩‍👧 ok",
    "e\u0301 vs é",
    "a\x00b",
    "\ufeffbom \u200bzero",
    "x" * 3000,
    "Ä" * 1000,
    ", " * 200,
]

texts = st.one_of(
    st.text(max_size=30),
    st.text(st.sampled_from(" aAbBzZ.,!-'0Äßσςİı中日ー，。　\u2003\x85\x1f😀Ёё"), max_size=20),
    st.sampled_from(ODD),
).filter(lambda text: not any(0xD800 <= ord(each) <= 0xDFFF for each in text))


class Graph:
    """The stage's operators in onnxruntime; run it on arrays in the order of the stage's inputs."""

    def __init__(self, stage: Stage, *specs: SymbolicTensor) -> None:
        builder = Builder(set())
        values = [Value(f"x{index}", spec.dtype, spec.shape) for index, spec in enumerate(specs)]
        made = stage.onnx(builder, *values)
        kinds = {"string": TensorProto.STRING, "int64": TensorProto.INT64, "float32": TensorProto.FLOAT}
        graph = helper.make_graph(
            builder.nodes,
            "stage",
            [helper.make_tensor_value_info(v.name, kinds[v.dtype], [None, *v.shape[1:]]) for v in values],
            [helper.make_tensor_value_info(made, kinds[stage.output_dtype], None)],
            builder.constants,
        )
        domains = {"": OPSET, "ai.onnx.ml": 4, "com.microsoft": 1}
        opsets = [helper.make_opsetid(*pair) for pair in domains.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, 1
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), options)

    def __call__(self, *arrays: Array) -> Array:
        feed = {f"x{index}": array for index, array in enumerate(arrays)}
        answer: Array = self.session.run(None, feed)[0]
        return answer


def column(values: list[Any], shape: tuple[int, ...]) -> Array:
    """Values as a stage gets them: (B,) or (B, 1)."""
    kind: Any = object if any(isinstance(value, str) for value in values) or not values else np.int64
    array = np.empty(len(values), kind)
    array[:] = values
    return array.reshape((-1, *shape))


class StageContract(abc.ABC):
    """The promises of `Stage`. `shapes` are those of its inputs without the batch."""

    shapes: ClassVar[tuple[tuple[int, ...], ...]] = ((),)

    @abc.abstractmethod
    def make(self) -> Stage:
        """A new stage, adapted."""

    def specs(self) -> list[SymbolicTensor]:
        return [layers.Input(shape, dtype="string", name=f"x{i}") for i, shape in enumerate(self.shapes)]

    def rows(self) -> list[str]:
        return ODD

    def arrays(self, rows: list[Any]) -> list[Array]:
        return [column(rows[i:] + rows[:i], shape) for i, shape in enumerate(self.shapes)]

    def call(self, stage: Stage, values: list[Any]) -> Any:
        return stage(values if stage.several else values[0])

    def test_the_graph_answers_as_numpy_does(self) -> None:
        stage = self.make()
        graph = Graph(stage, *self.specs())

        @settings(max_examples=60, deadline=None, database=None)
        @given(st.lists(texts, min_size=0, max_size=5))
        @example(self.rows())
        def check(rows: list[str]) -> None:
            arrays = self.arrays(rows)
            wanted = stage.compute(*arrays)
            got = graph(*arrays)
            assert got.dtype == wanted.dtype and got.shape == wanted.shape
            assert np.array_equal(got, wanted)

        check()

    def test_config_survives_json(self) -> None:
        stage = self.make()
        self.call(stage, self.specs())
        again = layers.deserialize(msgspec.json.decode(msgspec.json.encode(layers.serialize(stage))))
        assert type(again) is type(stage) and again.get_config() == stage.get_config()
        arrays = self.arrays(self.rows())
        assert np.array_equal(again.compute(*arrays), stage.compute(*arrays))

    def test_a_symbolic_call_tells_shape_and_dtype(self) -> None:
        stage = self.make()
        symbol = self.call(stage, self.specs())
        real = stage.compute(*self.arrays(self.rows()))
        assert symbol.dtype == stage.output_dtype == ("int64" if real.dtype == np.int64 else "float32")
        assert len(symbol.shape) == real.ndim and symbol.shape[0] is None
        assert all(told in (None, size) for told, size in zip(symbol.shape[1:], real.shape[1:], strict=True))

    def test_rows_do_not_depend_on_their_batch(self) -> None:
        stage = self.make()
        arrays = self.arrays(self.rows())
        whole = stage.compute(*arrays)
        for row in range(len(whole)):
            alone = stage.compute(*(array[row : row + 1] for array in arrays))[0]
            assert np.array_equal(alone, whole[row][: len(alone)] if alone.ndim else whole[row])

    def test_called_on_data_it_gives_a_tensor(self) -> None:
        stage = self.make()
        arrays = self.arrays(self.rows())
        answer = self.call(stage, [array.tolist() for array in arrays])
        assert np.array_equal(answer.numpy(), stage.compute(*arrays))

    def test_it_has_no_weights_and_comes_first(self) -> None:
        stage = self.make()
        assert not list(stage.parameters()) and not list(stage.buffers())
        behind = [layers.Dense(2)(layers.Input((3,))) for _ in self.shapes]
        with pytest.raises(ConfigError, match="Stages come first"):
            self.call(stage, behind)
