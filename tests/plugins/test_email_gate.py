"""Mail and databases in a session, through the real gate: what the person is asked, what an always covers, what without one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.definition import load_definition
from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor
from foundry.console import Facts
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.session.approvals import Approvals, Question
from foundry.session.limits import Limits
from foundry.session.preview import blocks
from foundry.session.session import Session
from foundry.session.toolbox import open_toolbox
from tests.gate.conftest import Said
from tests.session.conftest import Desk, Room, call

from .given import Given
from .mail_world import Sink, mail_server

SCOUT = {"name": "scout", "tools": ["email", "database"]}


@pytest.fixture
def scout(tmp_path: Path) -> AgentFolder:
    folder = AgentFolder(tmp_path / "home" / "agents" / "scout")
    folder.workspace.mkdir(parents=True)
    folder.config.write_text(json.dumps(SCOUT))
    return folder


@pytest.fixture
def sink() -> Iterator[Sink]:
    with mail_server(Sink()) as one:
        yield one


def play(folder: AgentFolder, calls: list[dict[str, Any]], ask: Any, mode: Any = "run", **variables: str) -> list[str]:
    """Let the model make these calls, each in a round of its own, and return what each gave it."""
    definition = load_definition(folder.config)
    toolbox, notices = open_toolbox(
        folder, definition, folder.workspace, run="r", limit=5_000, redactor=Redactor({}), variables=Given(**variables)
    )
    assert notices == []
    approvals = Approvals(mode, ask, folder=folder, rules=definition.approvals, work=folder.workspace)
    model = ScriptedModel(
        script({"steps": [*({"calls": [one]} for one in calls), {"text": "ok"}]}), ModelInfo("scripted:t", 32_000)
    )
    room = Room(Session(model, toolbox, approvals, limits=Limits(retries=0)), Desk())
    room.say("go")
    return [message.content for message in room.session.history if message.role == "tool"]


def smtp(sink: Sink) -> dict[str, str]:
    return {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(sink.port), "SMTP_SECURITY": "none", "SMTP_FROM": "scout@example.org"}


def shown(question: Question) -> str:
    return "\n".join(f"{name} {text}" for block in blocks(question) if isinstance(block, Facts) for name, text in block.pairs)


SEND = call("email.send", to="ann@example.org", bcc="boss@example.com", subject="Hello", body="Good day.")


def test_every_recipient_is_shown_and_each_mail_is_asked_about(scout: AgentFolder, sink: Sink) -> None:
    person = Said(["always", "yes", "no"])

    results = play(scout, [SEND, SEND, call("email.send", to="eve@example.org", subject="s", body="b")], person, **smtp(sink))

    first = person.asked[0]
    assert first.preview.recipients == ("ann@example.org", "boss@example.com")
    assert first.always == ""
    for word in ("to ann@example.org\nboss@example.com", f"network 127.0.0.1:{sink.port}", "Good day."):
        assert word in shown(first)
    assert len(person.asked) == 3
    assert [one.rcpt_tos for one in sink.taken] == [["ann@example.org", "boss@example.com"]]
    assert results[0].startswith("Denied")  # an always that was not offered is no answer
    assert results[1].startswith("Sent")
    assert results[2].startswith("Denied")


@pytest.mark.parametrize(("mode", "ask"), [("run", None), ("auto", None), ("plan", Said(["yes"] * 3))])
def test_without_a_person_or_in_plan_mode_nothing_is_sent(scout: AgentFolder, sink: Sink, mode: str, ask: Any) -> None:
    assert play(scout, [SEND], ask, mode, **smtp(sink))[0].startswith("Denied")
    assert sink.taken == []


def test_a_rule_lets_mail_to_ones_own_through_and_no_hidden_copy_to_others(scout: AgentFolder, sink: Sink) -> None:
    rule = {"decide": "allow", "tool": "email.send", "recipients": ["*@example.org"]}
    scout.config.write_text(json.dumps({**SCOUT, "approvals": [rule]}))
    ours = call("email.send", to="ann@example.org", cc="Bo <bo@example.org>", subject="Hello", body="Good day.")

    results = play(scout, [ours, SEND], None, **smtp(sink))

    assert [one.partition(" ")[0] for one in results] == ["Sent", "Denied."]
    assert [one.rcpt_tos for one in sink.taken] == [["ann@example.org", "bo@example.org"]]


def test_an_attachment_that_changes_while_the_person_looks_is_asked_about_anew(scout: AgentFolder, sink: Sink) -> None:
    file = scout.workspace / "a.txt"
    file.write_text("one")

    class Slow(Said):
        async def __call__(self, question: Question) -> Any:
            if not self.asked:
                file.write_text("two")
            return await super().__call__(question)

    person = Slow(["yes", "yes"])
    wanted = call("email.send", to="ann@example.org", subject="s", body="b", attachments=["a.txt"])
    assert play(scout, [wanted], person, **smtp(sink))[0].startswith("Sent")
    assert len(person.asked) == 2
    (part,) = sink.message().iter_attachments()
    assert part.get_content() == "two"


def test_a_mail_kept_as_a_file_writes_and_nothing_more(scout: AgentFolder, sink: Sink) -> None:
    wanted = call("email.save", path="a.eml", to="ann@example.org", subject="s", body="b")
    assert play(scout, [wanted], None, "auto", **smtp(sink))[0].startswith("Wrote a.eml")
    assert sink.taken == []


def test_a_database_is_read_unasked_and_changed_when_allowed(scout: AgentFolder) -> None:
    with sqlite3.connect(scout.workspace / "a.db") as one:
        one.execute("CREATE TABLE t (a)")
        one.execute("INSERT INTO t VALUES (1), (2)")
    one.close()
    read = call("database.query", sql="SELECT count(*) AS n FROM t", source="a.db")
    change = call("database.execute", sql="DELETE FROM t WHERE a = 1", source="a.db")
    person = Said(["yes", "no"])

    results = play(scout, [read, change, read, change], person)

    assert [one.tool for one in person.asked] == ["database.execute", "database.execute"]
    assert "does Change a.db (1 row)" in shown(person.asked[0])
    assert "DELETE FROM t WHERE a = 1" in shown(person.asked[0])
    assert results[1] == "Done in a.db: 1 row changed."
    assert "1\n(1 row)" in results[2]
    assert results[3].startswith("Denied")
    assert play(scout, [read, change], None, "plan")[1].startswith("Denied")


def test_a_server_is_asked_about_by_its_host(scout: AgentFolder) -> None:
    person = Said(["no"] * 2)
    address = "postgresql://me:hunter2-hunter2@db.example.org/shop"
    results = play(
        scout, [call("database.query", sql="SELECT 1"), call("database.execute", sql="SELECT 1")], person, DATABASE_URL=address
    )
    assert all(one.startswith("Denied") for one in results)
    read, change = person.asked
    assert "network db.example.org:5432" in shown(read)
    assert read.always == "database.query for reading the database on db.example.org:5432"
    assert change.always == ""
    assert "hunter2" not in shown(read) + shown(change)
