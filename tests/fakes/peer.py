"""An HTTP server that misbehaves: it answers any bytes, in pieces, too late, or not at all."""

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@dataclass(frozen=True)
class Asked:
    """A request as it came. `line` numbers the connections of the server from 0."""

    line: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    names: tuple[str, ...] = ()
    """How often each header came."""

    @property
    def connection_id(self) -> str:
        return unquote(self.path.rpartition("/")[2])


class HangUp(Exception):
    """Close the connection without another byte."""


class Reset(HangUp):
    """Break the connection with a TCP reset."""


Answer = Callable[[Asked], Sequence[bytes]]
"""Returns the pieces of an answer. It may wait, or raise HangUp."""


def answer(status: int, body: bytes = b"", *fields: str) -> Answer:
    """An answer with a Content-Length."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *fields]
    whole = "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    return lambda _: [whole]


def pieces(*parts: bytes) -> Answer:
    """An answer of these bytes, sent one after the other."""
    return lambda _: parts


def then_hang_up(*parts: bytes) -> Answer:
    """These bytes, and then the end of the connection."""

    def sent(_: Asked) -> Sequence[bytes]:
        return [*parts, b""]

    return sent


def hang_up(_: Asked) -> Sequence[bytes]:
    raise HangUp


def reset(_: Asked) -> Sequence[bytes]:
    raise Reset


class Peer:
    """A running server. `answers` has the answers for a connection id, the last one for ever; other ids get 200."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.asked: list[Asked] = []
        self.answers: dict[str, list[Answer]] = {}
        self.resumed: list[bool] = []
        """For each TLS handshake, whether it resumed a session."""
        self.lines = 0
        """How many connections there were."""
        self._ended = threading.Event()
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def tries(self, connection_id: str) -> int:
        """How many requests came for a connection id."""
        return sum(it.connection_id == connection_id for it in list(self.asked))

    def hang(self, _: Asked) -> Sequence[bytes]:
        """Never answers."""
        self._ended.wait(60)
        raise HangUp

    def hang_up_all(self) -> None:
        """Closes every connection, as a server does with idle ones."""
        while self._open:
            with suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Ends everything that hangs, and stops listening."""
        self._ended.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up_all()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                accepted, _ = self._listener.accept()
                self.lines += 1
                threading.Thread(target=self._serve, args=(accepted, self.lines - 1), daemon=True).start()

    def _serve(self, stream: socket.socket, line: int) -> None:
        with suppress(OSError, UnicodeDecodeError), stream:
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                stream = self._tls.wrap_socket(stream, server_side=True)
                self.resumed.append(bool(stream.session_reused))
            self._open.append(stream)
            with stream, stream.makefile("rb") as reader:
                try:
                    while (asked := _read(reader, line)) is not None:
                        self._answer(stream, asked)
                except Reset:
                    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except HangUp:
                    with suppress(OSError):
                        stream.shutdown(socket.SHUT_RDWR)

    def _answer(self, stream: socket.socket, asked: Asked) -> None:
        self.asked.append(asked)
        script = self.answers.get(asked.connection_id, [answer(200)])
        parts = (script.pop(0) if len(script) > 1 else script[0])(asked)
        for number, part in enumerate(parts):
            if number:
                self._ended.wait(0.01)  # so that the pieces arrive one by one
            if not part:
                raise HangUp
            stream.sendall(part)


def _read(reader: BinaryIO, line: int) -> Asked | None:
    start = reader.readline().decode().split()
    if not start:
        return None
    headers: dict[str, str] = {}
    names: list[str] = []
    while text := reader.readline().decode().strip():
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
        names.append(name.lower())
    body = reader.read(int(headers.get("content-length", 0)))
    return Asked(line, start[0], start[1], headers, body, tuple(names))


@contextmanager
def peer(tls: ssl.SSLContext | None = None) -> Generator[Peer]:
    """Runs a server on a free port of the loopback."""
    running = Peer(tls)
    try:
        yield running
    finally:
        running.stop()


@cache
def certificate(name: str) -> tuple[bytes, bytes]:
    """A self-signed certificate for `name`, and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form = serialization.PrivateFormat.PKCS8
    return (
        made.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()),
    )


def server_tls(name: str = "localhost") -> ssl.SSLContext:
    """What a server needs to show the certificate for `name`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with TemporaryDirectory() as folder:
        paths = [Path(folder, "certificate.pem"), Path(folder, "key.pem")]
        for path, content in zip(paths, certificate(name), strict=True):
            path.write_bytes(content)
        context.load_cert_chain(*paths)
    return context


def client_tls(name: str = "localhost") -> ssl.SSLContext:
    """What a client needs to trust the certificate for `name`."""
    return ssl.create_default_context(cadata=certificate(name)[0].decode())
