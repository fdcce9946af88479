"""settings shows every setting with its value and the layer that gave it."""

from __future__ import annotations

import io
import json

import pytest

from foundry.agent.folder import Home
from foundry.console import Console
from foundry.plugins.foundry_core.show_settings import show_settings
from foundry.settings import SETTINGS, load_settings


def test_each_setting_is_shown_with_its_source(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    place.prepare()
    (place.own / "settings.json").write_text(json.dumps({"retries": 7, "offline": True}))
    monkeypatch.setenv("FOUNDRY_RETRIES", "2")

    shown = show_settings(load_settings(place.path).over("flag", {"timeout": 1.5}))

    rows = {one.name: (one.value, one.source) for one in shown.settings}
    assert len(rows) == len(SETTINGS)
    assert rows["retries"] == (2, "environment")
    assert rows["offline"] == (True, "home")
    assert rows["timeout"] == (1.5, "flag")
    assert rows["max_rounds"] == (12, "default")
    assert all(one.variable and one.meaning for one in shown.settings)


def test_the_table_reads(place: Home) -> None:
    out = io.StringIO()
    Console(out=out).result(show_settings(load_settings(place.path)))

    lines = out.getvalue().splitlines()
    assert lines[0].split() == ["NAME", "VALUE", "SOURCE", "VARIABLE"]
    assert any(line.startswith("offline") and "false" in line and "FOUNDRY_OFFLINE" in line for line in lines)
