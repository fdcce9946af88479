"""JSON is read strictly, bytes only from plain files, and a write is seen whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foundry.files import BadFileError, nearest, read_bytes, read_json, write_bytes, write_json, write_text

quick = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@quick
@given(st.dictionaries(texts, values, max_size=4))
def test_any_object_reads_back_as_it_was_written(tmp_path: Path, data: dict[str, object]) -> None:
    write_json(tmp_path / "a.json", data)
    assert read_json(tmp_path / "a.json") == data


@quick
@given(st.binary(max_size=200) | st.text("{}[]:,\"'\\ud80ntf1e.+-", max_size=40).map(str.encode))
def test_any_bytes_are_an_object_or_refused_with_the_path(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(raw)
    try:
        told = str(path) if isinstance(read_json(path), dict) else ""
    except BadFileError as error:
        told = error.message
    assert told.startswith(str(path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{\n "a": 1,\n "a": 2}', '"a" stands twice'),
        ('{\n "a": tru}', ":2:"),
        ('{"a": NaN}', "NaN"),
        ('{"a": Infinity}', "Infinity"),
        ('{"a": 1e999}', "too large"),
        ('{"a": "\\udc00"}', "half a character"),
        ("3", "not an object"),
    ],
)
def test_what_json_must_not_mean_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(BadFileError, match=r"a\.json") as caught:
        read_json(tmp_path / "a.json")
    assert told in caught.value.message


def test_a_whole_pair_of_surrogates_is_one_character(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": "\\ud83d\\ude00"}')
    assert read_json(tmp_path / "a.json") == {"a": "\U0001f600"}


def test_only_plain_files_are_read_and_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    open_before = len(list(Path("/dev/fd").iterdir()))

    for path in (tmp_path / "pipe", tmp_path / "folder", Path("/dev/zero")):
        with pytest.raises(BadFileError, match="no regular file"):
            read_bytes(path, 100)

    assert len(list(Path("/dev/fd").iterdir())) == open_before


def test_a_missing_file_and_one_too_large_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 101)

    with pytest.raises(BadFileError) as missing:
        read_bytes(tmp_path / "none", 100)
    with pytest.raises(BadFileError, match="larger"):
        read_bytes(tmp_path / "large", 100)

    assert missing.value.code == "missing_file"
    (tmp_path / "large").write_bytes(b"x" * 100)
    assert len(read_bytes(tmp_path / "large", 100)) == 100


def test_a_write_replaces_bytes_and_mode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")

    write_bytes(path, b"new\r\n", 0o600)

    assert path.read_bytes() == b"new\r\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {one.name for one in tmp_path.iterdir()} <= {"a", "user", "home"}


def test_newlines_are_written_as_given(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "1\n2\r\n3\r")
    assert (tmp_path / "a").read_bytes() == b"1\n2\r\n3\r"


def test_a_failed_write_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "target").mkdir()
    (folder / "target" / "inside").write_text("x")

    with pytest.raises(OSError, match="target"):
        write_bytes(folder / "target", b"new")

    assert [one.name for one in folder.iterdir()] == ["target"]
    with pytest.raises(UnicodeEncodeError):
        write_text(folder / "half", "\ud800")
    assert [one.name for one in folder.iterdir()] == ["target"]


def test_a_link_is_replaced_and_its_target_kept(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept")
    (tmp_path / "link").symlink_to("target")

    write_text(tmp_path / "link", "new")

    assert (tmp_path / "target").read_text() == "kept"
    assert not (tmp_path / "link").is_symlink()


def test_a_writer_killed_at_any_moment_leaves_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"n": 0})
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writes, b".")
        for number in range(1_000_000):
            write_json(path, {"n": number, "text": "x" * 5000})
        os._exit(0)
    os.read(reads, 1)
    for _ in range(200):
        assert read_json(path)["n"] >= 0
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(reads)
    os.close(writes)

    assert json.loads(path.read_text())["n"] >= 0


def test_the_nearest_word_is_found_whatever_its_case() -> None:
    assert nearest("Tols", ["tools", "plugins"]) == "tools"
    assert nearest("xyz", ["tools", "plugins"]) == ""
