"""Mail addresses and the texts of mail headers, taken strictly: what is not plainly right is refused, nothing is mended."""

from __future__ import annotations

import encodings.idna
import re
import unicodedata
from dataclasses import dataclass

from foundry.plugins.api import ToolError
from foundry.text import one_line, visible

LONGEST_SUBJECT = 300
_LONGEST_NAME = 100
_LONGEST_DOMAIN = 253
_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# Letters that the older and the newer way of writing a domain in ASCII take differently: the mail could go somewhere else.
_DOUBTFUL = frozenset("ßςẞ\u200c\u200d")


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox in ASCII, as servers get it, and the person's name shown beside it, "" for none."""

    mailbox: str
    name: str = ""

    @property
    def domain(self) -> str:
        return self.mailbox.rpartition("@")[2]


def one_address(given: str, what: str) -> Address:
    """Return the one address in `given`: a@b.org or Name <a@b.org>. Raises ToolError, `what` says where it stands."""
    text = header_text(given, what)
    found = re.fullmatch(r'(?:"(?P<quoted>[^"\\<>]*)"|(?P<plain>[^"\\<>@,;:()]*?)) *<(?P<inside>[^<>]*)>|(?P<bare>[^<>]*)', text)
    if not found:
        raise _wrong(given, what, "it is written neither as a@b.org nor as Name <a@b.org>")
    name = (found["quoted"] or found["plain"] or "").strip()
    if "@" in name:
        raise _wrong(given, what, "a name that holds an @ could be taken for an address")
    if len(name) > _LONGEST_NAME:
        raise _wrong(given, what, f"the name is longer than {_LONGEST_NAME} characters")
    return Address(_mailbox(found["inside"] if found["bare"] is None else found["bare"], given, what), name)


def addresses(given: str, what: str) -> tuple[Address, ...]:
    """Return the addresses in `given`, with commas between them, each mailbox once; none for "". Raises ToolError."""
    if not given.strip(" "):
        return ()
    header_text(given, what)
    parts = re.findall(r'(?:"[^"]*"|[^",])+|,|"', given)
    wanted = [one.strip(" ") for one in parts if one != ","]
    if parts.count(",") != len(wanted) - 1:
        raise ToolError(f"{what} has an empty place between its commas. Give addresses as: a@b.org, c@d.org")
    found = [one_address(one, what) for one in wanted]
    return tuple({one.mailbox: one for one in reversed(found)}.values())[::-1]


def header_text(given: str, what: str, longest: int = 2000) -> str:
    """Return `given` without blanks around it. Raises ToolError where a header, or a reader's eye, could be led astray by it."""
    if len(given) > longest:
        raise ToolError(f"{what} is longer than {longest} characters.")
    if "\n" in given or "\r" in given:
        raise ToolError(f"{what} has a line end in it, which no mail header can have. Give it on one line.")
    if "\t" in given or visible(given) != given:
        raise ToolError(f"{what} has characters in it that nobody sees: {one_line(given, 120)}. Give it without them.")
    return given.strip(" ")


def _mailbox(text: str, given: str, what: str) -> str:
    if text.count("@") != 1:
        raise _wrong(given, what, "an address has one @")
    local, _, domain = text.partition("@")
    if not _LOCAL.fullmatch(local) or len(local) > 64:
        raise _wrong(given, what, "before the @ stand ASCII letters, digits and single dots, at most 64")
    return f"{local}@{_domain(domain, given, what)}"


def _domain(domain: str, given: str, what: str) -> str:
    labels = [_label(one, given, what) for one in domain.split(".")]
    found = ".".join(labels)
    if len(found) > _LONGEST_DOMAIN or labels[-1].isdigit():
        raise _wrong(given, what, "what stands after the @ is no domain")
    return found


def _label(label: str, given: str, what: str) -> str:
    encoded = label.lower()
    if not label.isascii():
        try:
            plain = not _DOUBTFUL & set(label) and all(one == "-" or unicodedata.category(one)[0] in "LMN" for one in label)
            plain = plain and encodings.idna.nameprep(label) == label.lower()
            encoded = encodings.idna.ToASCII(label).decode() if plain else ""
        except UnicodeError:
            encoded = ""
        if not encoded:
            raise _wrong(given, what, "give a domain of such letters in its ASCII form, which begins with xn--")
    if not _LABEL.fullmatch(encoded):
        raise _wrong(given, what, "what stands after the @ is no domain")
    return encoded


def _wrong(given: str, what: str, why: str) -> ToolError:
    return ToolError(f"{what}: {one_line(given, 120)!r} is no mail address here: {why}.")
