"""The running Foundry as a wheel: complete, deterministic, installable, packed once."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from uv import find_uv_bin

import foundry
from foundry.agent.wheel import runtime_hash, runtime_version, runtime_wheel

SOURCE = Path(foundry.__file__).parent


def test_it_holds_every_file_of_the_package_and_no_bytecode() -> None:
    wheel = runtime_wheel()

    with zipfile.ZipFile(wheel.path) as archive:
        names = set(archive.namelist())

    sources = (path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    assert {f"foundry/{path.relative_to(SOURCE).as_posix()}" for path in sources if not path.name.startswith(".")} <= names
    assert not [name for name in names if name.endswith(".pyc")]
    assert {f"agent_foundry-{runtime_version()}.dist-info/{name}" for name in ("METADATA", "WHEEL", "RECORD")} <= names


def test_its_record_tells_each_file_truly() -> None:
    with zipfile.ZipFile(runtime_wheel().path) as archive:
        record = next(name for name in archive.namelist() if name.endswith("/RECORD"))
        for name, digest, size in csv.reader(io.StringIO(archive.read(record).decode())):
            if name != record:
                raw = archive.read(name)
                assert digest == "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).decode().rstrip("=")
                assert int(size) == len(raw)


def test_it_is_packed_once_and_the_same_again_when_lost() -> None:
    first = runtime_wheel()
    raw, inode = first.path.read_bytes(), first.path.stat().st_ino
    assert runtime_wheel() == first
    assert first.path.stat().st_ino == inode
    first.path.unlink()

    again = runtime_wheel()

    assert again.path.read_bytes() == raw
    assert again == first
    assert first.hash == runtime_hash()
    assert hashlib.sha256(raw).hexdigest() == first.sha256


@pytest.mark.slow
def test_an_installed_one_makes_the_same_wheel_and_another_content_another_hash(tmp_path: Path) -> None:
    wheel = runtime_wheel()
    target = tmp_path / "installed"
    uv = [find_uv_bin(), "pip", "install", "--quiet", "--offline", "--no-deps", "--link-mode", "copy", "--target", str(target)]
    subprocess.run([*uv, str(wheel.path)], check=True)
    ask = "from foundry.agent.wheel import runtime_hash, runtime_wheel; print(runtime_hash(), runtime_wheel().sha256)"
    env = {**os.environ, "PYTHONPATH": str(target)}

    def told() -> list[str]:
        return subprocess.run(
            [sys.executable, "-P", "-c", ask], capture_output=True, text=True, check=True, env=env
        ).stdout.split()

    assert told() == [wheel.hash, wheel.sha256]
    changed = target / "foundry" / "errors.py"
    changed.write_text(changed.read_text() + "# changed\n")
    assert told()[0] != wheel.hash
