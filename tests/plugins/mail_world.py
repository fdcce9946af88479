"""Mail servers on loopback, as an agent meets them: with and without TLS, with a login, with refusals; and its variables."""

from __future__ import annotations

import socket
import ssl
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

PASSWORD = "hunter2-hunter2"
USER = "scout@example.org"


@dataclass
class Sink:
    """A mail server's memory: the envelopes it took, and what it refuses."""

    taken: list[Envelope] = field(default_factory=list)
    hellos: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    refuses: dict[str, str] = field(default_factory=dict)
    answer: str = "250 OK"
    port: int = 0

    async def handle_EHLO(self, server: Any, session: Session, envelope: Envelope, name: str, answers: list[str]) -> list[str]:
        self.hellos.append(name)
        session.host_name = name
        return answers

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            self.taken.append(envelope)
        return self.answer

    def message(self) -> EmailMessage:
        """The one mail it took."""
        read = BytesParser(policy=policy.default).parsebytes(self.raw())
        assert isinstance(read, EmailMessage)
        return read

    def raw(self) -> bytes:
        """The one mail it took, as it came."""
        (one,) = self.taken
        assert isinstance(one.content, bytes)
        return one.content

    def check(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login.decode(), data.password.decode()))
        return AuthResult(success=(data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)


class _Immediate(Controller):
    """A server that speaks TLS from the first byte, or later, or never."""

    def __init__(self, sink: Sink, **options: Any) -> None:
        self.options = options
        super().__init__(sink, hostname="127.0.0.1", port=0, ssl_context=options.pop("tls_at_once", None))

    def factory(self) -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of logins without TLS, which some tests are about
            return SMTP(self.handler, hostname="sink.example", **self.options)

    def _trigger_server(self) -> None:
        """Connect to the port that the system chose; aiosmtpd itself would to the one that was asked for, which is none."""
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        with socket.create_connection((self.hostname, self.port), 2):
            self._factory_invoked.wait(5)


@contextmanager
def mail_server(sink: Sink, **options: Any) -> Iterator[Sink]:
    """Run a server that fills `sink`; `options` are those of aiosmtpd, and `tls_at_once`."""
    controller = _Immediate(sink, **options)
    controller.start()
    try:
        sink.port = controller.port
        yield sink
    finally:
        controller.stop()


@contextmanager
def talker(*lines: bytes, drip: float = 0) -> Iterator[int]:
    """Run a server that says one of `lines` for each it hears, whatever that is, and give its port; `drip` seconds a letter."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError):
            while True:
                one, _ = listening.accept()
                with one, suppress(OSError):
                    one.settimeout(5)
                    for line in lines:
                        for piece in [bytes([byte]) for byte in line] if drip else [line]:
                            one.sendall(piece)
                            over.wait(drip)
                        one.recv(65536)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        over.set()
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(6)


def certificates(folder: Path, name: str = "localhost") -> tuple[Path, Callable[[], ssl.SSLContext]]:
    """Make an authority and a certificate of it for `name`; return the authority's file and what makes a server's context."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    # Python from 3.13 on wants an authority to say what its key is for, and each certificate to name both keys.
    signs = dict.fromkeys(("key_cert_sign", "crl_sign"), True)
    others = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    usage = x509.KeyUsage(**dict.fromkeys((*others, "encipher_only", "decipher_only"), False), **signs)

    def made(subject: str, issuer: str, key: Any, signer: Any, *, authority: bool) -> Any:
        now = datetime.now(UTC)
        called = [x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, one)]) for one in (subject, issuer)]
        built = x509.CertificateBuilder().subject_name(called[0]).issuer_name(called[1]).public_key(key.public_key())
        built = built.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
        built = built.not_valid_after(now + timedelta(days=2))
        built = built.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if authority:
            built = built.add_extension(usage, critical=True)
        else:
            built = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            known_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
            built = built.add_extension(known_by, critical=False)
        built = built.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        return built.sign(signer, hashes.SHA256())

    def pem(one: Any) -> bytes:
        return bytes(one.public_bytes(serialization.Encoding.PEM))

    ours, theirs = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority = folder / "authority.pem"
    authority.write_bytes(pem(made("Tests", "Tests", ours, ours, authority=True)))
    chain = folder / f"{name}.pem"
    private = theirs.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    chain.write_bytes(private + pem(made(name, "Tests", theirs, ours, authority=False)))

    def context() -> ssl.SSLContext:
        found = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        found.load_cert_chain(chain)
        return found

    return authority, context
