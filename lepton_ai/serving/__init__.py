"""Serving a bundle over HTTP."""

from lepton_ai.serving.app import App
from lepton_ai.serving.batcher import Answer, Batcher, DisconnectedError
from lepton_ai.serving.config import ServerConfig
from lepton_ai.serving.events import BatchRan, RequestFinished
from lepton_ai.serving.model import ServedModel
from lepton_ai.serving.server import Server, serve

__all__ = [
    "Answer",
    "App",
    "BatchRan",
    "Batcher",
    "DisconnectedError",
    "RequestFinished",
    "ServedModel",
    "Server",
    "ServerConfig",
    "serve",
]
