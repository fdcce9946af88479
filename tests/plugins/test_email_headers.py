"""Nothing that a model gives gets into a mail but where it belongs: line ends, unseen letters and odd addresses are refused."""

from __future__ import annotations

import re
from email import policy
from email.header import decode_header, make_header
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.email import Email
from foundry.plugins.standard_lib.email_addresses import Address, addresses, header_text, one_address
from foundry.plugins.standard_lib.email_message import Attachment, Letter, as_bytes
from foundry.text import visible

from .given import Given
from .mail_world import Sink, mail_server

BREAKS = [
    "\r\n",
    "\n",
    "\r",
    "\r\n\r\n",
    "\n ",
    "\r\n\t",
    "\x00",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1d",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
]
UNSEEN = ["\u202e", "\u200b", "\u2066", "\ufeff", "\x1b[2J", "\x7f", "\u00ad", "\x08"]
PLACES = ["to", "cc", "bcc", "reply_to", "subject", "to_name", "cc_name", "file", "eml", "SMTP_FROM", "from_name", "template"]


def arguments(place: str, evil: str, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Return a call whose one place holds `evil`, and the variables that it is made with."""
    wanted: dict[str, Any] = {"to": "ann@example.org", "subject": "Hello", "body": "text"}
    variables = {"SMTP_FROM": "scout@example.org"}
    if place in ("to", "cc", "bcc", "reply_to"):
        wanted[place] = f"ann@example.org{evil}"
    elif place == "subject":
        wanted["subject"] = f"Hello{evil}"
    elif place.endswith("_name") and place != "from_name":
        wanted[place.removesuffix("_name")] = f'"Ann{evil}" <ann@example.org>'
    elif place in ("SMTP_FROM", "from_name"):
        variables["SMTP_FROM"] = f"s@example.org{evil}" if place == "SMTP_FROM" else f"S{evil} <s@example.org>"
    elif place in ("file", "template"):
        name = f"a{evil}.txt"
        if "\0" not in evil:
            (folder / name).write_text("text")
        wanted |= {"attachments": [name]} if place == "file" else {"template": name, "body": ""}
    return wanted, variables


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("evil", [*BREAKS, *UNSEEN], ids=ascii)
def test_no_line_end_and_nothing_unseen_gets_into_any_header(tmp_path: Path, place: str, evil: str) -> None:
    wanted, variables = arguments(place, f"{evil}Bcc: evil@example.com", tmp_path)
    with mail_server(Sink()) as sink:
        variables |= {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(sink.port), "SMTP_SECURITY": "none"}
        mail = Email(ToolContext(tmp_path, variables=Given(**variables)))
        with pytest.raises(ToolError):
            (mail.save(f"a{evil}.eml", **wanted) if place == "eml" else mail.send(**wanted)).do()
        assert sink.taken == []
    assert not list(tmp_path.glob("*.eml"))


def test_line_ends_in_the_text_stay_in_the_text(tmp_path: Path) -> None:
    mail = Email(ToolContext(tmp_path, variables=Given(SMTP_FROM="scout@example.org")))
    body = "one\r\n.\r\nBcc: evil@example.com\r\rSubject: other\n\nMAIL FROM:<x@y>\r\n\x85\u2028end"
    mail.save("a.eml", "ann@example.org", "Hello", body).do()

    raw = (tmp_path / "a.eml").read_bytes()
    read = BytesParser(policy=policy.default).parsebytes(raw)
    assert sorted(read.keys()) == sorted(
        ["From", "To", "Subject", "Date", "Message-ID", "Content-Type", "Content-Transfer-Encoding", "MIME-Version"]
    )
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", raw)


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=120)


@settings(deadline=None, max_examples=300)
@given(subject=WORDS, name=WORDS, file=WORDS)
def test_whatever_is_taken_reads_back_as_it_was_given(subject: str, name: str, file: str) -> None:
    try:
        subject = header_text(subject, "subject", 300)
        to = one_address(f'"{name}" <ann@example.org>', "to")
        file = header_text(file, "file").replace("/", "") + ".bin"
        letter = Letter(Address("s@example.org"), (to,), subject, "x", attachments=(Attachment(Path("a"), file, b"\x00"),))
        raw = as_bytes(letter)
    except ToolError:
        return
    head, _, _ = raw.partition(b"\r\n\r\n")
    assert head.isascii()
    fields = [line.split(b":")[0] for line in re.sub(rb"\r\n[ \t]", b" ", head).split(b"\r\n")]
    assert fields == [b"From", b"To", b"Subject", b"Date", b"Message-ID", b"MIME-Version", b"Content-Type"]
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    plain = BytesParser(policy=policy.compat32).parsebytes(raw)
    assert str(make_header(decode_header(plain["Subject"].replace("\r\n", "")))) == subject
    assert [one.get_filename() is not None for one in plain.walk()] == [False, False, True]


@settings(deadline=None, max_examples=500)
@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('@<>",;:()\\. \r\n'), max_size=60))
def test_any_text_is_refused_or_is_plain_addresses(text: str) -> None:
    try:
        found = addresses(text, "to")
    except ToolError:
        return
    for one in found:
        assert re.fullmatch(r"[!-?A-~]{1,64}@[a-z0-9.-]+", one.mailbox)
        assert not set(one.mailbox) & set('<>",;:()\\ ')
        assert visible(one.name) == one.name
        assert "@" not in one.name


@pytest.mark.parametrize(
    "given_text",
    [
        *("ann", "@example.org", "ann@", "a@b@c.org", "ann@-x.org", "ann@x..org", ".ann@x.org", "ann.@x.org", "a..n@x.org"),
        *("ann@[127.0.0.1]", '"a b"@x.org', "ann(comment)@x.org", "Friends: a@x.org, b@x.org;", "a@x.org; b@x.org"),
        *("<a@x.org", "a@x.org>", "<<a@x.org>>", "A <a@x.org> B", "a@x.org b@x.org", "a@x.org,,b@x.org", ",a@x.org", "a@x.org,"),
        *("boss@bank.org <evil@x.org>", '"boss@bank.org" <evil@x.org>', "a@x.org <b@x.org>", "ann@1.2.3.4", "a@" + "x" * 64),
        *(f"{'x' * 65}@x.org", "änn@x.org", "ann@straße.de", "ann@x\uff0eorg", "ann@\u200dx.org", "ann@EXAMPLE\u3002org"),
        *('"a <a@x.org>', "a\\@b@x.org", "ann@x_y.org", "ann@ex ample.org", "a @x.org", "ann%0abcc:x@y.org@z.org"),
    ],
)
def test_what_is_not_plainly_an_address_is_refused(given_text: str) -> None:
    with pytest.raises(ToolError):
        addresses(given_text, "to")


@pytest.mark.parametrize(
    ("given_text", "found"),
    [
        ("a@b.org", [("a@b.org", "")]),
        (" a@B.ORG , <c+tag@d.org> ", [("a@b.org", ""), ("c+tag@d.org", "")]),
        ('"Doe, John" <j@x.org>, Ann Müller <a@x.org>', [("j@x.org", "Doe, John"), ("a@x.org", "Ann Müller")]),
        ("ann@münchen.de", [("ann@xn--mnchen-3ya.de", "")]),
        ("root@localhost", [("root@localhost", "")]),
        ("a@b.org, A <a@b.org>", [("a@b.org", "")]),
        ("", []),
    ],
)
def test_addresses_as_people_write_them(given_text: str, found: list[tuple[str, str]]) -> None:
    assert [(one.mailbox, one.name) for one in addresses(given_text, "to")] == found


@pytest.mark.parametrize(
    "subject",
    [
        "Überschrift " * 20,
        "会议纪要" * 40,
        "🎉 Party 👩\u200d💻 " * 8,
        "=?utf-8?q?hi?= there",
        "a  b   c " + "x" * 200,
        "y" * 299,
    ],
)
@pytest.mark.parametrize("name", ["Jürgen von der Heide und zu Österreich-Ungarn der Zweite", "张伟" * 20, "O'Brien (x)", ""])
def test_long_and_foreign_headers_read_back(subject: str, name: str) -> None:
    everybody = tuple(Address(f"p{number}@example.org", name) for number in range(20))
    raw = as_bytes(Letter(Address("s@example.org", name), everybody, subject.strip(), "x"))
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
