"""`lepton demo`: a model's life from raw data to a server that answers, on real data, in about a minute."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console

from lepton_ai.bundle import Bundle
from lepton_ai.core import StorageError, UsageError, load_extra, this_machine
from lepton_ai.data import Schema
from lepton_ai.datasets import mnist_5k
from lepton_ai.evaluation import (
    Report,
    calibration_section,
    confusion_section,
    evaluate_classification,
    headline,
    latency_section,
    learning_curves,
    machine_section,
    model_section,
    per_class_section,
    timings_section,
    worst_mistakes_section,
    write_report,
)
from lepton_ai.exporting import export
from lepton_ai.layers import (
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    MaxPooling2D,
    RandomTranslation,
    Rescaling,
)
from lepton_ai.models import Sequential, count_parameters, summarize
from lepton_ai.rng import set_seed
from lepton_ai.training import Adam, CSVLogger, OneCycle

LABELS = [str(digit) for digit in range(10)]
TOLERANCE = 1e-4

Images = npt.NDArray[Any]


def build_model() -> Sequential:
    """A small convolutional network that takes raw uint8 images."""
    return Sequential(
        [
            Input((28, 28, 1), dtype="uint8", name="image"),
            Rescaling(1 / 255),
            RandomTranslation(0.08, 0.08),
            Conv2D(32, 3, activation="relu", padding="same", use_bias=False),
            BatchNormalization(momentum=0.9),
            MaxPooling2D(),
            Conv2D(64, 3, activation="relu", padding="same", use_bias=False),
            BatchNormalization(momentum=0.9),
            MaxPooling2D(),
            Flatten(),
            Dropout(0.4),
            Dense(10, activation="softmax"),
        ],
        name="digits",
    )


def run_demo(folder: Path, *, epochs: int, seed: int) -> None:
    """The whole demo. Raises UsageError if the server's answers are not the model's."""
    console = Console(highlight=False)
    timings: dict[str, float] = {}

    @contextmanager
    def step(name: str, title: str) -> Iterator[None]:
        console.print(f"[bold]{title}[/bold]")
        started = time.perf_counter()
        yield
        timings[name] = time.perf_counter() - started

    with step("data", "Read, check and split 5,000 handwritten digits"):
        (x_train, y_train), (x_test, y_test) = mnist_5k.load_data(seed=0)
        x_train, x_test = x_train[..., None], x_test[..., None]
        Schema.of(x_train, y_train).check(x_test, y_test)
        shared = {row.tobytes() for row in x_train} & {row.tobytes() for row in x_test}
        console.print(f"  {len(x_train):,} to train on, {len(x_test):,} held out, {x_train.dtype} {x_train.shape[1:]}")
        console.print(
            f"  {np.bincount(y_test).min()} or more of each digit held out; {len(shared)} images in both parts"
        )
    with step("training", "Train"):
        set_seed(seed)
        model = build_model()
        model.compile(Adam(OneCycle(0.002)), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(
            x_train,
            y_train,
            batch_size=64,
            epochs=epochs,
            validation_split=0.1,
            callbacks=[CSVLogger(folder / "history.csv")],
            seed=seed,
        )
    with step("evaluation", "Evaluate on the held-out digits"):
        scores = model.predict(x_test)
        result = evaluate_classification(scores, y_test, labels=LABELS)
        console.print(
            f"  accuracy {result.accuracy:.2%}  (95 %: {result.interval.low:.2%} to {result.interval.high:.2%})"
        )
    with step("export", "Package, and prove the exported graph equal"):
        metrics = {"held_out_accuracy": result.accuracy}
        bundle = export(model, folder / "digits.lepton", labels=LABELS, metrics=metrics, overwrite=True)
        parity = bundle.manifest.graphs["fp32"].parity
        assert parity is not None
        console.print(f"  largest difference {parity.max_difference:.1e} at batch sizes {parity.batch_sizes}")
    with step("serving", "Serve it from another process, and ask with NVIDIA's client"), serving(bundle.path) as url:
        served, latencies, throughput = ask(url, x_test)
        worst = float(np.abs(served - scores).max())
        if worst > TOLERANCE:
            raise UsageError(f"the server's answers differ from the model's by {worst:.2g}", at="demo")
        p50, p99 = np.percentile(latencies, (50, 99))
        console.print(f"  all {len(served):,} answers equal within {worst:.1e}")
        console.print(
            f"  one at a time: p50 {p50:.2f} ms, p99 {p99:.2f} ms; {throughput:,.0f} images/s in batches of 50"
        )
    speed = {"latency": p50 / 1e3, "throughput": throughput}
    report = Report(
        title="Handwritten digits",
        subtitle="A convolutional network on 5,000 digits of MNIST: trained, packaged, served and measured.",
        facts=headline(result, parameters=count_parameters(model)[0], **speed),
        sections=(
            learning_curves(history.history),
            confusion_section(result),
            worst_mistakes_section(x_test, result),
            calibration_section(result),
            per_class_section(result),
            model_section(summarize(model, width=88)),
            latency_section(
                latencies / 1e3,
                throughput=throughput,
                lead="Over HTTP: latency of one image at a time, throughput in batches of 50.",
            ),
            timings_section(timings),
            machine_section(this_machine()),
        ),
        created=time.strftime("%Y-%m-%d %H:%M"),
    )
    write_report(folder / "report.html", report)
    _say_where(console, folder, bundle, x_test, sum(timings.values()))


@contextmanager
def serving(bundle: Path) -> Iterator[str]:
    """A server for `bundle` in another process on a free port of this machine; yields its address."""
    command = [sys.executable, "-m", "lepton_ai", "serve", str(bundle), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if " at http://" not in line:
                raise UsageError(f"the server did not start (status {process.wait(timeout=10)})", at="demo")
            yield line.rsplit(" ", 1)[1].strip()
            process.terminate()
            if process.wait(timeout=30) != 0:
                raise UsageError(f"the server ended with status {process.returncode}", at="demo")
        finally:
            if process.poll() is None:
                process.kill()


def ask(url: str, images: Images) -> tuple[Images, Images, float]:
    """All answers, asked one image at a time; the latencies in milliseconds; and images per second in batches."""
    client_module = load_extra("tritonclient.http", extra="demo", purpose="The demo's client")
    client = client_module.InferenceServerClient(url.removeprefix("http://"))
    name = client.get_model_metadata("digits")["inputs"][0]["name"]

    def infer(batch: Images) -> Images:
        tensor = client_module.InferInput(name, list(batch.shape), "UINT8")
        tensor.set_data_from_numpy(batch)
        answer: Images = client.infer("digits", [tensor]).as_numpy("output")
        return answer

    infer(images[:1])
    answers, latencies = [], []
    for index in range(len(images)):
        started = time.perf_counter()
        answers.append(infer(images[index : index + 1]))
        latencies.append((time.perf_counter() - started) * 1e3)
    started = time.perf_counter()
    for index in range(0, len(images), 50):
        infer(images[index : index + 50])
    throughput = len(images) / (time.perf_counter() - started)
    client.close()
    return np.concatenate(answers), np.array(latencies), throughput


def command() -> str:
    """How this shell calls `lepton`: by its name where that is found, else by its place."""
    called = Path(sys.argv[0])
    if called.stem != "lepton":
        return "python -m lepton_ai"
    found = shutil.which("lepton")
    same = found is not None and Path(found).resolve() == called.resolve()
    return "lepton" if same else os.path.relpath(called)


def _say_where(console: Console, folder: Path, bundle: Bundle, images: Images, seconds: float) -> None:
    sample = folder / "digit.png"
    try:
        from PIL import Image

        Image.fromarray(images[0, ..., 0]).save(sample)
    except OSError as error:
        raise StorageError(f"could not write: {error}", at=str(sample)) from error
    console.print(f"\n[bold]Done in {seconds:.0f} s.[/bold] Everything is in {folder}/")
    console.print("  report.html     the report, one file that opens in any browser", soft_wrap=True)
    console.print("  digits.lepton/  the bundle: model, graph, golden pairs, data profile, card", soft_wrap=True)
    console.print("  history.csv     loss and accuracy of every epoch", soft_wrap=True)
    console.print("\nNext:")
    lepton = command()
    console.print(f"  {lepton} inspect {bundle.path}")
    console.print(f"  {lepton} predict {bundle.path} {sample}")
    console.print(f"  {lepton} serve {bundle.path}")
