"""Requests that schemathesis makes from the OpenAPI document: those that it allows, and those that it does not."""

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

from lepton_ai.runtime import OnnxRuntime
from lepton_ai.serving import ServedModel, Server
from tests.contracts import graphs

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    schemathesis = pytest.importorskip("schemathesis")

PATHS = 14


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("graphs")
    models = []
    for name, graph in (("rows", graphs.rows_graph()), ("text", graphs.text_graph())):
        (folder / name).write_bytes(graph)
        models.append(ServedModel(OnnxRuntime(folder / name, threads=1, spinning=False), name=name))
    with Server(models, port=0) as started:
        yield started


def fuzz(server: Server, examples: int) -> int:
    """How many requests were answered as the document says they are."""
    schema, asked = schemathesis.openapi.from_url(f"{server.url}/openapi.json"), 0
    for found in schema.get_all_operations():
        operation = found.ok()
        for mode in schemathesis.GenerationMode:

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
            )
            def check(case: Any) -> None:
                nonlocal asked
                case.call_and_validate(timeout=20)
                asked += 1

            with contextlib.suppress(Unsatisfiable):  # nothing can be wrong with a request without parameters
                check()
    return asked


def test_answers_are_as_the_document_says(server: Server) -> None:
    assert fuzz(server, 5) > 2 * PATHS


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_thousands_of_requests_by_the_document(server: Server) -> None:
    assert fuzz(server, 300) > 2_000
