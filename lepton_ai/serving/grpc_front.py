"""The gRPC face of a server: the same models, limits and token as over HTTP, on a port of its own."""

from pathlib import Path
from typing import Any

from lepton_ai.core import ConfigError, load_extra
from lepton_ai.serving.grpc_calls import Calls
from lepton_ai.serving.grpc_messages import HEALTH, SERVICE, messages
from lepton_ai.serving.service import Service
from lepton_ai.serving.tls import Tls

_MOST_CALLS = 4096  # under way, streams included
_METADATA = 16 * 2**10  # bytes


class GrpcFront:
    """Answers the protocol's gRPC service at `host` and `port`, 0 for a free one; `address` tells it once it does.

    Give it to a server: `Server(models, fronts=[GrpcFront(8081)])`, or `lepton serve --grpc 8081`. Infer and streams,
    health, metadata, configuration and statistics; models are listed, loaded and unloaded only through one made with
    `management=True`, which belongs on an address that users do not reach. With `shared`, several processes may answer
    at one port. Needs the extra `grpc`.

    Raises: MissingExtraError; ConfigError for certificates that cannot be used.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        tls: Tls | None = None,
        management: bool = False,
        shared: bool = False,
    ) -> None:
        self._library = load_extra("grpc", extra="grpc", purpose="gRPC")
        self._aio = load_extra("grpc.aio", extra="grpc", purpose="gRPC")
        messages()
        self.host, self.port = host, port
        if tls is not None:
            tls.context()  # which says what is wrong with the files; gRPC would not
        self._tls, self._management, self._shared = tls, management, shared
        self._server: Any = None

    @property
    def address(self) -> str:
        """Where it answers, as gRPC's clients take it."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    async def start(self, service: Service) -> str:
        """Bind and answer; the address as the ready line has it.

        Raises: ConfigError for a port that is taken or a host that is none.
        """
        limit = service.config.max_body
        server = self._aio.server(
            options=(
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_metadata_size", _METADATA),
                ("grpc.so_reuseport", int(self._shared)),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
                ("grpc.keepalive_permit_without_calls", 1),
            ),
            maximum_concurrent_rpcs=_MOST_CALLS,
        )
        server.add_generic_rpc_handlers(
            self._handlers(Calls(service, self._library.StatusCode, management=self._management))
        )
        try:
            if self._tls is None:
                port = server.add_insecure_port(self.address)
            else:
                port = server.add_secure_port(self.address, self._credentials(self._tls))
        except RuntimeError as error:
            raise ConfigError(
                f"cannot listen on {self.address}", at="serve(grpc)", fix="Choose another port, or 0 for a free one."
            ) from error
        await server.start()
        self._server, self.port = server, port
        return f"grpc{'s' if self._tls else ''}://{self.address}"

    async def stop(self, seconds: float) -> None:
        """Refuse new calls, finish those that were begun within `seconds`, cancel the rest."""
        if self._server is not None:
            await self._server.stop(seconds)
            self._server = None

    def _credentials(self, tls: Tls) -> Any:
        pair = Path(tls.key).read_bytes(), Path(tls.certificate).read_bytes()
        authority = Path(tls.client_ca).read_bytes() if tls.client_ca is not None else None
        return self._library.ssl_server_credentials([pair], authority, authority is not None)

    def _handlers(self, calls: Calls) -> tuple[Any, ...]:
        library, known = self._library, messages()

        def one(call: Any, request: str) -> Any:
            return library.unary_unary_rpc_method_handler(
                call, request_deserializer=known[request].FromString, response_serializer=_serialize
            )

        handlers = {name: one(call, f"{name}Request") for name, call in calls.unary().items()}
        handlers["ModelStreamInfer"] = library.stream_stream_rpc_method_handler(
            calls.stream, request_deserializer=known["ModelInferRequest"].FromString, response_serializer=_serialize
        )
        health = {"Check": one(calls.health(), "HealthCheckRequest")}
        health["Watch"] = library.unary_stream_rpc_method_handler(
            calls.watch, request_deserializer=known["HealthCheckRequest"].FromString, response_serializer=_serialize
        )
        return (
            library.method_handlers_generic_handler(SERVICE, handlers),
            library.method_handlers_generic_handler(HEALTH, health),
        )


def _serialize(message: Any) -> bytes:
    content: bytes = message.SerializeToString()
    return content
