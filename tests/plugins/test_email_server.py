"""Mail servers of every kind, real ones on loopback: TLS and its absence, logins, refusals, silence; and no secret told."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.email import Email
from foundry.plugins.standard_lib.email_server import Patience, Server, hand_in, server_of

from .given import Given
from .mail_world import PASSWORD, USER, Sink, certificates, mail_server, talker

SECRETS = (PASSWORD, base64.b64encode(PASSWORD.encode()).decode().rstrip("="), USER + "\0")
LOGIN = {"SMTP_USER": USER, "SMTP_PASSWORD": PASSWORD}


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], ssl.SSLContext]:
    """Certificates for localhost whose authority this machine trusts for the time of a test."""
    (tmp_path / "tls").mkdir()
    authority, context = certificates(tmp_path / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    return context


def send(folder: Path, port: int, **variables: str) -> str:
    given = {"SMTP_HOST": "localhost", "SMTP_PORT": str(port), "SMTP_FROM": "scout@example.org", **variables}
    mail = Email(ToolContext(folder, variables=Given(**given)))
    return mail.send("ann@example.org, bob@example.org", "Hello", "Good day.").do()


def refused(folder: Path, port: int, **variables: str) -> str:
    with pytest.raises(ToolError) as caught:
        send(folder, port, **variables)
    for secret in SECRETS:
        assert secret not in str(caught.value)
        assert secret not in repr(caught.value.__context__)
    return str(caught.value)


def with_login(sink: Sink, **more: Any) -> dict[str, Any]:
    return {"authenticator": sink.check, "auth_required": True, "auth_require_tls": True, **more}


@pytest.mark.parametrize("security", ["starttls", ""])
def test_starttls_comes_before_the_login(tmp_path: Path, tls: Callable[[], ssl.SSLContext], security: str) -> None:
    sink = Sink()
    with mail_server(sink, **with_login(sink, tls_context=tls(), require_starttls=True)):
        assert send(tmp_path, sink.port, SMTP_SECURITY=security, **LOGIN) == "Sent 'Hello' to ann@example.org, bob@example.org."
    assert sink.logins == [(USER, PASSWORD)]
    assert len(sink.taken) == 1


def test_tls_from_the_first_byte(tmp_path: Path, tls: Callable[[], ssl.SSLContext]) -> None:
    sink = Sink()
    with mail_server(sink, **with_login(sink, tls_at_once=tls(), auth_require_tls=False)):
        assert send(tmp_path, sink.port, SMTP_SECURITY="tls", **LOGIN).startswith("Sent")
    assert sink.logins == [(USER, PASSWORD)]


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path, security: str) -> None:
    _, context = certificates(tmp_path)
    sink = Sink()
    options = {"tls_at_once": context()} if security == "tls" else {"tls_context": context()}
    with mail_server(sink, **with_login(sink, **options)):
        said = refused(tmp_path, sink.port, SMTP_SECURITY=security, **LOGIN)
    assert "certificate" in said
    assert "Nothing was sent" in said
    assert sink.logins == []
    assert sink.taken == []


def test_a_certificate_for_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, context = certificates(tmp_path, "mail.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    sink = Sink()
    with mail_server(sink, **with_login(sink, tls_context=context())):
        assert "not valid for 'localhost'" in refused(tmp_path, sink.port, **LOGIN)
    assert sink.logins == []


def test_without_starttls_there_is_neither_login_nor_mail(tmp_path: Path) -> None:
    sink = Sink()
    with mail_server(sink, **with_login(sink, auth_require_tls=False)):
        assert "offers no STARTTLS" in refused(tmp_path, sink.port, **LOGIN)
    assert sink.logins == []
    assert sink.taken == []


def test_a_wrong_password_is_said_without_it(tmp_path: Path, tls: Callable[[], ssl.SSLContext]) -> None:
    sink = Sink()
    with mail_server(sink, **with_login(sink, tls_context=tls())):
        said = refused(tmp_path, sink.port, SMTP_USER=USER, SMTP_PASSWORD="wrong-wrong-wrong")
    assert "did not accept the login (535)" in said
    assert "wrong-wrong" not in said
    assert sink.taken == []


def test_a_server_that_repeats_what_it_was_told_is_not_quoted(tmp_path: Path) -> None:
    token = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode())
    for echo in (token, PASSWORD.encode(), base64.b64encode(PASSWORD.encode())):
        answers = [b"220 hi\r\n", b"250-hi\r\n250 AUTH PLAIN\r\n", b"235 ok\r\n", b"250 ok\r\n", b"550 " + echo + b"\r\n"]
        with talker(*answers, b"550 " + echo + b"\r\n", b"250 ok\r\n") as port:
            said = refused(tmp_path, port, SMTP_SECURITY="none", **LOGIN)
        assert "refused every recipient: ann@example.org (550); bob@example.org (550)" in said
        assert echo.decode() not in said


def test_recipients_that_are_refused_are_named(tmp_path: Path) -> None:
    sink = Sink(refuses={"bob@example.org": "550 no such user\x1b[2J here"})
    with mail_server(sink):
        said = send(tmp_path, sink.port, SMTP_SECURITY="none")
    assert said == "Sent 'Hello' to ann@example.org.\nNot to bob@example.org, whom the server refused: 550 no such user^[[2J here"
    assert sink.taken[0].rcpt_tos == ["ann@example.org"]


def test_when_everybody_is_refused_nothing_is_sent(tmp_path: Path) -> None:
    sink = Sink(refuses={one: "550 no such user" for one in ("ann@example.org", "bob@example.org")})
    with mail_server(sink):
        assert "refused every recipient" in refused(tmp_path, sink.port, SMTP_SECURITY="none")
    assert sink.taken == []


def test_a_mail_that_is_too_large_is_said_to_be(tmp_path: Path) -> None:
    sink = Sink()
    with mail_server(sink, data_size_limit=200):
        assert "the server takes 200. Nothing was sent" in refused(tmp_path, sink.port, SMTP_SECURITY="none")
    sink.answer = "552 too much"
    with mail_server(sink):
        assert "too large" in refused(tmp_path, sink.port, SMTP_SECURITY="none")
    assert sink.taken == []


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([b"554 go away\r\n"], "no safe connection"),
        ([b"220 hi\r\n", b"500 what\r\n", b"500 what\r\n"], "offers no STARTTLS"),
        ([b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"454 not now\r\n"], "no safe connection"),
        ([b"220 hi\r\n", b"250-hi\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n"], "no safe connection"),
        ([b"\xff\xfe\x00" * 5000], "no safe connection"),
        ([b"220 " + b"x" * 200_000 + b"\r\n"], "no safe connection"),
    ],
)
def test_servers_that_are_none(tmp_path: Path, answers: list[bytes], said: str) -> None:
    with talker(*answers) as port:
        assert said in refused(tmp_path, port, **LOGIN)


def test_nobody_listening_and_nobody_known(tmp_path: Path) -> None:
    with talker() as port:
        pass
    assert "no safe connection" in refused(tmp_path, port)
    assert "its name is not known" in refused(tmp_path, 25, SMTP_HOST="nowhere.invalid")


def test_a_server_that_never_ends_its_answer_is_left() -> None:
    patience = Patience(answer=2.0, whole=1.0)
    began = time.monotonic()
    with (
        talker(b"220 hi\r\n", b"250 hi\r\n", b"2" * 1000, drip=0.01) as port,
        pytest.raises(ToolError, match=r"not answer in time.*probably not sent"),
    ):
        hand_in(Server("127.0.0.1", port, "none"), "s@example.org", ("a@example.org",), b"x\r\n", patience)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "SMTP_HOST"),
        ({"SMTP_HOST": "https://mail.example.org"}, "no host's name"),
        ({"SMTP_HOST": "a.org\r\nx"}, "no host's name"),
        ({"SMTP_HOST": "a.org", "SMTP_PORT": "99999"}, "no port"),
        ({"SMTP_HOST": "a.org", "SMTP_PORT": "٣"}, "no port"),
        ({"SMTP_HOST": "a.org", "SMTP_SECURITY": "ssl"}, "one of starttls"),
        ({"SMTP_HOST": "mail.example.org", "SMTP_SECURITY": "none"}, "on this machine only"),
        ({"SMTP_HOST": "localhost.example.org", "SMTP_SECURITY": "none"}, "on this machine only"),
        ({"SMTP_HOST": "a.org", "SMTP_USER": "me"}, "SMTP_PASSWORD is not set"),
        ({"SMTP_HOST": "a.org", "SMTP_PASSWORD": PASSWORD}, "SMTP_USER is not set"),
        ({"SMTP_HOST": "a.org", "SMTP_USER": "me", "SMTP_PASSWORD": "pä" + PASSWORD}, "not ASCII"),
    ],
)
def test_a_server_that_is_not_rightly_set_is_told_before_anybody_is_asked(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ToolError, match=said) as caught:
        server_of(Given(**variables))
    assert PASSWORD not in str(caught.value)


def test_the_port_and_tls_go_together() -> None:
    def found(**more: str) -> tuple[int, str]:
        one = server_of(Given(SMTP_HOST="mail.example.org", **LOGIN, **more))
        assert PASSWORD not in repr(one) + str(one)
        return one.port, one.security

    assert found() == (587, "starttls")
    assert found(SMTP_PORT="465") == (465, "tls")
    assert found(SMTP_SECURITY="tls") == (465, "tls")
    assert found(SMTP_PORT="2525") == (2525, "starttls")
    assert found(SMTP_PORT="25", SMTP_SECURITY="TLS") == (25, "tls")
