"""Requests that schemathesis makes from the OpenAPI document: those that it allows, and those that it does not."""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from lepton_ai.runtime import OnnxRuntime
from lepton_ai.serving import ServedModel, Server
from tests.contracts import graphs

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("graphs")
    models = []
    for name, graph in (("rows", graphs.rows_graph()), ("text", graphs.text_graph())):
        (folder / name).write_bytes(graph)
        models.append(ServedModel(OnnxRuntime(folder / name, threads=1, spinning=False), name=name))
    with Server(models, port=0) as started:
        yield started


def requests_due(document: dict[str, Any], examples: int) -> dict[tuple[str, str], int]:
    """How many requests there should be of each operation, allowed ("positive") and not ("negative").

    Of one without parameters there is but one, with which nothing can be wrong.
    """
    due: dict[tuple[str, str], int] = {}
    for path, item in document["paths"].items():
        for verb in item.keys() & {"get", "post"}:
            name = f"{verb.upper()} {path}"
            takes = "parameters" in item or item[verb].keys() & {"parameters", "requestBody"}
            due |= {(name, "positive"): examples, (name, "negative"): examples} if takes else {(name, "positive"): 1}
    return due


def ask(operation: Any, mode: Any, examples: int) -> int:
    """How many requests of an operation were answered as the document says they are."""
    asked = 0

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
        unchecked = []
        name = ("rows", "text", None)[asked % 3]  # a name by chance is nearly always unknown
        if name and mode.value == "positive" and "model" in (case.path_parameters or {}):
            case.path_parameters |= {"model": name} | ({"version": "1"} if "version" in case.path_parameters else {})
            # What a model's inputs are, the document cannot say.
            unchecked = [schemathesis.specs.openapi.checks.positive_data_acceptance]
        case.call_and_validate(timeout=20, excluded_checks=unchecked)
        asked += 1

    check()
    return asked


def fuzz(server: Server, examples: int) -> None:
    """Ask everything that the document offers, rightly and wrongly."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    due = requests_due(schema.raw_schema, examples)
    infer = "POST /v2/models/{model}/infer"
    assert due[infer, "positive"] == due[infer, "negative"] == examples
    operations = [found.ok() for found in schema.get_all_operations()]
    asked = {
        (operation.label, mode.value): ask(operation, mode, examples)
        for operation in operations
        for mode in schemathesis.GenerationMode
        if (operation.label, mode.value) in due
    }
    assert asked == due


def test_answers_are_as_the_document_says(server: Server) -> None:
    fuzz(server, 5)


@pytest.mark.faults
@pytest.mark.timeout(1800)
def test_thousands_of_requests_by_the_document(server: Server) -> None:
    fuzz(server, 300)
