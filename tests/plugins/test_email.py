"""Mail as a model sends it and a person sees it: planned, shown with everybody who gets it, then handed to a real server."""

from __future__ import annotations

import hashlib
import re
import socket
from collections.abc import Iterator
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any

import pytest

from foundry.plugins.api import Changed, Plan, ToolContext, ToolError
from foundry.plugins.standard_lib.email import Email

from .given import Given
from .mail_world import Sink, mail_server


@pytest.fixture
def sink() -> Iterator[Sink]:
    with mail_server(Sink()) as one:
        yield one


def mail(folder: Path, sink: Sink, **more: str) -> Email:
    given = {
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(sink.port),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "Scout <scout@example.org>",
    }
    return Email(ToolContext(folder, variables=Given(**{**given, **more})))


def send(one: Email, **arguments: Any) -> Plan:
    return one.send(**{"to": "ann@example.org", "subject": "Hello", "body": "Good day.\n", **arguments})


def text_of(message: Message) -> str:
    assert isinstance(message, EmailMessage)
    return str(message.get_content()).replace("\r\n", "\n")


def test_a_mail_arrives_as_it_was_shown(tmp_path: Path, sink: Sink) -> None:
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.7 \xff\x00")

    plan = send(
        mail(tmp_path, sink),
        to="Ann Müller <ann@example.org>, bob@example.org",
        cc='"Doe, John" <john@example.net>',
        bcc="boss@example.com",
        reply_to="desk@example.org",
        subject="Größe: 5 µm",
        body="Grüße\nfrom here\n.\nafter a dot\n",
        attachments=["report.pdf"],
    )

    assert sink.taken == []
    shown = plan.preview
    assert shown.recipients == ("ann@example.org", "bob@example.org", "john@example.net", "boss@example.com")
    assert shown.hosts == (f"127.0.0.1:{sink.port}",)
    assert shown.scope == ""
    assert shown.paths == (tmp_path / "report.pdf",)
    assert hashlib.sha256(b"%PDF-1.7 \xff\x00").hexdigest()[:16] in shown.summary
    assert "bcc boss@example.com" in shown.summary

    assert plan.do() == "Sent 'Größe: 5 µm' to ann@example.org, bob@example.org, john@example.net, boss@example.com."

    (envelope,) = sink.taken
    assert envelope.rcpt_tos == list(shown.recipients)
    assert envelope.mail_from == "scout@example.org"
    read = sink.message()
    assert read["Subject"] == "Größe: 5 µm"
    assert read["From"] == "Scout <scout@example.org>"
    assert [(one.display_name, one.addr_spec) for one in read["To"].addresses] == [
        ("Ann Müller", "ann@example.org"),
        ("", "bob@example.org"),
    ]
    assert [one.display_name for one in read["Cc"].addresses] == ["Doe, John"]
    assert read["Reply-To"] == "desk@example.org"
    assert read["Bcc"] is None
    assert b"boss" not in sink.raw()
    body = read.get_body()
    assert body is not None
    assert text_of(body) == "Grüße\nfrom here\n.\nafter a dot\n"
    (file,) = read.iter_attachments()
    assert (file.get_filename(), file.get_content_type()) == ("report.pdf", "application/pdf")
    assert file.get_content() == b"%PDF-1.7 \xff\x00"


def test_a_mail_says_nothing_of_this_machine(tmp_path: Path, sink: Sink) -> None:
    send(mail(tmp_path, sink)).do()

    raw = sink.raw().decode()
    assert re.search(r"^Message-ID: <[0-9a-f]{32}@example\.org>\r$", raw, re.MULTILINE)
    assert re.search(r"^Date: .* \+0000\r$", raw, re.MULTILINE)
    assert sink.hellos == ["[127.0.0.1]"]
    for name in {socket.gethostname(), socket.getfqdn()} - {"localhost"}:
        assert name not in raw


def test_a_file_kept_is_what_would_be_sent_and_nothing_is(tmp_path: Path, sink: Sink) -> None:
    one = mail(tmp_path, sink)

    plan = one.save("drafts/a.eml", "ann@example.org", "Hello", "Good day.", bcc="boss@example.com")

    assert not (tmp_path / "drafts").exists()
    (change,) = plan.preview.changes
    assert (change.path, change.before) == (tmp_path / "drafts" / "a.eml", None)
    assert plan.preview.recipients == plan.preview.hosts == ()
    said = plan.do()
    assert "nothing was sent" in said
    assert "boss@example.com" in said
    assert (tmp_path / "drafts" / "a.eml").read_bytes() == change.after
    assert sink.taken == []

    send(one, body="Good day.").do()
    own = re.compile(rb"^(Date|Message-ID): .*\r\n", re.MULTILINE)
    assert own.sub(b"", change.after or b"") == own.sub(b"", sink.raw())


@pytest.mark.parametrize(
    ("path", "said"), [("a.txt", "does not end with .eml"), ("../a.eml", "outside"), ("there.eml", "already")]
)
def test_a_file_is_new_inside_the_folder_and_called_so(tmp_path: Path, sink: Sink, path: str, said: str) -> None:
    (tmp_path / "there.eml").write_text("x")
    with pytest.raises(ToolError, match=said):
        mail(tmp_path, sink).save(path, "ann@example.org", "Hello", "text")


def test_a_file_that_stands_there_by_now_is_not_replaced(tmp_path: Path, sink: Sink) -> None:
    plan = mail(tmp_path, sink).save("a.eml", "ann@example.org", "Hello", "text")
    (tmp_path / "a.eml").write_text("mine")
    with pytest.raises(Changed):
        plan.do()
    assert (tmp_path / "a.eml").read_text() == "mine"


# templates ------------------------------------------------------------------------------------------------------------------


def test_a_template_is_filled_and_shown(tmp_path: Path, sink: Sink) -> None:
    (tmp_path / "hello.md").write_text("# Hello $name\n\nYou owe ${sum} $$.\n")

    plan = send(mail(tmp_path, sink), body="", template="hello.md", values={"name": "Änne", "sum": "5"})

    assert "# Hello Änne\n\nYou owe 5 $." in plan.preview.summary
    plan.do()
    assert text_of(sink.message()) == "# Hello Änne\n\nYou owe 5 $.\n"


@pytest.mark.parametrize(
    ("text", "values", "said"),
    [
        ("Hello $name $other", {"name": "A"}, "needs a value for: other"),
        ("Hello", {"nmae": "A"}, "no place for: nmae"),
        ("one\ncosts $5", {}, "line 2: a \\$ that begins no"),
        ("$name", {"name": "a", "x": "b"}, "Its placeholders are: name"),
    ],
)
def test_a_template_with_a_gap_is_refused(tmp_path: Path, sink: Sink, text: str, values: dict[str, str], said: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(ToolError, match=said):
        send(mail(tmp_path, sink), body="", template="t.txt", values=values)


def test_a_value_is_text_and_never_a_placeholder_again(tmp_path: Path, sink: Sink) -> None:
    (tmp_path / "t.txt").write_text("$a")
    plan = send(mail(tmp_path, sink), body="", template="t.txt", values={"a": "$b {a.__class__} %s"})
    plan.do()
    assert text_of(sink.message()) == "$b {a.__class__} %s\n"


# files ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["attachment", "template"])
@pytest.mark.parametrize("how", ["changed", "gone", "link"])
def test_what_changed_since_it_was_shown_is_not_sent(tmp_path: Path, sink: Sink, what: str, how: str) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (tmp_path / "secret").write_text("inside")
    file = folder / "a.txt"
    file.write_text("inside")
    named = {"attachments": ["a.txt"]} if what == "attachment" else {"body": "", "template": "a.txt"}
    plan = send(mail(folder, sink), **named)
    file.unlink()
    if how == "changed":
        file.write_text("insidE")
    elif how == "link":
        file.symlink_to(tmp_path / "secret")

    with pytest.raises(Changed, match=r"a\.txt is not what it was"):
        plan.do()
    assert sink.taken == []


def test_files_that_may_not_be_read_are_not_attached(tmp_path: Path, sink: Sink) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / ".env").write_text("KEY=1")
    (folder / "hard").hardlink_to(folder / ".env")
    (folder / "out").symlink_to(tmp_path)
    (tmp_path / "secret").write_text("x")
    for path in (".env", "hard", "out/secret", "../secret", "none", "."):
        with pytest.raises(ToolError):
            send(mail(folder, sink), attachments=[path])


def test_too_much_is_refused_before_anybody_is_asked(tmp_path: Path, sink: Sink) -> None:
    (tmp_path / "big").write_bytes(b"x" * (16 * 1024 * 1024))
    one = mail(tmp_path, sink)
    many = ", ".join(f"p{number}@example.org" for number in range(21))
    for arguments, said in (
        ({"attachments": ["big"]}, "too large"),
        ({"to": many}, "21 recipients are too many"),
        ({"to": "a@b.org", "cc": many}, "22 recipients"),
        ({"body": "x" * 500_001}, "500,000"),
        ({"subject": "x" * 301}, "300"),
        ({"attachments": ["big"] * 21}, "21 files"),
        ({"to": ""}, "goes to somebody"),
        ({"subject": " "}, "subject is empty"),
        ({"body": ""}, "either body"),
        ({"body": "x", "template": "t"}, "either body"),
    ):
        with pytest.raises(ToolError, match=said):
            send(one, **arguments)
