"""Search and outline in a session: they only read, so the gate lets them through, in plan mode and with nobody there too."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.agent.policy import Mode
from foundry.agent.secrets import Redactor
from foundry.messages import ToolReturned
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.grep_codebase import GrepCodebase
from foundry.plugins.strict import bind
from foundry.session.approvals import Approvals
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.session.conftest import Desk, Room, call


@pytest.mark.parametrize("mode", ["plan", "run"])
def test_searching_and_outlining_need_no_question_and_reach_no_secret(tmp_path: Path, mode: Mode) -> None:
    (tmp_path / "shop.py").write_text("class Shop:\n    def total(self): ...\n")
    (tmp_path / "b.py").write_text("import shop\n")
    (tmp_path / ".env").write_text("KEY=class canary\n")
    context = ToolContext(tmp_path)
    calls = [
        call("grep_codebase.search", pattern="class"),
        call("grep_codebase.outline", path="shop.py"),
        call("grep_codebase.outline", path=".env"),
    ]
    model = ScriptedModel(
        script({"steps": [*({"calls": [one]} for one in calls), {"text": "done"}]}), ModelInfo("scripted:test", 32_000)
    )
    tools = bind(GrepCodebase(context), "grep_codebase", "built-in", context)
    room = Room(Session(model, Toolbox(tools, Redactor({}), context), Approvals(mode, None)), Desk())

    room.say("Find your way.")

    texts = [one.result.content for one in room.of(ToolReturned)]
    assert texts[0] == "shop.py:1: class Shop:"
    assert texts[1] == "1: class Shop\n2:   def total(self)"
    assert "protected" in texts[2]
