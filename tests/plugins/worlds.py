"""A working folder as tests of the file tools make and look at it."""

from __future__ import annotations

from pathlib import Path


def write(path: Path, text: str) -> Path:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return path


def overwrite(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def world(folder: Path, but: Path | None = None) -> dict[str, object]:
    """Everything below a folder: bytes, links, None for folders."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        if but is not None and path.is_relative_to(but):
            continue
        if path.is_symlink():
            found[path.relative_to(folder).as_posix()] = f"-> {path.readlink()}"
        else:
            found[path.relative_to(folder).as_posix()] = (
                path.read_bytes() if path.is_file() else None if path.is_dir() else "special"
            )
    return found
