"""A worker ends by itself when whoever asked it is gone, and takes no more memory than it may."""

from __future__ import annotations

import json
import sys
import time

import pytest

from foundry.plugins.standard_lib.worker import answers, ask, command, last_words
from foundry.processes import run


@pytest.mark.parametrize("name", ["web_worker", "pdf_reader", "pdf_writer", "grep_worker", "database_worker", "outline"])
def test_a_worker_is_a_module_that_begins_with_its_request(name: str) -> None:
    ended = run(command(name), stdin=b"no request", timeout=20)

    assert ended.code == 1
    assert "worker_bounds.py" in ended.err
    assert last_words(ended.err, "").startswith("json.decoder.JSONDecodeError")


def test_what_is_asked_and_the_data_behind_it_arrive() -> None:
    ended = ask("web_worker", {"url": "https://example.org/", "how": "plain"}, 10, data=b"<p>Gr\xc3\xbc\xc3\x9fe</p>")

    assert [one["text"] for one in answers(ended.out)] == ["Grüße"]


def test_an_answer_that_was_cut_off_is_none() -> None:
    assert list(answers('{"page": 1}\n{"page": {"text": "a}\n')) == [{"page": 1}]
    assert list(answers("Traceback\n")) == []


def test_it_ends_without_whoever_asked() -> None:
    code = "from foundry.plugins.standard_lib import worker_bounds as b; b._GRACE = 1; b.begun(); import time; time.sleep(60)"
    began = time.monotonic()
    ended = run([sys.executable, "-c", code], stdin=json.dumps({"seconds": 0.5}), timeout=30)

    assert ended.code == -14  # SIGALRM
    assert time.monotonic() - began < 15


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS limits no address space")
def test_it_takes_no_more_memory_than_it_may() -> None:
    code = "from foundry.plugins.standard_lib.worker_bounds import begun; begun(1 << 28); bytearray(1 << 29)"
    ended = run([sys.executable, "-c", code], stdin=json.dumps({"seconds": 20}), timeout=30)

    assert last_words(ended.err, "") == "MemoryError"
