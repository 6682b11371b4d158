"""Serving bundles over HTTP and gRPC."""

from lepton_ai.serving.access import Access
from lepton_ai.serving.access_log import show_access_log
from lepton_ai.serving.app import App
from lepton_ai.serving.async_client import AsyncClient
from lepton_ai.serving.batcher import Batcher
from lepton_ai.serving.bench_result import BenchRun
from lepton_ai.serving.benching import Bench, BenchConfig, bench
from lepton_ai.serving.calls import LostError, ModelMetadata, Outputs, ServerFaultError
from lepton_ai.serving.client import Client
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.errors import (
    DisconnectedError,
    ForbiddenError,
    LateError,
    QueueFullError,
    TooManyRequestsError,
    UnauthorizedError,
)
from lepton_ai.serving.events import BatchRan, RequestFinished
from lepton_ai.serving.grpc_front import GrpcFront
from lepton_ai.serving.lifecycle import Front
from lepton_ai.serving.line import Answer
from lepton_ai.serving.model import InferReply, ServedModel
from lepton_ai.serving.repository import Repository
from lepton_ai.serving.security import Security
from lepton_ai.serving.server import Server, serve
from lepton_ai.serving.service import Service
from lepton_ai.serving.target import config_for_target
from lepton_ai.serving.tls import Tls

__all__ = [
    "Access",
    "Answer",
    "App",
    "AsyncClient",
    "BatchRan",
    "Batcher",
    "Bench",
    "BenchConfig",
    "BenchRun",
    "Client",
    "DisconnectedError",
    "ForbiddenError",
    "Front",
    "GrpcFront",
    "InferReply",
    "LateError",
    "LostError",
    "ModelMetadata",
    "Outputs",
    "QueueFullError",
    "Repository",
    "RequestFinished",
    "Security",
    "ServedModel",
    "Server",
    "ServerConfig",
    "ServerFaultError",
    "Service",
    "Tls",
    "TooManyRequestsError",
    "UnauthorizedError",
    "bench",
    "config_for_target",
    "serve",
    "show_access_log",
]
