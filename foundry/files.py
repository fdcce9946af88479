"""Files read strictly and written whole: JSON that refuses what it cannot mean, writes that a crash cannot tear."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from foundry.errors import FoundryError

MAX_JSON_BYTES = 4 * 1024 * 1024


class BadFileError(FoundryError):
    """A file on disk does not say what it must; the message names file and line."""

    code = "bad_file"


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; a UTF-8 byte order mark is accepted. Raises BadFileError naming file and place."""
    raw = read_bytes(path, MAX_JSON_BYTES)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFileError(f"{path}: not UTF-8 (byte {error.start})", "Save the file as UTF-8.") from None
    try:
        data = json.loads(text, object_pairs_hook=no_duplicates, parse_constant=no_constants, parse_float=_finite)
        if "\\u" in text:
            _no_half_characters(data)
    except json.JSONDecodeError as error:
        raise BadFileError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}", "Mend the file there.") from None
    except RecursionError:
        raise BadFileError(f"{path}: nested too deeply", "Mend the file.") from None
    except ValueError as error:
        raise BadFileError(f"{path}: {error}", "Mend the file.") from None
    if not isinstance(data, dict):
        raise BadFileError(f"{path}: holds {type(data).__name__}, not an object", "The file starts with { and ends with }.")
    return data


def read_bytes(path: Path, limit: int) -> bytes:
    """Return the bytes of a regular file of at most `limit` bytes. Raises BadFileError, "missing_file" where nothing is."""
    try:
        # Opening a pipe would wait for its writer, and a device may never end.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise BadFileError(f"{path}: is no regular file", "A plain file must stand there.")
            with os.fdopen(handle, "rb", closefd=False) as file:
                raw = file.read(limit + 1)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise BadFileError(f"{path}: not there", code="missing_file") from None
    except OSError as error:
        raise BadFileError(f"{path}: cannot be read: {error.strerror}", f"Look at who owns it: ls -l {path}") from None
    if len(raw) > limit:
        raise BadFileError(
            f"{path}: larger than {limit // 1024 // 1024} MiB", "It should be a small file; look at what is in it."
        )
    return raw


def write_json(path: Path, data: Any, mode: int = 0o644) -> None:
    """Write `data` as indented UTF-8 JSON, atomically."""
    write_text(path, json.dumps(data, indent=2, ensure_ascii=False) + "\n", mode)


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace `path` by `text` as UTF-8, newlines as given: readers see the old file or the new, also after a crash."""
    write_bytes(path, text.encode("utf-8"), mode)


def write_bytes(path: Path, raw: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `raw` (temporary file beside it, fsync, rename)."""
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), mode)
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def nearest(word: str, known: Iterable[str]) -> str:
    """Return the known word most like `word`, or an empty string."""
    import difflib

    found = difflib.get_close_matches(word.lower(), list(known), n=1, cutoff=0.5)
    return found[0] if found else ""


def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs of a JSON object as a dict, for json.loads. Raises ValueError when a key stands twice."""
    seen = dict(pairs)
    if len(seen) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key "{twice}" stands twice in one object')
    return seen


def no_constants(name: str) -> Any:
    """Refuse NaN and Infinity, for json.loads. Raises ValueError."""
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"{text} is too large a number")
    return number


def _no_half_characters(data: Any) -> None:
    """Refuse half of a surrogate pair, which no file can hold and no stream can print."""
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"holds half a character (\\u{ord(error.object[error.start]):04x})") from None
