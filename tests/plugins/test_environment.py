"""The agent's variables: named without their values, asked of the person on a real terminal, kept in .env."""

from __future__ import annotations

import json
import os
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import AgentFolder
from foundry.agent.secrets import Redactor, read_env
from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.environment import Environment
from foundry.session.variables import SessionVariables, check_askable
from tests.commands.running import MAIN
from tests.session.screens import Terminal

PROMPT = "\u276f"
SECRET = "hunter2-hunter2"


@pytest.fixture
def agent(tmp_path: Path) -> AgentFolder:
    """An agent whose config names two variables, one of them set, with a third in its .env."""
    folder = AgentFolder(tmp_path / "home" / "agents" / "scout")
    folder.workspace.mkdir(parents=True)
    (folder.path / "main.py").write_text(MAIN)
    settings = {
        "name": "scout",
        "tools": ["environment", "clock"],
        "env": {"WEATHER_KEY": "the weather", "CITY": "optional: where"},
    }
    folder.config.write_text(json.dumps(settings))
    folder.env_file.write_text(f"# mine\nWEATHER_KEY={SECRET}\nOTHER=something-else\n")
    return folder


@pytest.fixture
def variables(agent: AgentFolder, monkeypatch: pytest.MonkeyPatch) -> SessionVariables:
    for name in ("WEATHER_KEY", "CITY", "OTHER"):
        monkeypatch.delenv(name, raising=False)
    return SessionVariables(agent, Redactor({}))


def test_names_and_never_values(agent: AgentFolder, variables: SessionVariables) -> None:
    said = Environment(ToolContext(agent.workspace, variables=variables)).names()

    assert said == "WEATHER_KEY: set, the weather\nCITY: not set, optional: where\nOTHER: set"
    assert Environment(ToolContext(agent.workspace)).names().startswith("This agent has no variables")


def test_a_value_is_read_where_it_stands_now_and_is_a_secret_from_then_on(
    agent: AgentFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    redactor = Redactor({})
    one = SessionVariables(agent, redactor)
    assert one.get("WEATHER_KEY") == SECRET
    assert redactor.clean(f"it is {SECRET}") == "it is [WEATHER_KEY]"
    agent.env_file.write_text("WEATHER_KEY=another-value\n")
    assert one.get("WEATHER_KEY") == "another-value"
    assert redactor.clean("another-value") == "[WEATHER_KEY]"
    monkeypatch.setenv("CITY", "Rome")
    assert one.get("CITY") == "Rome"


def test_what_the_agent_was_not_given_it_does_not_get(variables: SessionVariables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOMEBODYS_TOKEN", SECRET)
    assert variables.get("SOMEBODYS_TOKEN") == ""
    assert "SOMEBODYS_TOKEN" not in variables.names()


def test_nobody_there_is_said_with_the_way_to_do_it(agent: AgentFolder, variables: SessionVariables) -> None:
    before = agent.env_file.read_bytes()
    with pytest.raises(ToolError, match=r"Nobody is there.*foundry env scout set CITY"):
        Environment(ToolContext(agent.workspace, variables=variables)).ask("CITY", "to know where")
    with pytest.raises(ToolError, match="why is empty"):
        Environment(ToolContext(agent.workspace, variables=variables)).ask("CITY", " ")
    assert agent.env_file.read_bytes() == before


@pytest.mark.parametrize(
    "name",
    [
        *(
            "PATH",
            "Path",
            "PYTHONPATH",
            "PYTHONSTARTUP",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "DYLD_INSERT_LIBRARIES",
            "GIT_SSH_COMMAND",
        ),
        *(
            "FOUNDRY_MODEL",
            "FOUNDRY_HOME",
            "HTTP_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "NO_PROXY",
            "HOME",
            "SHELL",
            "BASH_ENV",
            "ENV",
        ),
        *(
            "IFS",
            "SSL_CERT_FILE",
            "REQUESTS_CA_BUNDLE",
            "CURL_CA_BUNDLE",
            "NODE_OPTIONS",
            "PERL5LIB",
            "RUBYOPT",
            "JAVA_TOOL_OPTIONS",
        ),
        *(
            "OPENAI_API_KEY",
            "ANTHROPIC_API_KEY",
            "OPENROUTER_API_KEY",
            "OPENAI_BASE_URL",
            "OLLAMA_HOST",
            "UV_INDEX_URL",
            "PIP_INDEX_URL",
        ),
        *(
            "XDG_STATE_HOME",
            "EDITOR",
            "VISUAL",
            "PAGER",
            "TMPDIR",
            "TERM",
            "LANG",
            "LC_ALL",
            "PGHOSTADDR",
            "SSH_AUTH_SOCK",
            "NETRC",
        ),
        *("", "1A", "A B", "A=1", "A\nB", "A\u202e", "Ä", "A-B", "x" * 101),
    ],
)
def test_what_others_obey_is_not_asked_for(name: str) -> None:
    with pytest.raises(ToolError):
        check_askable(name)


@pytest.mark.parametrize(
    "name",
    [
        *("WEATHER_KEY", "SMTP_PASSWORD", "DATABASE_URL", "GITHUB_TOKEN", "GIT_TOKEN", "GITLAB_TOKEN", "JIRA_BASE_URL"),
        *("AWS_SECRET_KEY", "_x"),
    ],
)
def test_keys_of_services_are_asked_for(name: str) -> None:
    check_askable(name)


# on a terminal --------------------------------------------------------------------------------------------------------------

Chats = Callable[..., Terminal]


@pytest.fixture
def chat(agent: AgentFolder, tmp_path: Path) -> Iterator[Chats]:
    """Start the agent on a terminal, its model playing these steps."""
    started: list[Terminal] = []

    def start(*steps: dict[str, Any], more: tuple[str, ...] = ()) -> Terminal:
        (tmp_path / "script.json").write_text(json.dumps({"steps": list(steps)}))
        argv = [sys.executable, "-P", str(agent.path / "main.py"), "--model", "scripted:script.json", *more]
        started.append(Terminal(argv, tmp_path, 100, 40))
        return started[-1]

    yield start
    for terminal in started:
        terminal.stop()


def asks(name: str, why: str = "It is wanted.") -> dict[str, Any]:
    return {"calls": [{"name": "environment.ask", "arguments": {"name": name, "why": why}}]}


@pytest.mark.slow
def test_the_person_types_a_value_that_is_kept_and_never_seen(chat: Chats, agent: AgentFolder) -> None:
    one = chat(
        asks("MAIL_TOKEN", "To send\nmail.\x1b[2J"), asks("CITY"), asks("WEATHER_KEY"),
        {"calls": [{"name": "environment.names", "arguments": {}}]}, {"text": "It said: {result}"},
    )  # fmt: skip
    one.until(PROMPT)
    one.line("go")
    one.until("MAIL_TOKEN (not shown):")
    assert "scout asks for a value and says: To send mail.^[[2J" in one.text
    assert "kept in the agent's .env" in one.text
    one.line("typed-by-hand")
    one.until("CITY (not shown):")
    one.line("")
    one.until("WEATHER_KEY (not shown):")
    assert one.text.count("It has a value already; a new one takes its place.") == 1
    one.keys("\x03")
    one.until("It said:")
    one.until("MAIL_TOKEN: set")
    one.keys("\x04")
    assert one.end() == 0
    assert "typed-by-hand" not in one.text
    assert b"typed-by-hand" not in one.raw
    assert read_env(agent.env_file) == {"WEATHER_KEY": SECRET, "OTHER": "something-else", "MAIL_TOKEN": "typed-by-hand"}
    assert agent.env_file.read_text().startswith("# mine\n")
    if os.name == "posix":
        assert stat.S_IMODE(agent.env_file.stat().st_mode) == 0o600


@pytest.mark.slow
def test_a_question_is_taken_back_when_the_turns_time_is_up(chat: Chats, agent: AgentFolder) -> None:
    before = agent.env_file.read_bytes()
    one = chat(asks("MAIL_TOKEN"), {"text": "Next: {user}"}, more=("--timeout", "2"))
    one.until(PROMPT)
    one.line("go")
    one.until("MAIL_TOKEN (not shown):")
    one.until(PROMPT, count=2)
    one.line("hello again")
    one.until("Next: hello again")
    one.keys("\x04")
    assert one.end() == 0
    assert agent.env_file.read_bytes() == before
