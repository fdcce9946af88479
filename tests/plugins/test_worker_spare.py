"""A worker that waits for its question: used once, gone with whoever keeps it, however that ends."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time

from foundry.plugins.standard_lib.worker_spare import Spare
from foundry.processes import end_group

KILLED = """
import os, signal
from foundry.plugins.standard_lib.worker_spare import Spare
spare = Spare("grep_worker")
spare.refill()
print(spare._waiting.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def ended(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


def test_the_one_that_waits_is_taken_once() -> None:
    spare = Spare("grep_worker")
    spare.refill()
    first, second = spare.take(), spare.take()
    assert first.pid != second.pid
    for one in (first, second):
        assert one.poll() is None
        end_group(one)


def test_one_that_has_ended_meanwhile_is_not_given() -> None:
    spare = Spare("grep_worker")
    spare.refill()
    waiting = spare._waiting
    assert waiting
    waiting.kill()
    waiting.wait()
    taken = spare.take()
    assert taken.pid != waiting.pid
    assert taken.poll() is None
    end_group(taken)


def test_it_ends_with_who_keeps_it() -> None:
    spare = Spare("grep_worker")
    spare.refill()
    assert spare._waiting
    pid = spare._waiting.pid
    del spare
    gc.collect()
    assert ended(pid)


def test_it_ends_when_the_process_is_killed() -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, timeout=30)
    assert ended(int(killed.stdout))
