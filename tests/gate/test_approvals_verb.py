"""`foundry approvals`: the rules in force and what they decided, taking back, and why a call would run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.decisions import record
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.standing import Grant, change_standing, standing_of
from foundry.plugins.cards import plugin_code_hash
from tests.commands.conftest import make_agent
from tests.commands.running import foundry

PLUGIN = '''"""Look."""
from foundry.plugins.api import effects, kernel_function
raise SystemExit("nothing that explains may run this")


class Own:
    @kernel_function
    @effects("reads")
    def look(self, path: str = "") -> str:
        """Look."""
        return ""
'''
RULES = [
    {"decide": "deny", "paths": ["private/**"]},
    {"decide": "allow", "tool": "read_write_code.*", "paths": ["docs/**"], "effect": "writes"},
]


@pytest.fixture
def scout(home: Path) -> AgentFolder:
    files = {"plugins/own/__init__.py": PLUGIN}
    return make_agent(Home(home), "scout", files, tools=["read_write_code"], plugins=["own"], approvals=RULES)


def told(*words: str, code: int = 0) -> Any:
    ran = foundry("approvals", "scout", *words, "--json")
    assert ran.returncode == code, ran.stderr + ran.stdout
    body = json.loads(ran.stdout)
    return body["data"] if code == 0 else body["error"]


def test_the_rules_are_listed_with_their_source_and_what_they_decided(scout: AgentFolder) -> None:
    grant = Grant("read_write_code.write_file", f"files in {scout.workspace}", "2026-01-01T00:00:00+00:00")
    change_standing(scout, lambda old: replace(old, grants=(grant,), accepted={"own": "c0de"}))
    record(scout, {"tool": "x", "allowed": False, "rule": "rule 1 of agent.config.json", "at": "2026-01-02T03:04:05+00:00"})
    record(
        scout,
        {"tool": "x", "allowed": True, "rule": f"always: {grant.tool} for {grant.scope}", "at": "2026-01-03T00:00:00+00:00"},
    )
    record(scout, {"tool": "x", "allowed": True, "rule": "", "at": "2026-01-03T00:00:00+00:00"})
    shown = told()
    assert [(one["source"], one["matched"], one["number"]) for one in shown["rules"]] == [
        ("rule 1 of agent.config.json", 1, 0),
        ("rule 2 of agent.config.json", 0, 0),
        ("always", 1, 1),
        ("accepted", 0, 2),
    ]
    assert (shown["decided"], shown["denied"]) == (3, 1)
    text = foundry("approvals", "scout").stdout
    assert "deny * · paths private/**" in text
    assert "ask each time" in text


def test_what_was_given_is_taken_back_one_by_one_or_all(scout: AgentFolder) -> None:
    grants = tuple(Grant("a.b", scope, "2026-01-01T00:00:00+00:00") for scope in ("x", "y", "z"))
    change_standing(scout, lambda old: replace(old, grants=grants, accepted={"own": "c0de"}))
    assert told("revoke", "2")["removed"] == ["always: a.b for y"]
    assert [one.scope for one in standing_of(scout).grants] == ["x", "z"]
    assert len(told("revoke", "all")["removed"]) == 3
    assert (standing_of(scout).grants, standing_of(scout).accepted) == ((), {})
    assert told("revoke", "all")["removed"] == []


@pytest.mark.parametrize("which", ["0", "1", "x", "²"])
def test_what_is_not_on_the_list_cannot_be_taken_back(scout: AgentFolder, which: str) -> None:
    assert "take back" in told("revoke", which, code=2)["message"]


WRITE = 'read_write_code.write_file {{"path": "{}", "content": "x"}}'


@pytest.mark.parametrize(
    ("call", "mode", "verdict", "rule"),
    [
        ('read_write_code.read_file {"path": "a.txt"}', "plan", "allow", ""),
        ('read_write_code.read_file {"path": "private/a.txt"}', "auto", "deny", "rule 1 of agent.config.json"),
        (WRITE.format("a.txt"), "plan", "deny", ""),
        (WRITE.format("a.txt"), "run", "ask", ""),
        (WRITE.format("a.txt"), "auto", "allow", ""),
        (WRITE.format("docs/a.txt"), "run", "allow", "rule 2 of agent.config.json"),
        (WRITE.format("private/a.txt"), "auto", "deny", "rule 1 of agent.config.json"),
        (WRITE.format(".bashrc"), "auto", "ask", ""),
        (WRITE.format("docs/.bashrc"), "auto", "ask", ""),
        ("own.look", "auto", "ask", ""),
        ("own.look", "plan", "deny", ""),
    ],
)
def test_a_call_is_explained(scout: AgentFolder, call: str, mode: str, verdict: str, rule: str) -> None:
    said = told("explain", call, "--mode", mode)
    assert (said["verdict"], said["rule"]) == (verdict, rule)
    assert not list(scout.workspace.iterdir())
    columns = {one["column"] for one in said["columns"]}
    assert ("protected" in columns) == (".bashrc" in call)


def test_a_grant_and_an_accepted_plugin_are_explained(scout: AgentFolder) -> None:
    code = plugin_code_hash(scout.plugins / "own")
    grant = Grant("read_write_code.write_file", f"files in {scout.workspace.resolve()}", "2026-01-01T00:00:00+00:00")
    change_standing(scout, lambda old: replace(old, grants=(grant,), accepted={"own": code}))
    assert told("explain", WRITE.format("a.txt"))["by"] == "grant"
    assert told("explain", "own.look")["verdict"] == "allow"
    assert "decided by" in foundry("approvals", "scout", "explain", WRITE.format("a.txt")).stdout


@pytest.mark.parametrize(
    ("call", "code"),
    [
        ("own.lok", "unknown_tool"),
        ("own.look {", "usage"),
        ("own.look [1]", "usage"),
        (WRITE.format("../a.txt"), "refused"),
        (WRITE.format(".env"), "refused"),
        (WRITE.format("agent.config.json"), "refused"),
        ('read_write_code.write_file {"pth": "a"}', "refused"),
    ],
)
def test_what_cannot_be_explained_says_why(scout: AgentFolder, call: str, code: str) -> None:
    assert told("explain", call, code=2)["code"] == code


@pytest.mark.parametrize("words", [["explain"], ["revoke"], ["list", "x"], ["what"]])
def test_wrong_words_are_a_usage_error(scout: AgentFolder, words: list[str]) -> None:
    told(*words, code=2)


@pytest.mark.parametrize(
    ("words", "says"),
    [(("revoke",), "takes a number of the list, or all"), (("explain",), "takes a call"), (("list", "x"), "takes nothing more")],
)
def test_a_missing_or_needless_word_is_named(scout: AgentFolder, words: tuple[str, ...], says: str) -> None:
    assert says in told(*words, code=2)["message"]


def test_a_number_to_revoke_is_not_asked_for_where_there_is_none(scout: AgentFolder) -> None:
    assert told("revoke", "9", code=2)["hint"] == "Nothing was always allowed to scout."
