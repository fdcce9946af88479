"""Edit mode played on a real terminal: a tool is built, accepted, used in the same turn, still there, undone and redone."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.history import History, code_of
from foundry.agent.secrets import read_env
from tests.commands.running import foundry, make_runnable
from tests.conftest import FOUNDRY
from tests.model_server import model_server
from tests.session.screens import Terminal

pytestmark = pytest.mark.slow
PROMPT = "\u276f"
ASKS = "Accept it?"
CODE = """from typing import Annotated

from foundry.plugins.api import effects, kernel_function


class Words:
    @kernel_function(description="Count the words of a text.")
    @effects()
    def count(self, text: Annotated[str, "Any text"]) -> int:
        return len(text.split())
"""
TEST = """from foundry_plugins.words import Words


def test_words_are_counted() -> None:
    assert Words().count("one two  three") == 3
"""
Plays = Callable[..., Terminal]


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"name": tool, "arguments": arguments}


BUILD: list[dict[str, Any]] = [
    {"calls": [call("agent_code.new_plugin", name="words", description="Counts words.", code=CODE)]},
    {"calls": [call("agent_code.write_file", path="plugins/words/tests/test_words.py", content=TEST)]},
    {"calls": [call("agent_code.run_tests", plugin="words")]},
    {"calls": [call("agent_code.propose", summary="A tool that counts words.")]},
]
USE: list[dict[str, Any]] = [{"calls": [call("words.count", text="to be or not to be")]}, {"text": "That is {result} words."}]


@pytest.fixture
def agent(home: Path) -> AgentFolder:
    return make_runnable(Home(home), "scout", tools=["clock"])


@pytest.fixture
def play(agent: AgentFolder, tmp_path: Path) -> Iterator[Plays]:
    """Start `foundry run scout` on a terminal, its model playing these steps."""
    started: list[Terminal] = []

    def start(*steps: dict[str, Any], words: tuple[str, ...] = ("--edit",), columns: int = 100, **env: str) -> Terminal:
        (tmp_path / "script.json").write_text(json.dumps({"steps": list(steps)}))
        argv = [*FOUNDRY, "run", "scout", "--model", "scripted:script.json", *words]
        terminal = Terminal(argv, tmp_path, columns, 60, env)
        started.append(terminal)
        terminal.until(PROMPT)
        return terminal

    yield start
    for one in started:
        one.stop()


def left(terminal: Terminal) -> int:
    terminal.keys("\x04")
    return terminal.end()


def test_a_tool_is_built_accepted_and_used_in_the_same_turn(agent: AgentFolder, play: Plays) -> None:
    before = code_of(agent)
    one = play(*BUILD, *USE)
    one.line("Count the words of: to be or not to be")
    shown = one.until(ASKS, patience=40)
    assert "A tool that counts words." in shown
    assert "words.count" in shown
    assert "passed" in shown
    assert "text: string" in shown
    assert code_of(agent) == before, "nothing counts before it is accepted"
    one.line("y")
    one.until("That is 6 words.")
    assert left(one) == 0
    after = code_of(agent)
    assert set(after) - set(before) == {
        "plugins/words/__init__.py",
        "plugins/words/plugin.json",
        "plugins/words/tests/test_words.py",
    }

    again = play(*USE, words=())
    again.line("Count them again")
    again.until("That is 6 words.")
    assert "Allow it?" not in again.text, "what was accepted as changing nothing is not asked about"
    assert left(again) == 0

    assert foundry("undo", "scout", "--yes").returncode == 0
    assert code_of(agent) == before
    assert foundry("redo", "scout", "--yes").returncode == 0
    assert code_of(agent) == after
    third = play(*USE, words=())
    third.line("And once more")
    third.until("That is 6 words.")
    assert "Allow it?" not in third.text, "what was accepted once is so again after a redo"


@pytest.mark.parametrize("said", ["", "n", "q", "\x1b[A", "yes please"])
def test_anything_but_a_yes_leaves_everything_as_it_was(agent: AgentFolder, play: Plays, said: str) -> None:
    before = code_of(agent)
    one = play(*BUILD, {"text": "It said: {result}"})
    one.line("go")
    one.until(ASKS, patience=40)
    one.line(said)
    one.until("It said: Not accepted")
    assert left(one) == 0
    assert code_of(agent) == before


def test_ctrl_c_at_the_screen_is_a_no(agent: AgentFolder, play: Plays) -> None:
    before = code_of(agent)
    one = play(*BUILD, {"text": "It said: {result}"})
    one.line("go")
    one.until(ASKS, patience=40)
    one.keys("\x03")
    one.until("It said: Not accepted")
    assert code_of(agent) == before


def test_a_comment_reaches_the_model(agent: AgentFolder, play: Plays) -> None:
    one = play(*BUILD, {"text": "It said: {result}"})
    one.line("go")
    one.until(ASKS, patience=40)
    one.line("c")
    one.until("Say to the model")
    one.line("call it tally")
    one.until("tally", count=2)


def test_file_by_file_takes_only_what_was_taken(agent: AgentFolder, play: Plays) -> None:
    one = play(*BUILD, {"text": "It said: {result}"})
    one.line("go")
    one.until(ASKS, patience=40)
    one.line("f")
    for count, said in enumerate("yyyn", 1):  # the configuration, the plugin, its plugin.json, its test
        one.until("This file?", count=count)
        one.line(said)
    one.until("It said: Accepted", patience=40)
    assert {name for name in code_of(agent) if name.startswith("plugins/")} == {
        "plugins/words/__init__.py",
        "plugins/words/plugin.json",
    }


def test_ctrl_c_between_the_files_takes_none(agent: AgentFolder, play: Plays) -> None:
    one = play(*BUILD, {"text": "It said: {result}"})
    one.line("go")
    one.until(ASKS, patience=40)
    one.line("f")
    one.until("This file?")
    one.line("y")
    one.until("This file?", count=2)
    one.keys("\x03")
    one.until("It said: Not accepted")
    assert not agent.plugins.joinpath("words").exists()


def test_the_editor_changes_what_is_accepted(agent: AgentFolder, play: Plays, tmp_path: Path) -> None:
    editor = tmp_path / "editor.sh"
    editor.write_text("#!/bin/sh\nsed -i 's/return len(text.split())/return 42/' \"$1\"\n")
    editor.chmod(0o755)
    one = play(*BUILD[:1], BUILD[3], *USE, EDITOR=str(editor))
    one.line("go")
    shown = one.until(ASKS, patience=40)
    one.line("e")
    listed = one.until("Edit:").rpartition("which file")[2]
    number = next(line.split()[0] for line in listed.splitlines() if line.strip().endswith("words/__init__.py"))
    one.line(number)
    one.until(ASKS, patience=40, count=shown.count(ASKS) + 1)
    one.line("y")
    one.until("That is 42 words.")


def test_edit_and_run_inside_a_chat_and_undo_there(agent: AgentFolder, play: Plays) -> None:
    before = code_of(agent)
    one = play(*BUILD, *USE, {"text": "and on"}, words=())
    one.line("/edit")
    one.until("Edit mode")
    one.line("go")
    one.until(ASKS, patience=40)
    one.line("y")
    one.until("That is 6 words.")
    one.line("/history")
    one.until("accepted")
    one.line("/run")
    one.until("Edit mode is left")
    one.line("/tools")
    one.until("words.count")
    one.line("/undo")
    one.until("Do it?")
    one.line("y")
    one.until("is that of version 1 again")
    assert code_of(agent) == before
    one.line("/redo")
    one.until("Do it?", count=2)
    one.line("y")
    one.until("is that of version 2 again")
    assert "plugins/words/__init__.py" in code_of(agent)


def test_reload_takes_up_what_was_changed_by_hand(agent: AgentFolder, play: Plays) -> None:
    one = play({"calls": [call("hello.greet")]}, {"text": "It says {result}"}, words=())
    one.line("/tools")
    one.until("clock.now")
    plugin = agent.plugins / "hello"
    plugin.mkdir(parents=True, exist_ok=True)
    (plugin / "__init__.py").write_text(
        "from foundry.plugins.api import effects, kernel_function\n\n\nclass Hello:\n    @kernel_function\n    @effects()\n"
        '    def greet(self) -> str:\n        """Greet."""\n        return "good day"\n'
    )
    config = json.loads(agent.config.read_text())
    agent.config.write_text(json.dumps({**config, "plugins": ["hello"]}))
    one.line("/reload")
    shown = one.until("Take this up?")
    assert "good day" in shown
    one.line("y")
    one.until("is version 2 now")
    one.line("greet")
    one.until("It says good day")
    assert [version.kind for version in History(agent).versions()] == ["made", "hand edit"]


def test_a_variable_is_asked_for_unseen_and_never_told(agent: AgentFolder, play: Plays, tmp_path: Path) -> None:
    value = "hunter2-value-of-a-key"
    code = CODE.replace("return len(text.split())", "import os\n\n        return len(os.environ['WORD_KEY'])")
    one = play(
        {"calls": [call("agent_code.new_plugin", name="words", description="d", code=code)]},
        {"calls": [call("agent_code.configure", env={"WORD_KEY": "for the word service"})]},
        BUILD[3],
        *USE,
    )
    one.line("go")
    assert "for the word service" in one.until(ASKS, patience=40)
    one.line("y")
    one.until("WORD_KEY")
    one.until("not shown")
    one.line(value)
    one.until(f"That is {len(value)} words.")
    assert value not in one.text
    assert value.encode() not in one.raw
    assert read_env(agent.env_file)["WORD_KEY"] == value


def test_with_nobody_there_nothing_is_accepted(agent: AgentFolder, tmp_path: Path) -> None:
    before = code_of(agent)
    (tmp_path / "script.json").write_text(json.dumps({"steps": [*BUILD, {"text": "It said: {result}"}]}))
    done = foundry("run", "scout", "--edit", "-p", "go", "--model", "scripted:script.json", cwd=tmp_path)
    assert "Nobody is there" in done.stdout, done.stderr
    assert code_of(agent) == before


def test_an_accept_against_a_file_changed_meanwhile_is_refused(agent: AgentFolder, play: Plays) -> None:
    one = play(*BUILD, {"text": "It said: {result}"})
    one.line("go")
    one.until(ASKS, patience=40)
    config = agent.config.read_text()
    agent.config.write_text(config.replace("scout", "scout", 1) + "\n")
    one.line("y")
    one.until("changed meanwhile")
    assert not (agent.plugins / "words").exists()


def test_another_session_of_the_agent_is_named(agent: AgentFolder, play: Plays) -> None:
    other = play({"text": "hi"}, words=())
    one = play(*BUILD, {"text": "It said: {result}"})
    one.line("go")
    one.until(ASKS, patience=40)
    one.line("y")
    one.until("error: the agent 'scout' is in use by process")
    one.until("End it first")
    assert not (agent.plugins / "words").exists()
    assert left(other) == 0


def test_the_shadow_is_gone_after_the_session_also_after_a_kill(agent: AgentFolder, play: Plays, home: Path) -> None:
    shadows = home / ".foundry" / "shadow"
    one = play(*BUILD[:2], {"text": "so far"})
    one.line("go")
    one.until("so far")
    assert list(shadows.iterdir())
    os.kill(int(one.process.pid), signal.SIGKILL)
    two = play({"text": "again"})
    two.line("go")
    two.until("again")
    assert len(list(shadows.iterdir())) == 1
    assert left(two) == 0
    assert not list(shadows.iterdir())


def test_any_openai_compatible_model_goes_the_same_way(agent: AgentFolder, tmp_path: Path) -> None:
    with model_server([*BUILD, *USE]) as server:
        env = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-test-key-of-nobody"}
        one = Terminal([*FOUNDRY, "run", "scout", "--edit", "--model", "openai:any"], tmp_path, 100, 60, env)
        one.until(PROMPT)
        one.line("Count the words of: to be or not to be")
        one.until(ASKS, patience=40)
        one.line("y")
        one.until("That is 6 words.")
        assert left(one) == 0
        offered = [{tool["function"]["name"] for tool in body["tools"]} for body in server.bodies]
        assert "words-count" not in offered[3]
        assert "words-count" in offered[4], "it is there in the next request of the same turn"
