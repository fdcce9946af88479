"""`foundry run` from the outside: one request in, an answer and an exit code out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import Home
from tests.commands.real import one_agent
from tests.commands.running import foundry, make_runnable, script, started
from tests.conftest import FOUNDRY
from tests.model_server import model_server
from tests.plugins.github_world import TOKEN, hub_server
from tests.session.screens import Terminal

PLUGIN = '''"""Touch things."""
from foundry.plugins.api import kernel_function


class Own:
    @kernel_function
    def touch(self, path: str) -> str:
        """Change a file."""
        return f"touched {path}"
'''
OWN = {"plugins/own/__init__.py": PLUGIN}
TOUCH = {"calls": [{"name": "own.touch", "arguments": {"path": "a"}}]}
CLOCK = {"calls": [{"name": "clock.now", "arguments": {}}]}


@pytest.fixture
def ask(place: Home, tmp_path: Path) -> Any:
    """Make the agent `talker` with this script and run it with these words."""

    def run(*words: str, steps: Any = ({"text": "Hello."},), given: str | None = None, **config: Any) -> Any:
        make_runnable(place, "talker", OWN, **{"tools": ["clock", "read_write_code"], "plugins": ["own"], **config})
        return foundry("run", "talker", "--model", script(tmp_path / "script.json", *steps), *words, given=given, cwd=tmp_path)

    return run


def test_text_is_only_the_answer(ask: Any) -> None:
    ended = ask("-p", "hi", steps=[{"text": "Let me see.", **CLOCK}, {"text": "# It is\n\n{result}", "chunk": 3}])
    assert ended.returncode == 0
    assert ended.stdout.startswith("# It is\n\n")
    assert ended.stderr == ""


def test_json_is_one_envelope(ask: Any) -> None:
    ended = ask("-p", "hi", "--output", "json", steps=[CLOCK, {"text": "Late."}])
    body = json.loads(ended.stdout)
    assert (body["version"], body["ok"], body["error"]) == (1, True, None)
    data = body["data"]
    assert (data["agent"], data["answer"], data["stop"]) == ("talker", "Late.", "done")
    assert data["usage"]["input"] > 0
    (call,) = data["tool_calls"]
    assert (call["tool"], call["arguments"], call["allowed"], call["by"], call["ok"]) == ("clock.now", {}, True, "mode", True)


def test_events_come_one_a_line(ask: Any) -> None:
    ended = ask("-p", "hi", "--output", "events", steps=[CLOCK, {"text": "Late."}])
    events = [json.loads(line)["event"] for line in ended.stdout.splitlines()]
    assert events[:2] == ["RunStarted", "UserSaid"]
    assert events[-1] == "TurnEnded"
    assert "ToolReturned" in events


@pytest.mark.parametrize(
    ("words", "given", "heard"),
    [
        (["-p", "sum up"], None, "[sum up]"),
        ([], "material\n", "[material]"),
        (["-p", "sum up"], "material\n", "[sum up\n\n<input>\nmaterial\n</input>]"),
        (["-p", "--help"], None, "[--help]"),
    ],
)
def test_the_request_is_the_prompt_the_pipe_or_both(ask: Any, words: list[str], given: str | None, heard: str) -> None:
    assert ask(*words, steps=[{"text": "[{user}]"}], given=given).stdout.strip() == heard


@pytest.mark.parametrize("given", [None, "", " \n"])
def test_nothing_to_ask_is_a_mistake_in_usage(ask: Any, given: str | None) -> None:
    ended = ask(given=given)
    assert ended.returncode == 2
    assert "nothing to ask" in ended.stderr


def test_an_open_pipe_that_nobody_writes_to_is_not_waited_for(ask: Any, tmp_path: Path) -> None:
    ask("-p", "warm")
    reader, writer = os.pipe()
    try:
        ended = subprocess.run(
            [*FOUNDRY, "run", "talker", "-p", "hi", "--model", script(tmp_path / "again.json", {"text": "Hello."})],
            stdin=reader, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
    finally:
        os.close(reader)
        os.close(writer)
    assert (ended.returncode, ended.stdout) == (0, "Hello.\n")
    assert "asked without it" in ended.stderr


def test_a_pipe_that_delivers_and_stays_open_is_waited_for_and_that_is_said(ask: Any, tmp_path: Path) -> None:
    ask("-p", "warm")
    model = script(tmp_path / "again.json", {"text": "[{user}]"})
    run = started("run", "talker", "-p", "sum up", "--model", model, stdin=subprocess.PIPE)
    assert run.stdin
    assert run.stderr
    run.stdin.write("first half, ")
    run.stdin.flush()
    told = run.stderr.readline()
    out, _ = run.communicate("second half")
    assert "end of standard input (12 bytes so far)" in told
    assert "first half, second half" in out


def test_what_is_too_long_or_no_text_is_refused_clearly(ask: Any, tmp_path: Path) -> None:
    ended = ask("-p", "sum up", given="many words " * 20_000)
    assert ended.returncode == 2
    assert "tokens" in ended.stderr
    (tmp_path / "picture").write_bytes(b"\x89PNG\xff\xfe")
    with (tmp_path / "picture").open("rb") as picture:
        again = subprocess.run(
            [*FOUNDRY, "run", "talker", "--model", "scripted:x"], stdin=picture, capture_output=True, text=True
        )
    assert again.returncode == 2
    assert "not UTF-8" in again.stderr


@pytest.mark.parametrize(
    ("words", "steps", "code", "stop"),
    [
        ([], [TOUCH, {"text": "I may not."}], 6, "denied"),
        ([], [TOUCH, CLOCK, {"text": "Done otherwise."}], 0, "done"),
        (["--mode", "plan"], [TOUCH, {"text": "I may not."}], 6, "denied"),
        (["--max-rounds", "1"], [CLOCK, {"text": "So far."}], 6, "limit"),
        (["--timeout", "0.3"], [{"text": "slow", "delay": 9}], 6, "limit"),
        ([], [{"error": {"status": 401}}], 5, "failed"),
    ],
)
def test_exit_codes(ask: Any, words: list[str], steps: list[Any], code: int, stop: str) -> None:
    ended = ask("-p", "hi", "--output", "json", *words, steps=steps)
    body = json.loads(ended.stdout)
    assert (ended.returncode, body["data"]["stop"], body["ok"]) == (code, stop, code == 0)
    assert bool(body["error"]) == bool(code)


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ((), "run"),
        (("--mode", "plan"), "plan"),
        (("--mode", "auto"), "auto"),
        (("--mode", "edit"), "edit"),
        (("--edit",), "edit"),
    ],
)
def test_every_mode_can_be_asked_for(ask: Any, words: tuple[str, ...], mode: str) -> None:
    ended = ask("-p", "hi", "--output", "events", *words)
    assert ended.returncode == 0
    assert json.loads(ended.stdout.splitlines()[0])["mode"] == mode


def test_no_model_at_all_is_not_ready(place: Home) -> None:
    make_runnable(place, "talker", model="openai:any")
    ended = foundry("run", "talker", "-p", "hi")
    assert ended.returncode == 4
    assert "OPENAI_API_KEY" in ended.stderr


def test_errors_before_the_run_keep_the_form_that_was_asked_for(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "no.json").write_text("{}")
    ended = ask("-p", "hi", "--output", "json", "--model", f"scripted:{tmp_path / 'no.json'}")
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["ok"] is False
    again = foundry("run", "talker", "-p", "hi", "--output", "events", "--model", f"scripted:{tmp_path / 'no.json'}")
    assert json.loads(again.stdout)["event"] == "Failed"


def test_errors_of_the_command_itself_are_events_too(place: Home) -> None:
    make_runnable(place, "talker", model="openai:any")
    for name, code in {"nobody": 1, "talker": 4}.items():
        ended = foundry("run", name, "-p", "hi", "--output", "events")
        assert ended.returncode == code
        assert json.loads(ended.stdout)["event"] == "Failed"
    assert "foundry env talker set" in ended.stdout


def test_a_broken_plugin_is_named_and_the_agent_still_runs(place: Home, tmp_path: Path) -> None:
    make_runnable(place, "talker", {"plugins/bad/__init__.py": "def ("}, plugins=["bad"])
    ended = foundry("run", "talker", "-p", "hi", "--model", script(tmp_path / "s.json", {"text": "Still here."}))
    assert (ended.returncode, ended.stdout) == (0, "Still here.\n")
    assert "bad" in ended.stderr
    assert "__init__.py:1" in ended.stderr


def test_the_folder_is_what_tools_may_touch(ask: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "note.txt").write_text("the word is plum")
    (tmp_path / "data" / "out").symlink_to("/etc")
    read = {"calls": [{"name": "read_write_code.read_file", "arguments": {"path": "note.txt"}}]}
    out = {"calls": [{"name": "read_write_code.read_file", "arguments": {"path": "out/hostname"}}]}
    ended = ask("-p", "hi", "--folder", "data", "--output", "events", steps=[read, out, {"text": "ok"}])
    results = [one["result"] for one in map(json.loads, ended.stdout.splitlines()) if one["event"] == "ToolReturned"]
    assert "plum" in results[0]["content"]
    assert results[1]["ok"] is False


@pytest.mark.parametrize("folder", ["home/agents/talker", "home/agents/talker/plugins", "nowhere"])
def test_the_agents_own_folder_is_refused(ask: Any, folder: str) -> None:
    assert ask("-p", "hi", "--folder", folder).returncode == 2


def test_a_reader_that_leaves_ends_it_quietly(ask: Any, tmp_path: Path) -> None:
    ask("-p", "warm")
    model = script(tmp_path / "long.json", {"text": "word " * 50_000, "chunk": 50})
    run = started("run", "talker", "-p", "hi", "--output", "events", "--model", model)
    assert run.stdout
    assert run.stderr
    run.stdout.readline()
    run.stdout.close()
    assert run.stderr.read() == ""
    assert run.wait(20) == 0
    run.stderr.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_end_it_in_good_order(ask: Any, tmp_path: Path, number: int, code: int) -> None:
    ask("-p", "warm")
    model = script(tmp_path / "slow.json", {"text": "word " * 100, "chunk": 5, "delay": 0.1})
    run = started("run", "talker", "-p", "hi", "--output", "events", "--model", model)
    assert run.stdout
    for line in run.stdout:
        if "TextDelta" in line:
            break
    run.send_signal(number)
    last = json.loads(run.stdout.read().splitlines()[-1])
    assert (last["event"], last["stop"]) == ("TurnEnded", "interrupted")
    assert run.wait(20) == code
    run.communicate()


def test_main_py_runs_by_hand_too(ask: Any, place: Home, tmp_path: Path) -> None:
    ask("-p", "warm")
    main = place.agents / "talker" / "main.py"
    model = script(tmp_path / "hand.json", {"text": "By hand."})
    ended = subprocess.run(
        [sys.executable, "-P", main, "-p", "hi", "--model", model], stdin=subprocess.DEVNULL, capture_output=True
    )
    assert (ended.returncode, ended.stdout) == (0, b"By hand.\n")


@pytest.mark.parametrize("wait", [0.0, 0.2])
def test_a_line_typed_before_the_prompt_stands_is_sent(place: Home, tmp_path: Path, wait: float) -> None:
    make_runnable(place, "talker")
    model = script(tmp_path / "s.json", {"text": "You said {user}."})
    terminal = Terminal([*FOUNDRY, "run", "talker", "--model", model], tmp_path)
    try:
        time.sleep(wait)
        terminal.line("hello there")
        terminal.until("You said hello there.")
    finally:
        terminal.stop()


def test_a_terminal_closed_at_the_prompt_ends_the_chat_as_a_hang_up_does(place: Home, tmp_path: Path) -> None:
    make_runnable(place, "talker")
    terminal = Terminal([*FOUNDRY, "run", "talker", "--model", script(tmp_path / "s.json", {"text": "Hello."})], tmp_path)
    terminal.until("\u276f")
    terminal.line("hi")
    terminal.until("Hello.")
    assert terminal.hang_up() == 129


@pytest.mark.slow
def test_an_agent_made_by_create_talks_from_its_own_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    with one_agent(tmp_path_factory) as (home, _), model_server([{"text": "From {user}"}]) as server:
        words = ["run", "scout", "--home", str(home.path), "-p", "afar", "--model", "openai:scripted"]
        env = {**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none-at-all"}
        ended = subprocess.run([*FOUNDRY, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "From afar\n"), ended.stderr


def test_what_a_library_logs_with_a_servers_words_in_it_is_not_on_the_screen(ask: Any, place: Home) -> None:
    with hub_server() as hub:

        def evil(handler: Any) -> bool:
            handler.answer(301, {}, {"Location": f"{hub.url}/{len(hub.seen)}\x1b]0;pwned\x07"})  # PyGithub tells where it is led
            return True

        hub.instead = evil
        (env := place.agents / "talker" / ".env").parent.mkdir(parents=True)
        env.write_text(f"GITHUB_TOKEN={TOKEN}\nGITHUB_BASE_URL={hub.url}\n")
        issues = {"calls": [{"name": "github.issues", "arguments": {"repository": "octo/hello"}}]}
        rule = [{"decide": "allow", "tool": "github.*"}]
        ended = ask("-p", "hi", steps=[issues, {"text": "{result}"}], tools=["github"], approvals=rule)
        assert len(hub.seen) > 1
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "too many requests" in ended.stdout
