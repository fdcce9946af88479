"""A PDF through the gate: what the person sees before it is written, and that a no writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("reportlab")

from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.pdf import Pdf
from foundry.plugins.strict import bind
from foundry.session.approvals import Approvals
from foundry.session.preview import blocks
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.gate.conftest import Said, call
from tests.session.conftest import Desk, Room

TEXT = "# Tides\n\nThey follow the moon."


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_the_person_sees_the_text_and_the_file_before_it_is_written(tmp_path: Path, answer: str) -> None:
    agent = AgentFolder(tmp_path / "home" / "agents" / "scout")
    agent.workspace.mkdir(parents=True)
    context = ToolContext(agent.workspace)
    person = Said([answer])
    steps = [
        {"calls": [call("pdf.write", path="tides.pdf", markdown=TEXT)]},
        {"calls": [call("pdf.read", path="tides.pdf")]},
        {"text": "Done."},
    ]
    model = ScriptedModel(script({"steps": steps}), ModelInfo("scripted:test", 32_000))
    approvals = Approvals("run", person, folder=agent, work=agent.workspace, entrance="test", run="r1")
    room = Room(Session(model, Toolbox(bind(Pdf(context), "pdf", "built-in", context), Redactor({}), context), approvals), Desk())

    room.say("Write about tides.")

    [question] = person.asked
    assert question.preview.summary.startswith("Write the new PDF tides.pdf: 1 page")
    shown = str(blocks(question))
    assert "They follow the moon." in shown
    assert "tides.pdf" in shown
    results = [message.content for message in room.session.history if message.role == "tool"]
    if answer == "yes":
        assert results[0].startswith("Wrote tides.pdf")
        assert "They follow the moon." in results[1]
    else:
        assert not (agent.workspace / "tides.pdf").exists()
        assert "There is no file tides.pdf" in results[1]
