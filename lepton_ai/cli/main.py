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


At = Annotated[str, typer.Option(help="The management address of the server.")]
ModelName = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")]
Version = Annotated[str, typer.Argument(metavar="[VERSION]", help="Its version; the newest, or all, by default.")]
TokenFile = Annotated[Path | None, typer.Option(help="A file that holds the token.")]
MANAGED = "http://127.0.0.1:8082"


@app.command()
def serve(
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="The bundle's folder.")] = None,
    repository: Annotated[Path | None, typer.Option(help="A folder of bundles, to serve them all.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8080,
    grpc: Annotated[int | None, typer.Option(min=0, max=65535, help="Port for gRPC, beside HTTP.")] = None,
    management: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port to manage it, on this machine; by default port + 2.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
    variant: Variant = None,
    instances: Annotated[int, typer.Option(min=1, help="Batches of a model computed at a time.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads that compute a batch; by default all cores.")
    ] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Rows in a batch, at most.")] = 64,
    target: Annotated[str | None, typer.Option(help="Find the settings that keep a latency, such as p99=5ms.")] = None,
    token_file: TokenFile = None,
    tls_cert: Annotated[Path | None, typer.Option(help="The server's certificate (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="The authority that clients' certificates need.")] = None,
    allow_host: Annotated[list[str], typer.Option(help="A name by which it may be called; repeat for more.")] = [],  # noqa: B006
    rate: Annotated[float, typer.Option(min=0, help="Requests a second that one client may send; 0 is any.")] = 0.0,
    grace: Annotated[float | None, typer.Option(min=0, help="Seconds it still answers after SIGTERM.")] = None,
    access_log: Annotated[float, typer.Option(min=0, max=1, help="The share of requests to log.")] = 0.0,
    insecure: Annotated[bool, typer.Option(help="Allow an address that others can reach, without auth.")] = False,
) -> None:
    """Answer over HTTP, and gRPC, (Open Inference Protocol v2) until Ctrl-C or SIGTERM."""
    from lepton_ai.cli.serve import make_security, serve_models
    from lepton_ai.serving import ServerConfig

    serve_models(
        bundle,
        repository=repository,
        host=host,
        port=port,
        grpc=grpc,
        management=management,
        workers=workers,
        variant=variant,
        target=target,
        security=make_security(token_file, tls_cert, tls_key, tls_client_ca, insecure=insecure),
        config=ServerConfig(
            instances=instances,
            threads=threads,
            max_batch=max_batch,
            hosts=tuple(allow_host),
            client_rate=rate,
            grace_seconds=grace,
            access_log=access_log,
        ),
    )


@app.command("load")
def load_model(model: ModelName, version: Version = "", at: At = MANAGED, token_file: TokenFile = None) -> None:
    """Let a running server load a version from its repository; the one before answers until it is ready."""
    from lepton_ai.cli.serve import read_token
    from lepton_ai.serving import control

    control.load(model, version, at=at, token=read_token(token_file))


@app.command("unload")
def unload_model(model: ModelName, version: Version = "", at: At = MANAGED, token_file: TokenFile = None) -> None:
    """Let a running server answer no more for a model, or for one of its versions."""
    from lepton_ai.cli.serve import read_token
    from lepton_ai.serving import control

    control.unload(model, version, at=at, token=read_token(token_file))


@app.command()
def drain(at: At = MANAGED, token_file: TokenFile = None) -> None:
    """Let a running server finish what it has and end."""
    from lepton_ai.cli.serve import read_token
    from lepton_ai.serving import control

    control.drain(at=at, token=read_token(token_file))


@app.command()
def bench(
    url: Annotated[str, typer.Argument(metavar="URL", help="The server's address, such as http://127.0.0.1:8080.")],
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model's name.")],
    rate: Annotated[
        list[float], typer.Option(help="Requests a second; repeat for more. By default it finds out.")
    ] = [],  # noqa: B006
    seconds: Annotated[float, typer.Option(help="How long each rate is held.")] = 10.0,
    warmup: Annotated[float, typer.Option(help="Seconds before that do not count.")] = 1.0,
    connections: Annotated[int, typer.Option(help="Connections that requests share.")] = 64,
    rows: Annotated[int, typer.Option(help="Rows in each request.")] = 1,
    text: Annotated[bool, typer.Option("--text", help="Send JSON instead of binary tensors.")] = False,
    arrivals: Annotated[str, typer.Option(help="poisson, as users come, or uniform.")] = "poisson",
    timeout: Annotated[float, typer.Option(help="Seconds after which a request has failed.")] = 30.0,
    version: Annotated[str, typer.Option(help="The model's version; the newest by default.")] = "",
    token_file: TokenFile = None,
    authority: Annotated[Path | None, typer.Option(help="The authority to trust for https (PEM).")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the findings as a page.")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the findings as JSON.")] = None,
) -> None:
    """Find out how long a server's answers take at rates that it has no say in."""
    from lepton_ai.cli.bench import bench_model
    from lepton_ai.cli.serve import read_token
    from lepton_ai.serving import BenchConfig

    config = BenchConfig(
        rates=tuple(rate),
        seconds=seconds,
        warmup=warmup,
        connections=connections,
        rows=rows,
        binary=not text,
        arrivals=arrivals,
        timeout=timeout,
    )
    token = read_token(token_file)
    bench_model(url, model, config, version=version, token=token, authority=authority, html=html, json=json)


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
