"""The running Foundry as a wheel: packed from its own installed files, so that an agent gets exactly the Foundry that made it."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import foundry
from foundry.errors import NotReadyError
from foundry.files import write_bytes
from foundry.settings import cache_folder

_PACKAGE = Path(foundry.__file__ or "").parent
_OURS = re.compile(r"agent_foundry-(.+)\.dist-info")
_TAG = "Wheel-Version: 1.0\nGenerator: agent-foundry\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on this machine: its path, Foundry's version, the hash of what is in it, and the sha256 of the file itself."""

    path: Path
    version: str
    hash: str
    sha256: str


def runtime_hash() -> str:
    """Return the hash of the running Foundry's files: equal hash, equal runtime."""
    return _hash(_contents())


def runtime_version() -> str:
    """Return the running Foundry's version. Raises NotReadyError when it is not installed."""
    return _OURS.sub(r"\1", _info().name)


def runtime_wheel() -> Wheel:
    """Return the running Foundry's wheel, packed once for each content and kept in the cache. Raises NotReadyError."""
    contents = _contents()
    digest, version = _hash(contents), runtime_version()
    path = cache_folder() / "wheels" / digest[:20] / f"agent_foundry-{version}-py3-none-any.whl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, _packed(contents, f"agent_foundry-{version}.dist-info"))
    return Wheel(path, version, digest, hashlib.sha256(path.read_bytes()).hexdigest())


def _contents() -> dict[str, bytes]:
    """Return what the wheel holds by its path there, the names of the dist-info without their folder; sorted."""
    found = {f"foundry/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes() for path in _sources(_PACKAGE)}
    info = _info()
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        if (info / name).is_file():
            found[name] = (info / name).read_bytes()
    return dict(sorted(found.items()))


def _sources(folder: Path) -> Iterator[Path]:
    for where, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        yield from (Path(where, name) for name in names if not name.startswith(".") and not name.endswith((".pyc", ".pyo")))


def _info() -> Path:
    """Return our dist-info; looked up by hand, since importlib.metadata costs more than packing the wheel."""
    for entry in [str(_PACKAGE.parent), *sys.path]:
        try:
            found = next((one for one in Path(entry or ".").iterdir() if _OURS.fullmatch(one.name)), None)
        except OSError:
            continue
        if found:
            return found
    raise NotReadyError("this Agent Foundry is not installed, so no agent can be given it", "In its checkout: make setup")


def _hash(contents: dict[str, bytes]) -> str:
    told = hashlib.sha256()
    for name, raw in contents.items():
        told.update(f"{name}\0{len(raw)}\0".encode())
        told.update(raw)
    return told.hexdigest()


def _packed(contents: dict[str, bytes], info: str) -> bytes:
    """Return the wheel's bytes: the same contents give the same bytes."""
    import io
    import zipfile

    files = {name if name.startswith("foundry/") else f"{info}/{name}": raw for name, raw in contents.items()}
    files[f"{info}/WHEEL"] = _TAG.encode()
    lines = [f"{name},sha256={_record_digest(raw)},{len(raw)}" for name, raw in files.items()]
    files[f"{info}/RECORD"] = "\n".join([*lines, f"{info}/RECORD,,", ""]).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.external_attr = 0o100644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, raw)
    return buffer.getvalue()


def _record_digest(raw: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
