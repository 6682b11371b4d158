"""The verbs and their options. What a verb does is in a module of its own, imported when it is used."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from lepton_ai.core import LeptonError

app = typer.Typer(
    name="lepton",
    help="Inspect, ask and serve models; `lepton demo` makes one.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]
BundlePath = Annotated[Path, typer.Argument(metavar="BUNDLE", help="The bundle's folder, such as digits.lepton.")]
Variant = Annotated[str | None, typer.Option(help="Which graph to run; fp32 if there is one.")]


@app.command()
def demo(
    folder: Annotated[Path, typer.Option(help="Where to leave bundle, history and report.")] = Path("runs/demo"),
    epochs: Annotated[int, typer.Option(min=1, help="Epochs to train.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights, order and augmentation.")] = 0,
) -> None:
    """Train, package, serve and measure a model of handwritten digits, on real data."""
    from lepton_ai.cli.demo import run_demo

    run_demo(folder, epochs=epochs, seed=seed)


@app.command()
def inspect(bundle: BundlePath, json: Json = False) -> None:
    """Show what is in a bundle, after verifying every file."""
    from lepton_ai.cli.inspect import inspect_bundle

    typer.echo(inspect_bundle(bundle, as_json=json))


@app.command()
def predict(
    bundle: BundlePath,
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Images, .npy, .csv or .txt files.")],
    variant: Variant = None,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 3,
    json: Json = False,
) -> None:
    """Answer for the rows in files."""
    from lepton_ai.cli.predict import predict_files

    typer.echo(predict_files(bundle, files, variant=variant, top=top, as_json=json))


@app.command()
def serve(
    bundle: BundlePath,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    variant: Variant = None,
    insecure: Annotated[bool, typer.Option(help="Allow an address that others can reach, without auth.")] = False,
) -> None:
    """Answer over HTTP (Open Inference Protocol v2) until Ctrl-C or SIGTERM."""
    from lepton_ai.serving import serve as serve_bundle

    serve_bundle(bundle, host=host, port=port, variant=variant, insecure=insecure)


data = typer.Typer(help="Look after data.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(data, name="data")


@data.command()
def check(
    path: Annotated[
        Path, typer.Argument(metavar="FILE_OR_FOLDER", help="A CSV, TSV or Parquet file, or images by class.")
    ],
    target: Annotated[str | None, typer.Option(help="The column to be predicted.")] = None,
    test: Annotated[Path | None, typer.Option(help="Other data that must share nothing with this one.")] = None,
    group: Annotated[str | None, typer.Option(help="The column of groups that must not be in both.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of time, in which the test comes later.")] = None,
    rule: Annotated[list[str], typer.Option(help='What must hold: "age between 0 and 120"; repeat for more.')] = [],  # noqa: B006 - typer copies it
    html: Annotated[Path | None, typer.Option(help="Write the findings as a page.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the findings as JSON.")] = None,
    clean: Annotated[Path | None, typer.Option(help="Write cleaned data, and beside it what was changed.")] = None,
    fix: Annotated[list[str], typer.Option(help="Clean what this check found, too; repeat for more.")] = [],  # noqa: B006
) -> None:
    """Find what is wrong with a table or with images, and put right what is safe."""
    from lepton_ai.cli.data import check_data

    check_data(
        path, target=target, test=test, group=group, time=time, rules=rule, html=html, json=json, cleaned=clean, fix=fix
    )


@app.command(context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True})
def launch(
    program: Annotated[Path, typer.Argument(metavar="PROGRAM", help="A Python program, such as train.py.")],
    arguments: Annotated[list[str], typer.Argument(metavar="ARGUMENT...", help="What the program is given.")] = [],  # noqa: B006
    workers: Annotated[int, typer.Option(min=1, help="How many processes train together.")] = 2,
    restarts: Annotated[int, typer.Option(min=0, help="How often to start again after a worker was killed.")] = 3,
) -> None:
    """Run a program with several workers on this machine; each `fit` in it trains with all of them."""
    from lepton_ai.distributed import run_program

    run_program(program, arguments, workers=workers, restarts=restarts)


@app.command()
def doctor(json: Json = False) -> None:
    """Show what this machine offers, which parts are installed, and what to do about those that are not."""
    from lepton_ai.cli.doctor import examine

    typer.echo(examine(as_json=json))


def main() -> None:
    """Run the command. A user's mistake ends with one message and status 1, Ctrl-C with 130."""
    try:
        app()
    except LeptonError as error:
        typer.secho(f"lepton: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
