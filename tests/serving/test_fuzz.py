"""Bodies that nobody should send: whatever comes, the answer is right or says what is wrong, and is never a 500."""

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.bundle import LENGTH_HEADER, render_request
from lepton_ai.runtime import OnnxRuntime
from lepton_ai.serving import App, ServedModel, ServerConfig
from tests.contracts import graphs
from tests.contracts.asgi import Client

PATHS = ("/v2/models/rows/infer", "/v2/models/text/versions/1/infer")
SEEDS = (
    render_request({"x": np.ones((2, 3), "float32")}, binary=True, id="7"),
    render_request({"x": np.ones((2, 3), "float32")}),
    render_request({"text": np.array([["a"], ["bc"]], dtype=object)}, binary=True),
    render_request({"text": np.array([["a"], ["bc"]], dtype=object)}),
)
WORDS = [
    b'"',
    b"{",
    b"[",
    b"]",
    b"}",
    b"-1",
    b"1e400",
    b"null",
    b"NaN",
    b"\xff",
    b"\0",
    b"9" * 30,
    b'"data":',
    b"\\u0000",
]

Case = tuple[str, bytes, str | None]


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, OnnxRuntime]:
    folder: Path = tmp_path_factory.mktemp("graphs")
    made = {}
    for name, graph in (("rows", graphs.rows_graph()), ("text", graphs.text_graph())):
        (folder / name).write_bytes(graph)
        made[name] = OnnxRuntime(folder / name, threads=1, spinning=False)
    return made


def check(runtimes: dict[str, OnnxRuntime], cases: Iterable[Case]) -> dict[int, int]:
    """Send them all, one after the other; how often each status came."""
    counts: dict[int, int] = {}

    async def run() -> None:
        models = [ServedModel(runtime, name=name) for name, runtime in runtimes.items()]
        app = App(models, ServerConfig(max_body=100_000))
        client = Client(app)
        for path, content, length in cases:
            headers = {} if length is None else {LENGTH_HEADER: length}
            reply = await asyncio.wait_for(client.call("POST", path, content, headers), 20)
            assert reply is not None and reply.status in (200, 400, 413, 504), (content, length, reply)
            assert reply.status == 200 or list(reply.json) == ["error"]
            counts[reply.status] = counts.get(reply.status, 0) + 1
        assert app.service.pending == 0 and all(model.batcher.waiting == 0 for model in models)

    asyncio.run(run())
    return counts


@given(
    seed=st.sampled_from(SEEDS),
    path=st.sampled_from(PATHS),
    cuts=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 8), st.sampled_from(WORDS)), max_size=4),
    length=st.one_of(
        st.none(), st.integers(0, 400).map(str), st.sampled_from(["", "-1", "+3", "1e3", "9" * 13, "0x9"])
    ),
    keep=st.booleans(),
)
@settings(max_examples=80, deadline=None)
def test_changed_bodies(
    runtimes: dict[str, OnnxRuntime],
    seed: tuple[bytes, int | None],
    path: str,
    cuts: list[tuple[int, int, bytes]],
    length: str | None,
    keep: bool,
) -> None:
    content, own = seed
    for start, width, word in cuts:
        content = content[:start] + word + content[start + width :]
    check(runtimes, [(path, content, (None if own is None else str(own)) if keep else length)])


@given(
    tensor=st.fixed_dictionaries(
        {
            "name": st.sampled_from(["x", "text", "", "\0"]),
            "datatype": st.sampled_from(["FP32", "BYTES", "FP16", "INT64", "UINT8", "BOOL", "BF16", "", "fp32"]),
            "shape": st.lists(st.integers(-2, 2**33), max_size=4),
        },
        optional={
            "data": st.recursive(
                st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=3)),
                lambda inner: st.lists(inner, max_size=4),
                max_leaves=8,
            ),
            "parameters": st.dictionaries(
                st.sampled_from(["binary_data_size", "classification", "shared_memory_region", "other"]),
                st.one_of(st.integers(-1, 2**40), st.booleans(), st.text(max_size=3)),
                max_size=2,
            ),
        },
    ),
    parameters=st.dictionaries(
        st.sampled_from(["priority", "timeout", "binary_data_output", "sequence_id", "headers", "triton_x"]),
        st.one_of(st.integers(-1, 20), st.booleans(), st.text(max_size=3)),
        max_size=3,
    ),
    path=st.sampled_from(PATHS),
)
@settings(max_examples=80, deadline=None)
def test_odd_requests(
    runtimes: dict[str, OnnxRuntime], tensor: dict[str, object], parameters: dict[str, object], path: str
) -> None:
    check(runtimes, [(path, json.dumps({"inputs": [tensor], "parameters": parameters}).encode(), None)])


def mutations(count: int) -> Iterable[Case]:
    """Seeds with bytes changed, cut out, doubled and swapped for words, by a fixed sequence."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        content, own = SEEDS[rng.integers(len(SEEDS))]
        for _ in range(rng.integers(1, 5)):
            start, width = int(rng.integers(len(content) + 1)), int(rng.integers(0, 12))
            word = WORDS[rng.integers(len(WORDS))] if rng.random() < 0.5 else rng.bytes(int(rng.integers(4)))
            content = content[:start] + word + content[start + width :]
        length = own if rng.random() < 0.7 else int(rng.integers(0, 400))
        yield PATHS[rng.integers(2)], content, None if length is None else str(length)


def test_a_few_thousand_mutations(runtimes: dict[str, OnnxRuntime]) -> None:
    counts = check(runtimes, mutations(2_000))
    assert counts[400] > 1_000 and sum(counts.values()) == 2_000


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_a_hundred_thousand_mutations(runtimes: dict[str, OnnxRuntime]) -> None:
    assert sum(check(runtimes, mutations(100_000)).values()) == 100_000
