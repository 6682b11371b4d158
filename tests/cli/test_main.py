"""The verbs: help, exit codes, mistakes, and what a light verb imports."""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts.command import Terminal, run_process

VERBS = ("bench", "data check", "demo", "doctor", "drain", "inspect", "load", "predict", "serve", "unload")


def test_help_lists_the_verbs(lepton: Terminal) -> None:
    done = lepton("--help")
    assert done.code == 0 and done.err == ""
    verbs = re.findall(r"^  (\w+)  ", done.out, re.MULTILINE)
    assert verbs == [
        "demo",
        "inspect",
        "predict",
        "serve",
        "load",
        "unload",
        "drain",
        "bench",
        "launch",
        "doctor",
        "data",
    ]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(lepton: Terminal, verb: str) -> None:
    done = lepton(*verb.split(), "--help")
    assert done.code == 0 and f"lepton {verb}" in done.out
    for option in re.findall(r"^  (--[a-z-]+)", done.out, re.MULTILINE):
        line = next(line for line in done.out.splitlines() if line.startswith(f"  {option}"))
        assert len(line.split()) > 2, f"{verb} {option} is not explained"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fly",), "No such command 'fly'"),
        (("inspect",), "Missing argument 'BUNDLE'"),
        (("inspect", "a", "--loud"), "No such option: --loud"),
        (("predict", "a"), "Missing argument 'FILE...'"),
        (("predict", "a", "b", "--top", "0"), "Invalid value for '--top'"),
        (("serve", "a", "--port", "99999"), "Invalid value for '--port'"),
        (("serve", "a", "--port", "x"), "Invalid value for '--port'"),
        (("demo", "--epochs", "0"), "Invalid value for '--epochs'"),
    ],
)
def test_usage_errors_end_with_2(lepton: Terminal, arguments: tuple[str, ...], message: str) -> None:
    done = lepton(*arguments)
    assert done.code == 2 and done.out == "" and message in done.err and "Traceback" not in done.err


def test_without_a_verb_comes_the_help(lepton: Terminal) -> None:
    done = lepton()
    assert "Inspect, ask and serve models; `lepton demo` makes one." in done.out + done.err
    assert "Traceback" not in done.err


def test_a_mistake_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = run_process("inspect", tmp_path / "nothing")
    line, imported = done.err.splitlines()
    assert done.code == 1 and done.out == ""
    assert line == f"lepton: {tmp_path}/nothing: does not exist; a bundle is a folder. Check the path."
    assert imported == "imported []"


def test_ctrl_c_ends_with_130(lepton: Terminal, monkeypatch: pytest.MonkeyPatch, images: Path) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lepton_ai.cli.inspect.inspect_bundle", interrupted)
    done = lepton("inspect", images)
    assert done.code == 130 and done.out == "" and "Traceback" not in done.err


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "lepton_ai", "--help"], capture_output=True, text=True, check=True)
    assert "predict" in done.stdout and done.stderr == ""


# -- serve -----------------------------------------------------------------------------------------------


def test_a_bundle_without_graphs_is_not_served(lepton: Terminal, saved: Path) -> None:
    text = lepton.mistake("serve", saved, "--port", "0")
    assert text == (
        f"{saved}: has no graph to run: the model was saved but not exported. "
        f'Add one: lepton_ai.export(model, "{saved}").'
    )


def test_a_port_that_is_taken(lepton: Terminal, images: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = lepton.mistake("serve", images, "--port", port)
    assert text.startswith(f"serve(host, port): cannot listen on 127.0.0.1:{port} (")
    assert os.strerror(errno.EADDRINUSE) in text and text.endswith("Choose another port, or 0 for a free one.")


def test_an_address_that_others_reach_needs_consent(lepton: Terminal, images: Path) -> None:
    assert "or a token: others can reach this one" in lepton.mistake(
        "serve", images, "--host", "0.0.0.0", "--port", "0"
    )


def test_commands_need_a_server(lepton: Terminal) -> None:
    for command in (("load", "digits", "3"), ("unload", "digits"), ("drain",)):
        text = lepton.mistake(*command, "--at", "http://127.0.0.1:1")
        assert text.startswith("nobody answers at http://127.0.0.1:1 (") and text.endswith("Name it: --at.")


def test_what_to_serve_is_one_thing(lepton: Terminal, images: Path) -> None:
    assert lepton.mistake("serve", "--port", "0") == "serve: give a bundle, or a repository of bundles"
    text = lepton.mistake("serve", images, "--repository", images, "--workers", "2", "--port", "0")
    assert text == "serve: give a bundle, or a repository of bundles"


def test_secrets_come_from_files(lepton: Terminal, images: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("short\n")
    text = lepton.mistake("serve", images, "--port", "0", "--token-file", tmp_path / "token")
    assert text.startswith("token: a token of 5 characters, expected at least 16") and "short" not in text
    text = lepton.mistake("serve", images, "--port", "0", "--token-file", tmp_path / "none")
    assert "the token cannot be read" in text
    text = lepton.mistake("serve", images, "--port", "0", "--tls-key", tmp_path / "key.pem")
    assert text == "serve: --tls-cert and --tls-key go together"


def test_an_unknown_variant(lepton: Terminal, images: Path) -> None:
    text = lepton.mistake("serve", images, "--variant", "fp23", "--port", "0")
    assert text.endswith("unknown variant 'fp23'. Did you mean 'fp32'?")


def test_serve_answers_until_it_is_told_to_stop(images: Path) -> None:
    code = "import atexit, sys; atexit.register(lambda: print('torch' in sys.modules))\n"
    code += "from lepton_ai.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", str(images), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            ready, managed = child.stdout.readline(), child.stdout.readline()
            assert re.fullmatch(r"lepton: serving images at http://127\.0\.0\.1:\d+\n", ready)
            assert re.fullmatch(r"lepton: managed at http://127\.0\.0\.1:\d+\n", managed)
            child.send_signal(signal.SIGTERM)
            out, err = child.communicate(timeout=30)
        finally:
            child.kill()
    assert (child.returncode, out, err) == (0, "False\n", "")
