"""What is kept of the web: the newest of so many, and none of it for too long."""

from __future__ import annotations

import time

from foundry.plugins.standard_lib.web_kept import Kept


def test_the_last_ones_are_kept_and_the_oldest_gives_way() -> None:
    kept = Kept[str, int](2, 60)
    for number, key in enumerate("abac"):
        kept.put(key, number)

    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (2, None, 3)


def test_nothing_is_kept_for_too_long() -> None:
    kept = Kept[str, int](2, 0.02)
    kept.put("a", 1)
    assert kept.get("a") == 1
    time.sleep(0.05)

    assert kept.get("a") is None
