"""The end of a listening socket: whom the kernel has connected is not cut off."""

import ctypes
import socket
import struct
import sys

_SO_ATTACH_FILTER = 26  # of Linux
# In the kernel's classic packet filter (code, jump if true, jump if false, operand), on what begins with TCP's header:
_REFUSE_NEW = (
    (0x30, 0, 0, 13),  # the byte of the flags
    (0x54, 0, 0, 0x12),  # of them SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone: somebody wants to connect
    (0x06, 0, 0, 0),  # is not heard
    (0x06, 0, 0, 0xFFFFFFFF),  # everything else is
)


def connect_no_more(listening: socket.socket) -> None:
    """Let the kernel make no further connections for `listening`, in all processes that share it; those that are made,
    or half made, can still be accepted. Whoever tries meanwhile tries again, and is refused once the socket is closed.

    Without it a connection that comes between the last `accept` and `close` is reset, with the request in it. Elsewhere
    than on Linux nothing is done.
    """
    if sys.platform != "linux":
        return
    content = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in _REFUSE_NEW))
    program = struct.pack("@HP", len(_REFUSE_NEW), ctypes.addressof(content))
    listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
