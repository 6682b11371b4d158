"""`lepton serve`."""

from pathlib import Path

from lepton_ai.core import ConfigError
from lepton_ai.serving import Security, ServerConfig, Tls, config_for_target, serve, show_access_log


def serve_models(
    bundle: Path | None,
    *,
    repository: Path | None,
    host: str,
    port: int,
    grpc: int | None,
    management: int | None,
    workers: int,
    variant: str | None,
    target: str | None,
    security: Security,
    config: ServerConfig,
) -> None:
    """Serve until a signal; with a `target`, first find the settings that keep it.

    Raises: ConfigError for a target of several models or processes.
    """
    if target is not None:
        if bundle is None or workers > 1:
            raise ConfigError("--target goes with one bundle in one process", at="serve")
        config, curve = config_for_target(bundle, target, config, variant=variant)
        print(curve, flush=True)
    if config.access_log:
        show_access_log()
    if management is None:
        management = port + 2 if port else 0
    serve(
        bundle,
        repository=repository,
        host=host,
        port=port,
        variant=variant,
        management=management,
        grpc=grpc,
        workers=workers,
        security=security,
        config=config,
    )


def make_security(
    token_file: Path | None, certificate: Path | None, key: Path | None, client_ca: Path | None, *, insecure: bool
) -> Security:
    """What the options say.

    Raises: ConfigError for a file that cannot be read, or a certificate without its key.
    """
    if (certificate is None) != (key is None) or (client_ca is not None and certificate is None):
        raise ConfigError("--tls-cert and --tls-key go together", at="serve")
    tls = None
    if certificate is not None and key is not None:
        tls = Tls(certificate=str(certificate), key=str(key), client_ca=None if client_ca is None else str(client_ca))
    return Security(token=read_token(token_file), tls=tls, insecure=insecure)


def read_token(file: Path | None) -> str | None:
    """The token that a file holds; it is not an option itself, since whoever lists processes sees those.

    Raises: ConfigError if it cannot be read.
    """
    if file is None:
        return None
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the token cannot be read ({error})", at=str(file)) from error
