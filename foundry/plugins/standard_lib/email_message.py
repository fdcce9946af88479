"""One mail as bytes: made from checked parts, read back, and refused where it would say anything else than was asked."""

from __future__ import annotations

import hashlib
import re
import uuid
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email import policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import format_datetime, getaddresses
from mimetypes import MimeTypes
from pathlib import Path
from string import Template

from foundry.plugins.api import ToolError
from foundry.plugins.standard_lib.email_addresses import Address

LARGEST = 20 * 1024 * 1024
_UNKNOWN = "application/octet-stream"
_OF_THE_BODY = ("MIME-Version", "Content-Type", "Content-Transfer-Encoding")
_LONGEST_PLAIN, _BYTES_OF_A_WORD = 64, 39  # so that no line with an encoded word is longer than 76
Value = str | tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of the working folder as it was when the mail was made."""

    path: Path
    name: str
    raw: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


@dataclass(frozen=True, slots=True)
class Letter:
    """What a mail says and to whom; `bcc` gets it and stands in no header."""

    sender: Address
    to: tuple[Address, ...]
    subject: str
    body: str
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    attachments: tuple[Attachment, ...] = ()

    @property
    def recipients(self) -> tuple[str, ...]:
        """Every mailbox that gets it, each once."""
        return tuple(dict.fromkeys(one.mailbox for one in (*self.to, *self.cc, *self.bcc)))


def as_bytes(letter: Letter) -> bytes:
    """Return the mail as it goes over the wire, its lines ending in CRLF. Raises ToolError for one too large or not as asked."""
    message = EmailMessage(policy.SMTP)
    text = letter.body.replace("\r\n", "\n").replace("\r", "\n")
    message.set_content(text if text.endswith("\n") else text + "\n", cte=None if text.isascii() else "quoted-printable")
    kinds = MimeTypes()
    for one in letter.attachments:
        kind = kinds.guess_type(one.name)[0] or _UNKNOWN
        main, _, sub = (_UNKNOWN if kind.startswith(("message/", "multipart/")) else kind).partition("/")
        message.add_attachment(one.raw, maintype=main, subtype=sub, filename=one.name)
    headers = _headers(letter)
    raw = "".join(f"{name}: {_written(value)}\r\n" for name, value in headers.items()).encode("ascii") + message.as_bytes()
    if len(raw) > LARGEST:
        raise ToolError(f"The mail would be {_mb(len(raw))}; at most {_mb(LARGEST)} are sent. Attach less.")
    _accept(raw, headers, letter.attachments)
    return raw


def filled(template: str, values: Mapping[str, str], name: str, most: int) -> str:
    """Return a template with each $name in it replaced.

    Raises ToolError for a value that is missing, unknown or no name, and for a text longer than `most`.
    """
    made = Template(template)
    longest = len(template)
    for found in made.pattern.finditer(template):
        longest += len(values.get(found["named"] or found["braced"] or "", ""))
        if found["invalid"] is not None:
            line = template.count("\n", 0, found.start()) + 1
            raise ToolError(f"{name}, line {line}: a $ that begins no $name. Write $$ for a $.")
    wanted = set(made.get_identifiers())
    if missing := sorted(wanted - set(values)):
        raise ToolError(f"{name} needs a value for: {', '.join(missing)}. Give them in values.")
    if unknown := sorted(set(values) - wanted):
        known = ", ".join(sorted(wanted)) or "none"
        raise ToolError(f"{name} has no place for: {', '.join(unknown)}. Its placeholders are: {known}.")
    if longest > most:
        raise ToolError(f"{name} would become a text of more than {most:,} characters. Attach a file instead.")
    return made.substitute(values)


def _headers(letter: Letter) -> dict[str, Value]:
    """Return the headers in their order; the identity names the sender's domain and nothing of this machine."""
    found: dict[str, Value] = {
        "From": (letter.sender,),
        "To": letter.to,
        "Cc": letter.cc,
        "Reply-To": letter.reply_to,
        "Subject": letter.subject,
        "Date": format_datetime(datetime.now(UTC)),
        "Message-ID": f"<{uuid.uuid4().hex}@{letter.sender.domain}>",
    }
    return {name: value for name, value in found.items() if value or name == "Subject"}


def _written(value: Value) -> str:
    """Return a header's value in ASCII, folded. The email package itself loses what long names say (Python 3.11)."""
    if isinstance(value, str):
        return _words(value)
    return ",\r\n ".join(f"{_words(one.name, quoted=True)}\r\n <{one.mailbox}>" if one.name else one.mailbox for one in value)


def _words(text: str, *, quoted: bool = False) -> str:
    """Return a header's text: as it is where that is short and plain, else as encoded words, none of which splits a letter."""
    if text.isascii() and len(text) <= _LONGEST_PLAIN and "=?" not in text:
        return f'"{text}"' if quoted else text
    parts, part = list[bytes](), b""
    for one in text:
        if len(part) + len(one.encode()) > _BYTES_OF_A_WORD:
            parts, part = [*parts, part], b""
        part += one.encode()
    return "\r\n ".join(f"=?utf-8?b?{b64encode(one).decode()}?=" for one in [*parts, part])


def _accept(raw: bytes, headers: Mapping[str, Value], files: Sequence[Attachment]) -> None:
    """Accept a mail that, read back, has these headers, each once, and these files. Raises ToolError for any other."""
    if re.search(rb"(?<!\r)\n|\r(?!\n)|\0", raw):
        raise ToolError("The mail was not made: a line of it would not end as mail lines do.")
    plain = BytesParser(policy=policy.compat32).parsebytes(raw, headersonly=True)
    if sorted(name for name in plain.keys() if name not in _OF_THE_BODY) != sorted(headers):  # noqa: SIM118
        raise ToolError("The mail was not made: it would have other headers than were asked for.")
    for name, value in headers.items():
        if _read(str(plain[name]), value) != value:
            raise ToolError(f"The mail was not made: its header {name} would not say what was asked. Use plainer words there.")
    whole: EmailMessage = BytesParser(policy=policy.SMTP).parsebytes(raw)
    if [one.get_filename() for one in whole.iter_attachments()] != [one.name for one in files]:
        raise ToolError("The mail was not made: a file would have another name in it. Rename the file, then try again.")


def _read(written: str, like: Value) -> Value:
    unfolded = written.replace("\r\n", "")
    if isinstance(like, str):
        return str(make_header(decode_header(unfolded)))
    return tuple(Address(box, str(make_header(decode_header(name)))) for name, box in getaddresses([unfolded]))


def _mb(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MiB"
