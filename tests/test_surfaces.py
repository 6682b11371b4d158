"""What users build on is frozen: exported names, commands and options, what an import loads, docstrings, examples."""

import doctest
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

import lepton_ai
from lepton_ai.cli import app

NAMES = [
    "LPDNN",
    "LPNN",
    "Bundle",
    "Callback",
    "EarlyStopping",
    "ExecutionPlan",
    "History",
    "ImageFolder",
    "Input",
    "Layer",
    "LeptonError",
    "LinearRegression",
    "LogisticRegression",
    "Model",
    "ModelCheckpoint",
    "Sequential",
    "distributed_train",
    "export",
    "load",
    "open_model",
    "read_csv",
    "serve",
    "set_seed",
    "split",
    "to_categorical",
]

COMMANDS = {
    "bench": [
        "--arrivals",
        "--authority",
        "--connections",
        "--html",
        "--json",
        "--rate",
        "--rows",
        "--seconds",
        "--text",
        "--timeout",
        "--token-file",
        "--version",
        "--warmup",
        "MODEL",
        "URL",
    ],
    "data check": [
        "--clean",
        "--fix",
        "--group",
        "--html",
        "--json",
        "--rule",
        "--target",
        "--test",
        "--time",
        "FILE_OR_FOLDER",
    ],
    "demo": ["--epochs", "--folder", "--seed"],
    "doctor": ["--json"],
    "drain": ["--at", "--token-file"],
    "inspect": ["--json", "BUNDLE"],
    "launch": ["--restarts", "--workers", "ARGUMENT...", "PROGRAM"],
    "predict": ["--json", "--top", "--variant", "BUNDLE", "FILE..."],
    "load": ["--at", "--token-file", "MODEL", "[VERSION]"],
    "serve": [
        "--access-log",
        "--allow-host",
        "--grace",
        "--grpc",
        "--host",
        "--insecure",
        "--instances",
        "--management",
        "--max-batch",
        "--port",
        "--rate",
        "--repository",
        "--target",
        "--threads",
        "--tls-cert",
        "--tls-client-ca",
        "--tls-key",
        "--token-file",
        "--variant",
        "--workers",
        "[BUNDLE]",
    ],
    "unload": ["--at", "--token-file", "MODEL", "[VERSION]"],
}

ROOMS = lepton_ai._ROOMS


def modules() -> list[str]:
    found = [each.name for each in pkgutil.walk_packages(lepton_ai.__path__, "lepton_ai.")]
    return ["lepton_ai", *(name for name in found if not name.endswith("__main__"))]  # that one runs the command


def loaded_by(program: str) -> set[str]:
    """The modules that a fresh process holds after running `program`, beyond those that it starts with."""
    code = (
        f"import json, sys\nbefore = set(sys.modules)\n{program}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(done.stdout.splitlines()[-1]))


# -- names -------------------------------------------------------------------------------------------------------


def test_the_root_exports_these_names() -> None:
    assert lepton_ai.__all__ == NAMES
    assert set(dir(lepton_ai)) == {*NAMES, *ROOMS, "__version__"}


@pytest.mark.parametrize("name", NAMES)
def test_a_root_name_is_what_its_room_exports(name: str) -> None:
    room = importlib.import_module(f"lepton_ai.{lepton_ai._NAMES[name]}")
    assert getattr(lepton_ai, name) is getattr(room, name)
    assert name in room.__all__


def test_rooms_are_attributes_of_the_root_and_nothing_else_is() -> None:
    for room in ROOMS:
        assert getattr(lepton_ai, room) is importlib.import_module(f"lepton_ai.{room}")
    with pytest.raises(AttributeError, match="module 'lepton_ai' has no attribute 'Sequentail'"):
        _ = lepton_ai.Sequentail


# -- the command -------------------------------------------------------------------------------------------------


def test_the_command_has_these_verbs_and_options() -> None:
    group: Any = typer.main.get_command(app)
    commands = dict(_verbs(group))
    found = {
        name: sorted(
            parameter.metavar if parameter.param_type_name == "argument" else max(parameter.opts, key=len)
            for parameter in command.params
        )
        for name, command in commands.items()
    }
    assert found == COMMANDS
    for name, command in commands.items():
        assert command.help, name
        for parameter in command.params:
            assert parameter.help, f"{name} {parameter.name}"


def _verbs(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """Each verb with its command; those of a group as `group verb`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            assert command.help, name
            yield from _verbs(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


# -- what an import loads ----------------------------------------------------------------------------------------


def test_importing_lepton_loads_no_room_and_nothing_foreign() -> None:
    loaded = loaded_by("import lepton_ai")
    assert {name for name in loaded if name.startswith("lepton_ai")} == {"lepton_ai"}
    assert {name.partition(".")[0] for name in loaded} <= sys.stdlib_module_names | {"lepton_ai"}


def test_help_loads_neither_torch_nor_a_room_but_core() -> None:
    program = "from lepton_ai.cli import main\nsys.argv = ['lepton', '--help']\n"
    program += "try:\n    main()\nexcept SystemExit:\n    pass"
    loaded = loaded_by(program)
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & {"torch", "numpy", "onnxruntime", "pandas", "scipy", "sklearn", "uvicorn"}
    assert {name for name in loaded if name.count(".") == 1 and name.startswith("lepton_ai.")} == {
        "lepton_ai.cli",
        "lepton_ai.core",
    }


@pytest.mark.parametrize("room", ["bundle", "core", "evaluation", "runtime", "serving", "web"])
def test_the_run_wing_loads_neither_torch_nor_the_make_wing(room: str) -> None:
    loaded = loaded_by(f"import lepton_ai.{room}")
    tops = {name.partition(".")[0] for name in loaded}
    assert not tops & {"torch", "scipy", "sklearn", "pandas", "keras"}
    make = (
        "cleaning",
        "data",
        "datasets",
        "distributed",
        "exporting",
        "hal",
        "layers",
        "models",
        "rng",
        "tasks",
        "training",
    )
    assert not [name for name in loaded if name.startswith(tuple(f"lepton_ai.{each}" for each in make))]


# -- docstrings and examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_front_door_exports_says_what_it_is(room: str) -> None:
    door = importlib.import_module(f"lepton_ai.{room}")
    silent = []
    for name in door.__all__:
        value = getattr(door, name)
        if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
            text = (value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__) or ""
            if not text.strip() or text.startswith(f"{name}("):  # what named tuples and dataclasses make for themselves
                silent.append(name)
    assert not silent


@pytest.mark.parametrize("name", modules())
def test_the_examples_in_docstrings_come_out_as_written(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
