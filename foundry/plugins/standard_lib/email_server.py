"""The mail server an agent was given, and one mail handed to it: TLS first, then login, every refusal named, no secret told."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from smtplib import SMTP, SMTP_SSL, SMTPException, SMTPResponseException, SMTPServerDisconnected

from foundry.hosts import is_this_machine
from foundry.plugins.api import ToolError, Variables
from foundry.text import one_line

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,45}")
_SECURITIES = ("starttls", "tls", "none")
_TOO_LARGE = (552, 554)
_NAMELESS = "[127.0.0.1]"  # this machine's name is nobody's business, and finding it out asks the network


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed in and how; what is secret of it is shown by no `repr`."""

    host: str
    port: int
    security: str
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds a server may take: for one answer, and for the whole mail."""

    answer: float = 30.0
    whole: float = 180.0


@dataclass(frozen=True, slots=True)
class Handed:
    """What became of a mail: who was refused, each with why."""

    refused: dict[str, str]


def server_of(variables: Variables) -> Server:
    """Return the server that SMTP_HOST and the rest name. Raises ToolError for what is missing or not safe."""
    host = variables.get("SMTP_HOST").strip()
    if not host:
        raise ToolError("No mail server is set. Ask the user: foundry env NAME set SMTP_HOST; foundry env NAME lists the others.")
    if not _HOST.fullmatch(host):
        raise ToolError("SMTP_HOST is no host's name. It is such as mail.example.org, without a scheme or port.")
    given = variables.get("SMTP_PORT").strip()
    if given and not (given.isascii() and given.isdigit() and 0 < int(given[:6]) < 65536):
        raise ToolError("SMTP_PORT is no port: a number from 1 to 65535, such as 587.")
    security = variables.get("SMTP_SECURITY").strip().lower() or ("tls" if given == "465" else "starttls")
    if security not in _SECURITIES:
        raise ToolError(f"SMTP_SECURITY is one of {', '.join(_SECURITIES)}.")
    if security == "none" and not is_this_machine(host):
        raise ToolError(
            "SMTP_SECURITY=none is for a server on this machine only: mail and password would be readable on the way."
        )
    user, password = variables.get("SMTP_USER"), variables.get("SMTP_PASSWORD")
    if bool(user) != bool(password):
        raise ToolError(f"{'SMTP_PASSWORD' if user else 'SMTP_USER'} is not set, but the other of the two is. Set both, or none.")
    if not (user.isascii() and password.isascii()):
        raise ToolError("SMTP_USER or SMTP_PASSWORD has letters that are not ASCII, which mail servers do not agree on.")
    return Server(host, int(given or ("465" if security == "tls" else "587")), security, user, password)


def hand_in(server: Server, sender: str, recipients: tuple[str, ...], raw: bytes, patience: Patience | None = None) -> Handed:
    """Give the mail to the server and return what became of it. Raises ToolError when nobody gets it."""
    said, patience = _Said(server), patience or Patience()
    with _connected(server, said, patience.answer) as smtp, _within(smtp, patience.whole) as late:
        try:
            _log_in(smtp, server)
            return _sent(smtp, sender, recipients, raw, said)
        except (ToolError, SMTPException, OSError, UnicodeError, ValueError) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise ToolError(f"The mail server {server} did not answer in time. {_MAYBE}") from None
            if isinstance(error, ToolError):
                raise
            if isinstance(error, SMTPServerDisconnected):
                raise ToolError(f"The mail server {server} ended the connection. {_MAYBE}") from None
            if isinstance(error, SMTPException):
                raise ToolError(f"The mail server {server} refused: {said.by(error)}. Nothing was sent.") from None
            raise ToolError(f"The connection to the mail server {server} failed: {_kind(error)}. {_MAYBE}") from None


_MAYBE = "The mail was probably not sent; ask the user before sending it again."


class _Said:
    """What a server says, fit to be told: on one line, short, and nothing at all where it repeats a secret."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def by(self, error: SMTPException) -> str:
        if isinstance(error, SMTPResponseException):
            text = error.smtp_error
            return self.answer(error.smtp_code, text if isinstance(text, bytes) else str(text).encode("utf-8", "replace"))
        return type(error).__name__

    def answer(self, code: int, text: bytes) -> str:
        told = one_line(text.decode("utf-8", "replace"), 200)
        return f"{code} {told}" if told and not self._tells(text) else str(code)

    def _tells(self, text: bytes) -> bool:
        user, password = self._server.user.encode(), self._server.password.encode()
        if not password:
            return False
        forms = (password, b64encode(password), b64encode(b"\0" + user + b"\0" + password), password.hex().encode())
        return any(one in text or one.rstrip(b"=") in text for one in forms)


@contextlib.contextmanager
def _connected(server: Server, said: _Said, seconds: float) -> Iterator[SMTP]:
    """Give a connection that is as safe as was asked for; it is closed afterwards, politely where that is possible."""
    smtp: SMTP | None = None
    try:
        if server.security == "tls":
            smtp = SMTP_SSL(server.host, server.port, _NAMELESS, timeout=seconds, context=ssl.create_default_context())
        else:
            smtp = SMTP(server.host, server.port, _NAMELESS, timeout=seconds)
        _secured(smtp, server)
    except ToolError:
        _closed(smtp)
        raise
    except ssl.SSLCertVerificationError as error:
        _closed(smtp)
        raise ToolError(
            f"The certificate of the mail server {server} is not valid: {error.verify_message}. Nothing was sent."
        ) from None
    except (ssl.SSLError, SMTPException, OSError, UnicodeError) as error:
        _closed(smtp)
        told = said.by(error) if isinstance(error, SMTPException) else _kind(error)
        raise ToolError(f"There is no safe connection to the mail server {server}: {told}. Check {_checks(server)}.") from None
    try:
        yield smtp
    finally:
        with contextlib.suppress(SMTPException, OSError, ValueError):
            smtp.quit()
        _closed(smtp)


def _secured(smtp: SMTP, server: Server) -> None:
    """Begin TLS where it did not begin with the connection. Raises ToolError where the server does not offer it."""
    assert smtp.sock
    if server.security == "none" and not is_this_machine(smtp.sock.getpeername()[0]):
        raise ToolError(f"{server.host} is not on this machine, so SMTP_SECURITY=none is not possible. Nothing was sent.")
    smtp.ehlo()
    if server.security == "starttls":
        if not smtp.has_extn("starttls"):
            raise ToolError(
                f"The mail server {server} offers no STARTTLS, so neither login nor mail was sent. "
                "If it begins with TLS at once, set SMTP_SECURITY=tls and its port, usually SMTP_PORT=465."
            )
        code, text = smtp.starttls(context=ssl.create_default_context())
        if code != 220:
            raise SMTPResponseException(code, text)
        smtp.ehlo()


def _log_in(smtp: SMTP, server: Server) -> None:
    if not server.user:
        return
    if not smtp.has_extn("auth"):
        raise ToolError(f"The mail server {server} offers no login here. Nothing was sent. Check {_checks(server)}.")
    offered = smtp.esmtp_features["auth"].upper().split()
    way = next((one for one in ("PLAIN", "LOGIN") if one in offered), "")
    if not way:
        raise ToolError(f"The mail server {server} offers no way to log in that is known here. Nothing was sent.")
    smtp.user, smtp.password = server.user, server.password
    try:  # once: a wrong password tried in every way there is can lock an account
        smtp.auth(way, smtp.auth_plain if way == "PLAIN" else smtp.auth_login)
    except SMTPException as error:  # what it says to that could be what it was told
        code = f" ({error.smtp_code})" if isinstance(error, SMTPResponseException) else ""
        raise ToolError(
            f"The mail server {server} did not accept the login{code}. Nothing was sent. "
            "Check SMTP_USER and SMTP_PASSWORD; some providers want a password made for one app."
        ) from None


def _sent(smtp: SMTP, sender: str, recipients: tuple[str, ...], raw: bytes, said: _Said) -> Handed:
    most = smtp.esmtp_features.get("size", "")
    if most.isdigit() and 0 < int(most) < len(raw):
        raise ToolError(f"The mail has {len(raw):,} bytes and the server takes {int(most):,}. Nothing was sent. Attach less.")
    _expect(smtp.mail(sender, [f"size={len(raw)}"] if smtp.has_extn("size") else []), "the sender SMTP_FROM", said)
    refused: dict[str, str] = {}
    for one in recipients:
        code, text = smtp.rcpt(one)
        if code == 421:
            raise SMTPServerDisconnected
        if code not in (250, 251):
            refused[one] = said.answer(code, text)
    if len(refused) == len(recipients):
        told = "; ".join(f"{one} ({why})" for one, why in refused.items())
        raise ToolError(f"The mail server refused every recipient: {told}. Nothing was sent.")
    code, text = smtp.data(raw)
    if code in _TOO_LARGE:
        told = "too large, or refused for what it says"
        raise ToolError(f"The mail server refused the mail as {told}: {said.answer(code, text)}. Nothing was sent.")
    _expect((code, text), "the mail", said)
    return Handed(refused)


def _expect(answer: tuple[int, bytes], what: str, said: _Said) -> None:
    if answer[0] != 250:
        raise ToolError(f"The mail server refused {what}: {said.answer(*answer)}. Nothing was sent.")


@contextlib.contextmanager
def _within(smtp: SMTP, seconds: float) -> Iterator[threading.Event]:
    """End the connection after so many seconds: a server that says a letter now and then is in time with each of them.

    Gives what tells whether that happened: what was heard last is then half an answer.
    """
    late = threading.Event()

    def end() -> None:
        late.set()
        with contextlib.suppress(OSError, AttributeError):
            smtp.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _closed(smtp: SMTP | None) -> None:
    if smtp:
        with contextlib.suppress(OSError):
            smtp.close()


def _checks(server: Server) -> str:
    return f"SMTP_HOST, SMTP_PORT and SMTP_SECURITY ({server.security})"


def _kind(error: Exception) -> str:
    """Return what kind of error it is; its text only where the system made it."""
    if isinstance(error, socket.gaierror):
        return "its name is not known"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'ended'}"
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else type(error).__name__
