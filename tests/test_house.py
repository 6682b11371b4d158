"""The house stands as docs/architecture.md draws it: rooms, doors, and who may call whom."""

import ast
import os
import re
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

import lepton_ai

HERE = Path(__file__).parent.parent
PACKAGE = HERE / "lepton_ai"
LONGEST = 400  # lines

# Which rooms a room may import by itself, besides core. None: all.
TABLE: dict[str, str | None] = {
    "bundle": "",
    "cleaning": "data evaluation rng web",
    "cli": None,
    "core": "",
    "data": "bundle rng",
    "datasets": "data",
    "distributed": "hal rng",
    "evaluation": "web",
    "exporting": "bundle data layers models runtime",
    "hal": "",
    "layers": "rng",
    "models": "bundle data distributed hal layers rng training",
    "rng": "",
    "runtime": "bundle",
    "selection": "data evaluation",
    "serving": "bundle runtime web",
    "tasks": "bundle data evaluation exporting layers models serving training",
    "training": "data distributed evaluation hal rng",
    "web": "",
}
WITHOUT_TORCH = ["bundle", "core", "evaluation", "runtime", "serving", "web"]

# Imports inside functions, and why. Everything in cli and in the root may be imported late: that is what keeps
# `import lepton_ai` and `lepton --help` quick.
LATE = {
    "distributed/program.py": {
        "torch.distributed.elastic.multiprocessing": "torchrun's agent takes as long to load as a room",
        "torch.distributed.elastic.multiprocessing.errors": "as above",
        "torch.distributed.elastic.rendezvous": "as above",
        "torch.distributed.elastic.rendezvous.c10d_rendezvous_backend": "as above",
        "torch.distributed.elastic.rendezvous.dynamic_rendezvous": "as above",
        "torch.distributed.launcher.api": "as above",
    },
    "core/extras.py": {"importlib.import_module": "optional packages come in here, in one place for all rooms"},
    "serving/async_client.py": {"aiohttp": "a server never asks: what only clients need stays out of its process"},
    "serving/client.py": {"urllib3": "as above"},
}
# Who asks `core.load_extra` for which optional package: one file per room and package.
EXTRAS = {
    "cleaning/learners.py": {
        "sklearn.ensemble",
        "sklearn.linear_model",
        "sklearn.neighbors",
        "sklearn.pipeline",
        "sklearn.preprocessing",
        "threadpoolctl",
    },
    "cleaning/reading.py": {"pandas"},
    "cli/demo.py": {"tritonclient.http"},
    "data/audio.py": {"soundfile"},
    "data/csv_file.py": {"pandas"},
    "data/parquet.py": {"pyarrow", "pyarrow.parquet"},
    "data/remote.py": {"fsspec"},
    "data/video.py": {"av"},
    "distributed/cluster.py": {"ray"},
    "serving/grpc_front.py": {"grpc", "grpc.aio"},
    "serving/grpc_messages.py": {
        "google.protobuf.descriptor_pb2",
        "google.protobuf.descriptor_pool",
        "google.protobuf.json_format",
        "google.protobuf.message_factory",
    },
    "training/trackers.py": {"mlflow", "tensorboardX", "wandb"},
}
# Who touches the environment of the process, and why.
ENVIRONMENT = {
    "distributed/cluster.py": {"GLOO_SOCKET_IFNAME": "as below"},
    "distributed/entry.py": {"GLOO_SOCKET_IFNAME": "a worker tells gloo, which reads nothing else"},
    "distributed/launch.py": {"GLOO_SOCKET_IFNAME": "as above"},
}

FORBIDDEN_MODULES = {"cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve", "torch.serialization"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "torch.save"}


def rooms() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def walk(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Every node below, and whether it is inside a function."""
    for child in ast.iter_child_nodes(node):
        yield child, inside
        yield from walk(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """The modules that a file imports, the line, and whether it is inside a function."""
    for node, inside in walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), node.lineno, inside
            if node.module == "lepton_ai":  # `from lepton_ai import data` is an import of the room
                yield from ((f"lepton_ai.{alias.name}", node.lineno, inside) for alias in node.names)


def brought(path: Path, line: int) -> set[str]:
    """The names that the import in a line brings."""
    nodes = (node for node, _ in walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom))
    return {alias.name for node in nodes if node.lineno == line for alias in node.names}


def calls(path: Path) -> Iterator[tuple[str, ast.Call, bool]]:
    for node, inside in walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node, inside


def contracts() -> list[dict[str, object]]:
    found: list[dict[str, object]] = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    return found


# -- the table ---------------------------------------------------------------------------------------------------


def test_every_room_is_in_the_table_and_in_the_root() -> None:
    assert rooms() == sorted(TABLE)
    assert list(lepton_ai._ROOMS) == rooms()


@pytest.mark.parametrize("room", sorted(set(TABLE) - {"cli"}))
def test_the_contract_of_a_room_is_the_table_s_row(room: str) -> None:
    (contract,) = (
        each
        for each in contracts()
        if each["source_modules"] == [f"lepton_ai.{room}"] and each.get("allow_indirect_imports")
    )
    allowed = {room, "core", *(TABLE[room] or "").split()}
    assert contract["type"] == "forbidden"
    assert contract["forbidden_modules"] == [f"lepton_ai.{each}" for each in rooms() if each not in allowed]
    assert not contract.get("ignore_imports")


def test_the_run_wing_has_its_contracts() -> None:
    torch = next(each for each in contracts() if "torch" in str(each["forbidden_modules"]))
    assert torch["source_modules"] == [f"lepton_ai.{room}" for room in WITHOUT_TORCH]
    assert torch["forbidden_modules"] == ["keras", "pandas", "scipy", "sklearn", "torch"]
    assert not torch.get("allow_indirect_imports") and not torch.get("ignore_imports")


def test_import_linter_holds_the_contracts() -> None:
    script = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([script, "--no-cache"], cwd=HERE, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_room_is_part_of_a_circle() -> None:
    floors: dict[str, int] = {"core": 0}
    while len(floors) < len(TABLE) - 1:
        ready = {
            room: 1 + max([floors[each] for each in (allowed or "").split()], default=0)
            for room, allowed in TABLE.items()
            if room not in floors and allowed is not None and set(allowed.split()) <= floors.keys()
        }
        assert ready, f"a circle among {sorted(TABLE.keys() - floors.keys())}"
        floors |= ready


# -- the picture -------------------------------------------------------------------------------------------------


def test_the_drawing_shows_the_table() -> None:
    drawn, floors = drawing()
    for room, allowed in TABLE.items():
        expected = "every room" if allowed is None else allowed or ("nothing" if room == "core" else "core only")
        assert drawn.pop(room) == expected, room
        for below in (allowed or "").split():
            assert floors[below] < floors[room], f"{room} stands no higher than {below}"
    assert not drawn


def drawing() -> tuple[dict[str, str], dict[str, int]]:
    """What is written under each room, and its floor."""
    tree = ET.parse(HERE / "docs" / "images" / "house.svg")
    drawn: dict[str, str] = {}
    floors: dict[str, int] = {}
    for group in tree.iter("{http://www.w3.org/2000/svg}g"):
        room = group.get("data-room")
        if room is not None:
            texts = ["".join(text.itertext()) for text in group.iter("{http://www.w3.org/2000/svg}text")]
            assert texts[0] == room
            drawn[room] = texts[1]
            floors[room] = int(group.get("data-floor", ""))
    return drawn, floors


def test_the_page_s_table_is_the_table() -> None:
    page = (HERE / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| (\d+) \| \[`(\w+)`\]\(rooms/(\w+)\.md\) \| [^|]+ \| ([^|]+) \|$", page, re.MULTILINE)
    assert all(room == link for _, room, link, _ in rows)
    assert {room: int(floor) for floor, room, _, _ in rows} == drawing()[1]
    shown = {room: text for _, room, _, text in rows}
    assert shown == {room: "every room" if names is None else names or "–" for room, names in TABLE.items()}


# -- doors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_other_rooms_are_entered_through_the_front_door_siblings_by_module(path: Path) -> None:
    room = room_of(path)
    for module, line, _ in imports(path):
        at = f"{name_of(path)}:{line} imports {module}"
        assert not module.startswith("."), f"{at}; write it from lepton_ai on"
        parts = module.split(".")
        if parts[0] != "lepton_ai":
            continue
        assert len(parts) > 1 or room in ("", "cli"), f"{at}: rooms below the command never import the root"
        if len(parts) > 1 and parts[1] != room:
            assert len(parts) == 2, f"{at}, past the front door"
        elif len(parts) == 2 and room and path.name != "__init__.py":
            modules = {each.stem for each in path.parent.glob("*.py")}
            assert brought(path, line) <= modules, f"{at}: a room's own front door is for others"


@pytest.mark.parametrize("path", [path for path in sources() if room_of(path) not in ("", "cli")], ids=name_of)
def test_imports_stand_at_the_top(path: Path) -> None:
    late = {module for module, _, inside in imports(path) if inside}
    late |= {call for call, _, inside in calls(path) if inside and call.endswith("import_module")}
    assert late == set(LATE.get(name_of(path), ()))


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_optional_packages_come_in_where_they_are_said_to(path: Path) -> None:
    asked = {ast.literal_eval(call.args[0]) for name, call, _ in calls(path) if name == "load_extra"}
    assert asked == EXTRAS.get(name_of(path), set())


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*/__init__.py")), ids=room_of)
def test_a_front_door_holds_its_names_and_nothing_else(path: Path) -> None:
    docstring, *body, last = ast.parse(path.read_text()).body
    assert isinstance(docstring, ast.Expr) and isinstance(docstring.value, ast.Constant)
    assert all(isinstance(node, ast.ImportFrom) for node in body)
    assert isinstance(last, ast.Assign) and ast.unparse(last.targets[0]) == "__all__"
    listed = ast.literal_eval(last.value)
    names = [alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert listed == sorted(names, key=kind_then_name)
    assert not [name for name in listed if name.startswith("_")]


def kind_then_name(name: str) -> tuple[int, list[str | int]]:
    """As ruff sorts: constants, classes, functions; numbers by value."""
    kind = 0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2
    return kind, [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def test_the_root_s_names_are_where_it_says() -> None:
    assert sorted(lepton_ai._NAMES) == sorted(lepton_ai.__all__)
    assert lepton_ai.__all__ == sorted(lepton_ai.__all__, key=kind_then_name)
    assert set(lepton_ai._NAMES.values()) <= set(rooms())


def test_no_exported_name_is_a_room_s() -> None:
    assert not set(lepton_ai.__all__) & set(rooms())


# -- habits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_files_are_short_and_have_a_purpose(path: Path) -> None:
    assert path.name not in ("utils.py", "util.py", "helpers.py", "common.py", "misc.py")
    assert len(path.read_text().splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(path.read_text())), "a file says in its first line what it is for"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_nothing_executes_what_it_reads(path: Path) -> None:
    for module, line, _ in imports(path):
        roots = {module, module.split(".")[0]}
        assert not roots & FORBIDDEN_MODULES, f"{name_of(path)}:{line}"
    for name, call, _ in calls(path):
        assert name not in FORBIDDEN_CALLS, f"{name_of(path)}:{call.lineno} calls {name}"
        if name in ("np.load", "numpy.load"):
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert given.get("allow_pickle") == "False", f"{name_of(path)}:{call.lineno}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_the_environment_configures_nothing(path: Path) -> None:
    touched = re.findall(r"os\.environ\b|\bgetenv\b|\bputenv\b", path.read_text())
    names = set(re.findall(r"os\.environ\[\"(\w+)\"\]", path.read_text()))
    assert names == set(ENVIRONMENT.get(name_of(path), ()))
    assert len(touched) == len(names)


def test_rooms_are_flat() -> None:
    for room in rooms():
        nested = [path for path in (PACKAGE / room).iterdir() if path.is_dir() and any(path.glob("*.py"))]
        assert not nested, nested


def test_every_room_has_tests_and_a_page() -> None:
    for room in rooms():
        assert any((HERE / "tests" / room).glob("test_*.py")), f"tests/{room} has no tests"
        assert (HERE / "docs" / "rooms" / f"{room}.md").is_file(), f"docs/rooms/{room}.md is missing"


def test_this_repository_names_no_machine_of_ours() -> None:
    """Paths of the machines it was written on, and hosts of registries, help nobody else."""
    # One letter of each in brackets, so that this very file passes as well.
    homes = re.compile(r"/wor[k]/|https?://[\w.]*pyp[i]\.org|download\.pytorc[h]\.org")
    skipped = {".git", ".venv", "runs", "build", "dist", "__pycache__", ".environments"}
    for folder, below, found in os.walk(HERE):
        below[:] = [name for name in below if name not in skipped and not name.endswith((".egg-info", "_cache"))]
        for name in found:
            path = Path(folder) / name
            if path.suffix in (".py", ".md", ".toml", ".txt", ".yaml", ".html", ".json", ".svg") or name == "Makefile":
                hit = homes.search(path.read_text())
                assert hit is None, f"{path.relative_to(HERE)}: {hit and hit[0]}"
