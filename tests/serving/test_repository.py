"""Models out of a folder: found, loaded, swapped and unloaded, without a lost request."""

import asyncio
import json
import shutil
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.bundle import InferRequest
from lepton_ai.core import BundleError, ConfigError, NotFoundError, UnavailableError
from lepton_ai.serving import Repository, ServerConfig, Service
from tests.contracts import graphs
from tests.contracts.bundles import write_bundle

X = np.array([[1, 2, 3]], "float32")
ROWS = {"fp32": graphs.rows_graph()}
REQUEST = InferRequest({"x": X})


def put(folder: Path, place: str, *, total: float | None = None) -> Path:
    """A bundle that sums; with `total`, one whose golden pair says so."""
    golden = () if total is None else (({"x": X}, {"total": np.array([[total]], "float32")}),)
    (folder / place).parent.mkdir(parents=True, exist_ok=True)
    return write_bundle(folder / place, name="rows", sign=graphs.ROWS, graphs=ROWS, golden=golden)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, "single.lepton")
    put(tmp_path, "many/2")
    put(tmp_path, "many/10.lepton")
    return tmp_path


def play(folder: Path, scenario: Callable[[Service], Coroutine[Any, Any, None]], **options: Any) -> None:
    async def run() -> None:
        repository = Repository(folder)
        service = Service(repository.load_all(ServerConfig()), repository=repository, **options)
        try:
            await asyncio.wait_for(scenario(service), 280)
        finally:
            await service.close()

    asyncio.run(run())


def test_what_is_in_a_folder(folder: Path) -> None:
    (folder / "link.lepton").symlink_to(folder / "single.lepton")
    (folder / "-bad-name").mkdir()
    (folder / "empty").mkdir()
    (folder / "note.txt").write_text("no model")
    put(folder, "many/old")
    put(folder, "many/03")
    found = Repository(folder).scan()
    assert {name: list(versions) for name, versions in found.items()} == {"many": ["2", "10"], "single": ["1"]}


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected a folder of bundles"):
        Repository(tmp_path / "nothing")


def test_the_newest_version_answers_and_others_can_be_loaded(folder: Path) -> None:
    async def scenario(service: Service) -> None:
        assert service.names() == ["many", "single"] and service.model("many").version == "10"
        states = {(each["name"], each["version"]): each["state"] for each in service.index()}
        assert states == {("many", "2"): "UNAVAILABLE", ("many", "10"): "READY", ("single", "1"): "READY"}
        with pytest.raises(NotFoundError, match="model 'many' has no version '2'. Known: 10."):
            service.model("many", "2")
        await service.load("many", "2")
        assert service.model("many").version == "10" and service.model("many", "2").version == "2"
        assert service.model_metadata("many")["versions"] == ["2", "10"]
        assert (await service.infer("many", "2", REQUEST)).model_version == "2"
        assert len(service.index(ready=True)) == 3

    play(folder, scenario)


def test_a_new_version_takes_over_and_an_old_one_can_go(folder: Path) -> None:
    async def scenario(service: Service) -> None:
        put(folder, "many/11")
        await service.load("many")
        assert service.model("many").version == "11"
        await service.unload("many", "11")
        assert service.model("many").version == "10"
        with pytest.raises(NotFoundError, match="version 11 of the model 'many' is not loaded"):
            service.model("many", "11")
        await service.unload("many")
        with pytest.raises(NotFoundError):
            await service.infer("many", "", REQUEST)
        assert "many" not in service.names()

    play(folder, scenario)


def test_a_version_that_answers_otherwise_never_takes_traffic(folder: Path) -> None:
    async def scenario(service: Service) -> None:
        put(folder, "many/11", total=7.0)
        with pytest.raises(BundleError, match="differs by 0.143 from the stored answer"):
            await service.load("many", "11")
        assert service.model("many").version == "10"
        (failed,) = (each for each in service.index() if each["version"] == "11")
        assert failed["state"] == "UNAVAILABLE" and "differs by 0.143" in failed["reason"]
        shutil.rmtree(folder / "many/11")
        put(folder, "many/11", total=6.0)
        await service.load("many", "11")
        assert service.model("many").version == "11"

    play(folder, scenario)


def test_names_lead_nowhere_else(folder: Path) -> None:
    put(folder.parent, "outside.lepton")

    async def scenario(service: Service) -> None:
        for name in ("../outside", "..", "many/2", "/etc", "nothing", "a" * 500, "single\0", "%2e%2e"):
            for act in (service.load, service.unload):
                with pytest.raises(NotFoundError):
                    await act(name)
        for version in ("../2", "-1", "2/../10", "02", "x", "999"):
            with pytest.raises(NotFoundError):
                await service.load("many", version)
        assert len(service._states) == 0

    play(folder, scenario)


def test_memory_is_looked_at_before_a_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(service: Service) -> None:
        monkeypatch.setattr("lepton_ai.runtime.memory.memory_available", lambda: 2**20)
        with pytest.raises(UnavailableError, match=r"loading needs about 16 MiB, 1 MiB are free. Unload another model"):
            await service.load("many", "2")
        assert service.model("many").version == "10"

    play(folder, scenario)


@pytest.mark.parametrize("rounds", [20, pytest.param(350, marks=pytest.mark.faults)])
def test_swaps_under_load_lose_and_mix_nothing(folder: Path, rounds: int) -> None:
    """Every request is numbered, and every one gets its own answer, from some version, while versions come and go."""
    wrong: list[Any] = []
    answered: set[int] = set()

    async def scenario(service: Service) -> None:
        stop = asyncio.Event()

        async def client(first: int) -> None:
            number = first
            while not stop.is_set():
                x = np.array([[number, 0, 1]], "float32")
                reply = await service.infer("many", "", InferRequest({"x": x}))
                if reply.outputs["total"].tolist() != [[number + 1.0]]:
                    wrong.append((number, reply.outputs))
                answered.add(number)
                number += 8

        clients = [asyncio.ensure_future(client(first)) for first in range(8)]
        for _ in range(rounds):
            await service.load("many", "10")
            await service.load("many", "2")
            await service.unload("many", "10")
        await service.load("many", "10")
        stop.set()
        await asyncio.gather(*clients)

    play(folder, scenario)
    assert not wrong and len(answered) > 100
    for first in range(8):
        own = sorted(number for number in answered if number % 8 == first)
        assert own == list(range(first, own[-1] + 1, 8)), "a request was lost"


def test_statistics_and_configuration(folder: Path) -> None:
    async def scenario(service: Service) -> None:
        for _ in range(3):
            await service.infer("single", "", InferRequest({"x": np.ones((2, 3), "float32")}))
        with pytest.raises(ValueError, match="unknown input"):
            await service.infer("single", "", InferRequest({"z": X}))
        (statistics,) = service.model_statistics("single")["model_stats"]
        assert (statistics["inference_count"], statistics["execution_count"]) == (6, 3)
        assert statistics["inference_stats"]["success"]["count"] == 3
        assert statistics["inference_stats"]["fail"]["count"] == 1
        assert statistics["batch_stats"][0]["batch_size"] == 2 and statistics["last_inference"] > 1.6e12
        assert statistics["batch_stats"][0]["compute_infer"]["count"] == 3
        assert {each["name"] for each in service.model_statistics()["model_stats"]} == {"many", "single"}
        config = service.model_config("single")
        assert config["max_batch_size"] == 64
        assert config["input"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": (3,)}]
        json.dumps(config)

    play(folder, scenario)
