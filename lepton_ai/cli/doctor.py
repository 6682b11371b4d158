"""`lepton doctor`."""

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import orjson

from lepton_ai import __version__
from lepton_ai.core import this_machine

PARTS = {
    "framework": ("torch", "numpy", "safetensors"),
    "export": ("onnx", "onnxscript"),
    "serving": ("onnxruntime", "httptools", "uvloop", "msgspec", "orjson"),
    "asking": ("urllib3", "aiohttp"),
    "data (extra)": ("pandas", "pyarrow"),
    "demo (extra)": ("mlxtend", "tritonclient"),
    "grpc (extra)": ("grpcio", "protobuf"),
}


def examine(*, as_json: bool) -> str:
    """The machine, the devices and the packages, with what to install for those that are missing."""
    machine = this_machine()
    facts: dict[str, Any] = {
        "lepton": __version__,
        "python": platform.python_version(),
        "processor": machine.processor,
        "cores": machine.cores,
        "memory_gib": round(machine.memory / 2**30, 1),
        "system": machine.system,
        "allocator": machine.allocator,
        "int8": _int8(machine.cpu_flags),
        "devices": _devices(),
        "plans": _plans(),
        "packages": {part: {name: _version(name) for name in names} for part, names in PARTS.items()},
    }
    if as_json:
        return orjson.dumps(facts, option=orjson.OPT_INDENT_2).decode()
    packages, plans = facts.pop("packages"), facts.pop("plans")
    lines = [f"{key:<12} {', '.join(value) if isinstance(value, list) else value}" for key, value in facts.items()]
    if plans:
        lines += ["", "plans chosen on this machine", *(f"  {each['work']}: {each['says']}" for each in plans)]
    for part, found in packages.items():
        lines.append("")
        lines.append(part)
        lines += [f"  {name:<14} {held or 'not installed'}" for name, held in found.items()]
        extra = part.removesuffix(" (extra)")
        if not all(found.values()):
            lines.append(f"  install with: pip install '{f'lepton-ai[{extra}]' if extra != part else 'lepton-ai'}'")
    return "\n".join(lines)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _devices() -> list[str]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("Apple GPU")
    return ["cpu", *names]


def _plans() -> list[dict[str, Any]]:
    if importlib.util.find_spec("torch") is None:
        return []
    from lepton_ai.hal import chosen_plans

    return [{"work": each.work, "says": each.describe(), "seconds": each.seconds} for each in chosen_plans()]


def _int8(flags: tuple[str, ...]) -> str:
    """Whether 8-bit products are exact: without VNNI, U8 x S8 saturates on AVX2."""
    if any("vnni" in flag for flag in flags) or "asimddp" in flags:
        return "native (VNNI or dot product)"
    return "AVX2 without VNNI: reduced range needed" if "avx2" in flags else "unknown"
