"""Mail: written, shown with every recipient, and sent by SMTP with TLS; or kept as an .eml file, and sent to nobody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from foundry.plugins.api import Change, Changed, Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.confined import Confined, read_up_to
from foundry.plugins.standard_lib.email_addresses import LONGEST_SUBJECT, Address, addresses, header_text, one_address
from foundry.plugins.standard_lib.email_message import LARGEST, Attachment, Letter, as_bytes, filled
from foundry.plugins.standard_lib.email_server import Server, hand_in, server_of
from foundry.plugins.standard_lib.text_files import check_whole

_MOST_RECIPIENTS = 20
_MOST_ATTACHMENTS = 20
_LARGEST_TEMPLATE = 256 * 1024
_LONGEST_BODY = 500_000

To = Annotated[str, "Addresses with commas between: a@b.org, Name <c@d.org>"]
Body = Annotated[str, "The text, or use template"]
Files = Annotated[list[str] | None, "Paths of files to attach"]
Values = Annotated[dict[str, str] | None, "A value for each $name of the template"]
OfTemplate = Annotated[str, "Path of a text file with $name placeholders, instead of body"]


@dataclass(frozen=True, slots=True)
class _Mail:
    """A mail ready to go: what it says, its bytes, and the files that it was made from."""

    letter: Letter
    raw: bytes
    template: Attachment | None


class Email:
    """Sends mail, or keeps it as a file."""

    def __init__(self, context: ToolContext, server: Callable[..., Server] = server_of) -> None:
        self.context = context
        self._server = server

    @kernel_function(description="Send a mail. The user sees it with every recipient first.")
    @effects("network")
    @planned
    def send(
        self,
        to: To,
        subject: str,
        body: Body = "",
        cc: str = "",
        bcc: str = "",
        attachments: Files = None,
        reply_to: str = "",
        template: OfTemplate = "",
        values: Values = None,
    ) -> Plan:
        """Plan to send a mail, exactly as shown, through the server of SMTP_HOST. Raises ToolError saying what to do instead."""
        server = self._server(self.context.variables)
        mail = self._mail(to, subject, body, cc, bcc, attachments, reply_to, template, values)
        preview = Preview(
            _told(mail, "Send"),
            hosts=(str(server),),
            recipients=mail.letter.recipients,
            paths=tuple(one.path for one in _files(mail)),
        )  # no scope: a mail cannot be called back, so each is looked at

        def do() -> str:
            self._accept_unchanged(mail)
            handed = hand_in(server, mail.letter.sender.mailbox, mail.letter.recipients, mail.raw)
            sent = [one for one in mail.letter.recipients if one not in handed.refused]
            refused = "".join(f"\nNot to {one}, whom the server refused: {why}" for one, why in handed.refused.items())
            return f"Sent {mail.letter.subject!r} to {', '.join(sent)}.{refused}"

        return Plan(preview, do)

    @kernel_function(description="Try a mail without sending it: write it to an .eml file, exactly as it would be sent.")
    @effects("writes")
    @planned
    def save(
        self,
        path: Annotated[str, "The new file, such as draft.eml"],
        to: To,
        subject: str,
        body: Body = "",
        cc: str = "",
        bcc: str = "",
        attachments: Files = None,
        reply_to: str = "",
        template: OfTemplate = "",
        values: Values = None,
    ) -> Plan:
        """Plan the file with the mail that `send` would send; nothing is sent. Raises ToolError saying what to do instead."""
        folder = Confined(self.context.folder)
        target = self.context.path(path)
        name = self.context.name(target)
        if target.suffix.lower() != ".eml":
            raise ToolError(f"{name} does not end with .eml: mail programs open files that do.")
        if folder.look(target) is not None:
            raise ToolError(f"There is a {name} already. Choose another name.")
        header_text(target.name, "The file's name")
        mail = self._mail(to, subject, body, cc, bcc, attachments, reply_to, template, values)
        paths = (target, *(one.path for one in _files(mail)))
        scope = f"files in {folder.root}"
        preview = Preview(_told(mail, f"Keep in {name}"), (Change(target, None, mail.raw),), paths=paths, scope=scope)

        def do() -> str:
            self._accept_unchanged(mail)
            folder.write(target, None, mail.raw)
            return f"Wrote {name}, {len(mail.raw):,} bytes; nothing was sent. It would go to {', '.join(mail.letter.recipients)}."

        return Plan(preview, do)

    # the mail ---------------------------------------------------------------------------------------------------------------

    def _mail(
        self,
        to: str,
        subject: str,
        body: str,
        cc: str,
        bcc: str,
        attachments: list[str] | None,
        reply_to: str,
        template: str,
        values: dict[str, str] | None,
    ) -> _Mail:
        if bool(body.strip()) == bool(template):
            raise ToolError("Give either body, the text, or template, the path of a file with it.")
        if values and not template:
            raise ToolError("values fill a template, and none was given.")
        source = self._file(template, _LARGEST_TEMPLATE) if template else None
        letter = Letter(
            self._sender(),
            addresses(to, "to"),
            header_text(subject, "subject", LONGEST_SUBJECT),
            _text(_filled(source, values or {}) if source else body),
            addresses(cc, "cc"),
            addresses(bcc, "bcc"),
            addresses(reply_to, "reply_to"),
            self._attached(attachments or []),
        )
        if not letter.to:
            raise ToolError("to is empty: a mail goes to somebody.")
        if not letter.subject:
            raise ToolError("subject is empty.")
        if len(letter.recipients) > _MOST_RECIPIENTS:
            raise ToolError(f"{len(letter.recipients)} recipients are too many: at most {_MOST_RECIPIENTS} get one mail.")
        return _Mail(letter, as_bytes(letter), source)

    def _sender(self) -> Address:
        given = self.context.variables.get("SMTP_FROM")
        if not given.strip():
            raise ToolError("It is not set who mail is from. Ask the user: foundry env NAME set SMTP_FROM")
        try:
            return one_address(given, "SMTP_FROM")
        except ToolError:
            raise ToolError(
                "SMTP_FROM is no mail address: set it to one such as me@example.org or Me <me@example.org>."
            ) from None

    def _attached(self, given: list[str]) -> tuple[Attachment, ...]:
        if len(given) > _MOST_ATTACHMENTS:
            raise ToolError(f"{len(given)} files are too many: at most {_MOST_ATTACHMENTS} go with one mail.")
        room, found = LARGEST * 3 // 4, list[Attachment]()
        for one in given:
            found.append(self._file(one, room))
            room -= len(found[-1].raw)
        if len({one.path for one in found}) < len(found):
            raise ToolError("A file is named twice in attachments.")
        return tuple(found)

    def _file(self, given: str, most: int) -> Attachment:
        path = self.context.path(given)
        name = self.context.name(path)
        header_text(path.name, "A file's name")
        raw = read_up_to(self.context, path, most)
        if len(raw) > most:
            raise ToolError(f"{name} is too large: with it the mail would be larger than servers take.")
        return Attachment(path, path.name, raw)

    def _accept_unchanged(self, mail: _Mail) -> None:
        """Accept files that are what they were when they were shown. Raises Changed."""
        for one in _files(mail):
            try:
                now = read_up_to(self.context, self.context.path(self.context.name(one.path)), len(one.raw))
            except ToolError:
                now = None
            if now != one.raw:
                raise Changed(f"{self.context.name(one.path)} is not what it was when it was shown.")


def _files(mail: _Mail) -> tuple[Attachment, ...]:
    return (*((mail.template,) if mail.template else ()), *mail.letter.attachments)


def _filled(source: Attachment, values: dict[str, str]) -> str:
    try:
        text = source.raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ToolError(f"{source.name} is no UTF-8 text, so it is no template.") from None
    return filled(text, values, source.name, _LONGEST_BODY)


def _text(body: str) -> str:
    if len(body) > _LONGEST_BODY or "\0" in body:
        raise ToolError(f"A mail's text has at most {_LONGEST_BODY:,} characters and no NUL. Attach a file instead.")
    check_whole("The text", body)
    return body


def _told(mail: _Mail, verb: str) -> str:
    """Return what the person reads: who gets what from whom, each file with its size and hash, and what a template became."""
    letter = mail.letter
    lines = [f"{verb}: {letter.subject}"]
    for label, found in (("to", letter.to), ("cc", letter.cc), ("bcc", letter.bcc), ("replies to", letter.reply_to)):
        if found:
            lines.append(f"{label} {', '.join(f'{one.name} <{one.mailbox}>' if one.name else one.mailbox for one in found)}")
    lines += [f"with {one.path.name} ({len(one.raw):,} bytes, sha256 {one.digest[:16]})" for one in letter.attachments]
    if mail.template:
        lines += [f"the text, made from {mail.template.name}:", letter.body]
    return "\n".join(lines)
