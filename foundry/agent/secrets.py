"""Secrets on disk and on their way out: .env read and changed line by line, keys resolved, values redacted."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import quote, quote_plus

from foundry.agent.definition import VARIABLE_NAME
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.homes import home_trust
from foundry.errors import FoundryError, UsageError
from foundry.files import BadFileError, read_bytes, write_bytes

KeySource = Literal["agent", "shell", "home"]
MAX_ENV_BYTES = 1024 * 1024
_BOM = "\ufeff"
_SECRET_NAME = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIALS?|_PAT|_DSN)S?(_|$)", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=-]+")
_BLANK = r"[^\S\r\n]"
# One binding as python-dotenv splits a file: what stands before the value, the value, an inline comment, the end of the line.
_ASSIGNED = re.compile(
    rf"(?P<head>\s*(?:export{_BLANK}+)?(?:'[^']+'|[^=#\s]+))"
    rf"(?:{_BLANK}*=(?:{_BLANK}+(?=#)|{_BLANK}*"
    r"(?:'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"|(?:(?!\s+#)[^\r\n])*)))?"
    rf"(?P<comment>{_BLANK}*(?:#[^\r\n]*)?)(?P<end>{_BLANK}*(?:\r\n|\n|\r|$))",
    re.DOTALL,
)
# The line a template leaves for a variable: commented out, no value, perhaps a comment of its own.
_TEMPLATE = (
    rf"(?P<head>\s*)#{_BLANK}*(?:export{_BLANK}+)?NAME{_BLANK}*="
    rf"(?P<comment>(?:{_BLANK}+#[^\r\n]*|{_BLANK}*))(?P<end>\r\n|\n|\r|$)"
)


def is_secret_name(name: str) -> bool:
    """Return whether a variable of this name is called like a secret."""
    return bool(_SECRET_NAME.search(name))


@dataclass(frozen=True, slots=True)
class _Line:
    """One binding, comment or blank stretch of a .env file; `text` is exactly what stands there."""

    text: str
    key: str | None
    value: str | None


def read_env(path: Path) -> dict[str, str]:
    """Return what a .env file sets, values exactly as meant: `${X}` stays as it is; a missing file sets nothing.

    Raises BadFileError naming the line that cannot be read.
    """
    _, lines = _load(path)
    return _values(lines)


def set_value(path: Path, key: str, value: str) -> None:
    """Set `key` in a .env file, every other line kept byte for byte; the file has mode 0600 afterwards.

    An assignment is replaced in place, else the commented line a template left for it, else a line is added. Raises
    UsageError for a name or value no .env can hold, BadFileError for a file that cannot be read.
    """
    _check(key, value)
    with _changing(path):
        bom, lines = _load(path)
        changed = _replaced(lines, key, value)
        # The parser has the last word: what it would read back must be what was given, and nothing else may have moved.
        if _values(_parse("".join(changed), path)) != {**_values(lines), key: value}:
            raise BadFileError(f"{path}: {key} cannot be written so that it reads back", "Change the file by hand.")
        write_bytes(path, (bom + "".join(changed)).encode(), 0o600)


def unset_value(path: Path, key: str) -> bool:
    """Take `key` out of a .env file, leaving a commented line in its place; return whether it was there.

    Raises BadFileError for a file that cannot be read.
    """
    with _changing(path):
        bom, lines = _load(path)
        wanted = {name: value for name, value in _values(lines).items() if name != key}
        found, changed = False, []
        for line in lines:
            if line.key != key:
                changed.append(line.text)
                continue
            part = _parts(line, path)
            again = f"# {key}={_spaced(part['comment'])}" if not found and VARIABLE_NAME.fullmatch(key) else ""
            changed.append(_leading(line.text) + again + (part["end"] if again else ""))
            found = True
        if not found:
            return False
        if _values(_parse("".join(changed), path)) != wanted:
            raise BadFileError(f"{path}: {key} cannot be taken out safely", "Change the file by hand.")
        write_bytes(path, (bom + "".join(changed)).encode(), 0o600)
        return True


def template(env: Mapping[str, str]) -> str:
    """Return the text of a .env with a commented line for each variable and, above it, what it is for."""
    parts = []
    for name, why in env.items():
        reason = " ".join(why.split())
        parts.append((f"# {reason}\n" if reason else "") + f"# {name}=\n")
    return "\n".join(parts)


def resolve_keys(
    folder: AgentFolder | None, home: Home, names: Iterable[str], environment: Mapping[str, str]
) -> dict[str, tuple[str, KeySource]]:
    """Return the names that have a value, with it and where it is from: the agent's .env, the shell, the home's .env.

    An empty value counts as none, and so does all in the .env of a home that this user neither made nor trusted. Raises
    BadFileError for a .env that cannot be read.
    """
    layers: list[tuple[KeySource, Mapping[str, str]]] = [
        ("agent", read_env(folder.env_file) if folder else {}),
        ("shell", environment),
        ("home", read_env(home.env_file) if home_trust(home.path).obeyed else {}),
    ]
    found: dict[str, tuple[str, KeySource]] = {}
    for name in names:
        for source, values in layers:
            if values.get(name):
                found[name] = (values[name], source)
                break
    return found


# the file ---------------------------------------------------------------------------------------------------------------


def _load(path: Path) -> tuple[str, list[_Line]]:
    try:
        raw = read_bytes(path, MAX_ENV_BYTES)
    except BadFileError as error:
        if error.code == "missing_file":
            return "", []
        raise
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadFileError(f"{path}:{line}: not UTF-8", "Save the file as UTF-8.") from None
    if "\0" in text:
        raise BadFileError(f"{path}: holds a NUL character", "Take it out; no variable can hold it.")
    bom = _BOM if text.startswith(_BOM) else ""
    return bom, _parse(text[len(bom) :], path)


def _parse(text: str, path: Path) -> list[_Line]:
    from dotenv.parser import parse_stream

    lines = []
    for one in parse_stream(io.StringIO(text)):
        if one.error:
            number = one.original.line + len(re.findall(r"\r\n|\n|\r", _leading(one.original.string)))
            raise BadFileError(
                f"{path}:{number}: cannot be read as NAME=value", "Mend that line; quote what has spaces or quotes."
            )
        lines.append(_Line(one.original.string, one.key, one.value))
    return lines


def _values(lines: list[_Line]) -> dict[str, str]:
    return {line.key: line.value for line in lines if line.key is not None and line.value is not None}


def _leading(text: str) -> str:
    return text[: len(text) - len(text.lstrip())]


def check_name(key: str) -> str:
    """Return `key` if a variable may be called that. Raises UsageError, without what stands after a =: it may be a secret."""
    if VARIABLE_NAME.fullmatch(key):
        return key
    name, given, _ = key.partition("=")
    if given:
        hint = f"Give only the name, {name}; the value is asked for, or: foundry env NAME set {name}"
        raise UsageError(f"a value does not belong on the command line, where others can read it: {name}=...", hint)
    raise UsageError(f"{key!r} is no environment variable's name", "Letters, digits and _, not starting with a digit.")


def _check(key: str, value: str) -> None:
    check_name(key)
    if "\0" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise UsageError(f"the value for {key} holds a character no .env can hold", "Give it as plain text.")
    if len(value) > MAX_ENV_BYTES // 8:
        raise UsageError(f"the value for {key} is too long", "Keep it in a file and name the file instead.")


@contextmanager
def _changing(path: Path) -> Iterator[None]:
    """Let one process at a time change the file. Raises BadFileError for a link, whose target is not ours to replace."""
    import fcntl

    if path.is_symlink():
        raise BadFileError(f"{path} is a link to {path.readlink()}", "Change the file it points to.")
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _parts(line: _Line, path: Path) -> dict[str, str]:
    found = _ASSIGNED.fullmatch(line.text)
    if not found:
        raise BadFileError(f"{path}: the line of {line.key} is not understood", "Change the file by hand.")
    return {name: text or "" for name, text in found.groupdict().items()}


def _replaced(lines: list[_Line], key: str, value: str) -> list[str]:
    texts = [line.text for line in lines]
    for place in reversed(range(len(lines))):
        if lines[place].key == key:
            part = _parts(lines[place], Path(".env"))
            texts[place] = f"{part['head']}={_written(value)}{_spaced(part['comment'])}{part['end']}"
            return texts
    for place, line in enumerate(lines):
        if line.key is None and (found := re.fullmatch(_TEMPLATE.replace("NAME", key), line.text)):
            texts[place] = f"{found['head']}{key}={_written(value)}{_spaced(found['comment'])}{found['end']}"
            return texts
    whole = "".join(texts)
    ends = re.search(r"\r\n|\n|\r", whole)
    newline = ends.group() if ends else "\n"
    if whole and not whole.endswith(("\n", "\r")):
        texts.append(newline)
    return [*texts, f"{key}={_written(value)}{newline}"]


def _spaced(comment: str) -> str:
    """Return an inline comment as it stands, with the blank before it that python-dotenv needs; blanks alone are dropped."""
    if not comment.strip():
        return ""
    return comment if comment[0].isspace() else " " + comment


def _written(value: str) -> str:
    """Return `value` as a .env says it: bare where that is safe, in single quotes, in double ones only for line ends."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\")
    if "\n" in value or "\r" in value:
        return '"' + escaped.replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'
    return "'" + escaped.replace("'", "\\'") + "'"


# redaction ----------------------------------------------------------------------------------------------------------------


class Redactor:
    """Replaces secret values of 8 characters or more, raw or encoded, by their name in brackets."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.names: dict[str, str] = {}
        self.learn(values)

    def learn(self, values: Mapping[str, str]) -> None:
        """Replace these values too from now on."""
        for name, value in values.items():
            if len(value) >= _SHORTEST:
                for form in _forms(value):
                    self.names.setdefault(form, name)
        longest_first = sorted(self.names, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._starts = {form[:size] for form in self.names for size in range(1, _SHORTEST)}
        self._by_start: dict[str, list[str]] = {}
        for form in self.names:
            self._by_start.setdefault(form[:_SHORTEST], []).append(form)

    def clean(self, text: str) -> str:
        """Return `text` without any secret value."""
        return self._pattern.sub(self._bracketed, text) if self._pattern else text

    def stream(self) -> RedactedStream:
        """Return a reader of text that comes in pieces; what it gives back, joined, is `clean` of the whole."""
        return RedactedStream(self)

    def _bracketed(self, found: re.Match[str]) -> str:
        return f"[{self.names[found.group()]}]"

    def _open_from(self, text: str, start: int) -> int:
        """Return where the earliest tail of `text` begins that a secret's form could continue; its length when there is none."""
        for place in range(start, len(text)):
            tail = text[place : place + _SHORTEST]
            if len(tail) < _SHORTEST:
                if tail in self._starts:
                    return place
            elif any(len(form) > len(text) - place and form.startswith(text[place:]) for form in self._by_start.get(tail, ())):
                return place
        return len(text)

    def _settled(self, text: str) -> tuple[str, str]:
        """Return what of `text` can be given out, cleaned, and the rest that must wait."""
        given: list[str] = []
        start = 0
        while True:
            found = self._pattern.search(text, start) if self._pattern else None
            waits = self._open_from(text, start)
            if not found or found.start() >= waits:
                return "".join([*given, text[start:waits]]), text[waits:]
            given += [text[start : found.start()], self._bracketed(found)]
            start = found.end()


def everything_secret(home: Home, environment: Mapping[str, str]) -> Redactor:
    """Return a redactor of all that could be a secret: variables called like one, and every value in a .env of the home."""
    values = {name: value for name, value in environment.items() if _SECRET_NAME.search(name)}
    with suppress(OSError, FoundryError):
        for file in (home.env_file, *(home.agents / name / ".env" for name in home.names())):
            with suppress(OSError, BadFileError):
                values.update(read_env(file))
    return Redactor(values)


class RedactedStream:
    """Text that comes in pieces, given back without secrets; only a tail that could be the start of one is held back."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what can be shown now that `text` has come."""
        given, self._held = self._redactor._settled(self._held + text)
        return given

    def end(self) -> str:
        """Return what was held back: no more text comes."""
        held, self._held = self._held, ""
        return self._redactor.clean(held)


_SHORTEST = 8


def _forms(value: str) -> Iterator[str]:
    """Yield every form of `value` that is looked for: raw, its long lines, base64, percent-encoded, escaped as in JSON."""
    wholes = [value, *(line for line in value.split("\n") if len(line) >= 2 * _SHORTEST and not line.startswith("-----"))]
    for whole in wholes:
        escaped = json.dumps(whole)[1:-1]
        told = [whole, escaped, json.dumps(whole, ensure_ascii=False)[1:-1], json.dumps(escaped)[1:-1], repr(whole)[1:-1]]
        raw = whole.encode("utf-8", "surrogatepass")
        for percent in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
            told += [percent, re.sub(r"%[0-9A-F]{2}", lambda found: found.group().lower(), percent)]
        told += _base64(raw)
        yield from (form for form in told if len(form) >= _SHORTEST)


def _base64(raw: bytes) -> Iterator[str]:
    """Yield what of `raw` is the same in every base64 text that holds it, for each of the three places it can start at."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode().rstrip("=")
        for offset in range(3):
            text = encode(b"\0" * offset + raw).decode()
            padding = len(text) - len(text.rstrip("="))
            # The first characters hold bits of what stands before, the last one before padding bits of what follows.
            yield text[(0, 2, 3)[offset] : len(text) - (padding + 1 if padding else 0)]
