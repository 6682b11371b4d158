"""A port that closes: nobody who is connected is cut off, nobody else gets in."""

import contextlib
import socket
import sys

import pytest

from lepton_ai.serving.listening import connect_no_more


@pytest.mark.skipif(sys.platform != "linux", reason="Linux' packet filter")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_is_connected_is_heard_and_nobody_else_gets_in(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        try:
            listening = stack.enter_context(socket.create_server((host, 0), family=family))
        except OSError:
            pytest.skip(f"no {host} here")
        address = listening.getsockname()[:2]
        first = stack.enter_context(socket.create_connection(address, timeout=10))
        with listening.dup() as other:  # as another process has it
            connect_no_more(other)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        first.sendall(b"a request")
        accepted = stack.enter_context(listening.accept()[0])
        assert accepted.recv(100) == b"a request"
        accepted.sendall(b"an answer")
        assert first.recv(100) == b"an answer"
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            listening.accept()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=10)
