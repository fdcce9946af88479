"""The Foundry as an agent with the embedded model: asked in plain words, it makes an agent that is given what it needs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from foundry.agent.blueprint import blueprint
from foundry.agent.definition import load_definition
from foundry.agent.folder import Home
from foundry.agent.record import load_record, save_record
from foundry.models import local
from foundry.plugins.foundry_core.chat_foundry import BLUEPRINT, NAME
from tests.commands.running import make_runnable
from tests.conftest import FOUNDRY, REAL_HOME, uv_cache
from tests.session.screens import Terminal

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1200)]


@pytest.fixture
def real_model(monkeypatch: pytest.MonkeyPatch, own_world: Path) -> str:
    """The embedded model with the weights of this user's real cache, its server this test's own."""
    kept = REAL_HOME / ".cache" / "agent-foundry" / "models"
    if not any(kept.glob("*.gguf")):
        pytest.skip("foundry model pull brings the weights first")
    (own_world / "cache" / "agent-foundry").mkdir(parents=True, exist_ok=True)
    (own_world / "cache" / "agent-foundry" / "models").symlink_to(kept)
    monkeypatch.setenv("UV_CACHE_DIR", uv_cache())
    return "local:coder-1.5b"


def test_asked_in_plain_words_it_makes_an_agent_that_reads_files(home: Path, tmp_path: Path, real_model: str) -> None:
    place = Home(home)
    own = make_runnable(place, NAME, **blueprint(BLUEPRINT).config)
    save_record(own, replace(load_record(own), blueprint=BLUEPRINT))
    terminal = Terminal([*FOUNDRY, "chat", "--home", str(home), "--model", real_model], tmp_path, 110, 60)
    try:
        terminal.until("\u276f", 120)
        terminal.line("make me an agent that reads my logs")
        shown = terminal.until("Allow it?", 300)
        assert "foundry_core.create_agent" in shown
        terminal.line("y")
        terminal.until("\u276f", 300, count=2)
        print(terminal.text)
    finally:
        terminal.stop()
        local.stop()
    (made,) = set(place.names()) - {NAME}
    assert any(tool.startswith("read_write_code") for tool in load_definition(place.agent(made).config).tools)
