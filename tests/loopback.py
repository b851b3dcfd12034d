"""A server on 127.0.0.1 as the stand-ins need one: it can reset a connection, and leaves none behind."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

RST = struct.pack("ii", 1, 0)  # of SO_LINGER: closing a connection resets it


class _Listener(ThreadingHTTPServer):
    """Remembers its connections, so that closing it ends those that a client keeps open."""

    daemon_threads = False  # closing waits for every answer that is being given
    request_queue_size = 128

    def __init__(self, *arguments: Any) -> None:
        self.connections: set[socket.socket] = set()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        with contextlib.suppress(OSError):
            if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, len(RST)) == RST:
                return self.close_request(request)  # without the FIN that a shutdown sends
        return super().shutdown_request(request)


class Server:
    """The server on a free port of 127.0.0.1, in threads of its own. Its handlers have the attributes `bound`."""

    def __init__(self, handler: type[QuietHandler], **bound: object) -> None:
        self._http = _Listener(("127.0.0.1", 0), type("BoundHandler", (handler,), bound))
        self.port = int(self._http.server_address[1])
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        for connection in list(self._http.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._http.server_close()


class QuietHandler(BaseHTTPRequestHandler):
    """Keeps connections open, and says nothing of those that a client drops."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 65_536

    def finish(self) -> None:
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def reset(self) -> None:
        """The end of the connection, with an RST as soon as the request is done with."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)

    def hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
