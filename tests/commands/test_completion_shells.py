"""You press Tab in bash, zsh or fish, and get what can stand there: quickly, quietly, and nothing that would run or mislead."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.session.screens import Terminal

pytestmark = pytest.mark.slow

BIN = Path(sys.executable).parent
EVERY_SHELL = ["bash", "zsh", "fish"]
CLEAR = "\x15"  # Ctrl+U: the line is empty again
# What `foundry completion --help` tells people to write into their shell's start file.
INSTALLED = {
    "bash": 'eval "$(foundry completion bash)"',
    "zsh": 'autoload -Uz compinit && compinit\neval "$(foundry completion zsh)"',
    "fish": "foundry completion fish | source",
}
PROMPT = {
    "bash": (".bashrc", "PS1='ready> '"),
    "zsh": (".zshrc", "PROMPT='ready> '"),
    "fish": (
        ".config/fish/config.fish",
        "function fish_prompt; echo -n 'ready> '; end\nset -g fish_greeting\nset -g fish_autosuggestion_enabled 0",
    ),
}
Start = Callable[..., Terminal]


def add(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(text + "\n")


def make_agents(home: Path, *names: str) -> None:
    for name in names:
        add(home / "agents" / name / "agent.config.json", json.dumps({"name": name, "env": ["API_TOKEN", "API_URL"]}))


def printed_script(shell: str, program: Path = BIN / "foundry") -> str:
    told = subprocess.run([program, "completion", shell], capture_output=True, text=True, check=True).stdout
    return "autoload -Uz compinit && compinit\n" + told if shell == "zsh" else told


@pytest.fixture(params=EVERY_SHELL)
def shell(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if not shutil.which(name):
        pytest.skip(f"{name} is not installed")
    return name


@pytest.fixture
def start(shell: str, home: Path, own_world: Path) -> Iterator[Start]:
    """Starts the shell as its user would, completion installed; with `script` given, that one is installed."""
    running: list[Terminal] = []

    def begin(cwd: Path = home, script: str = "", **env: str) -> Terminal:
        file, text = PROMPT[shell]
        add(own_world / file, text)
        add(own_world / file, script or INSTALLED[shell])
        world = {"ZDOTDIR": str(own_world), "PATH": f"{BIN}:/usr/bin:/bin", **env}
        terminal = Terminal([shutil.which(shell) or shell, "-i"], cwd, columns=150, lines=50, env=world)
        running.append(terminal)
        terminal.until("ready>", 30)
        return terminal

    yield begin
    for one in running:
        one.stop()


def tab(terminal: Terminal, line: str, becomes: str) -> None:
    """Type a line, Tab and a dot, which shows where the line ended; it is empty afterwards."""
    terminal.keys(line)
    terminal.until(f"> {line}")
    terminal.keys("\t.")
    terminal.until(f"> {becomes}.")
    terminal.keys(CLEAR)


def listed(terminal: Terminal, line: str, wanted: str, tabs: int = 2) -> str:
    """Type a line and as many Tabs as bash wants for a list, and return what is shown; the line is empty afterwards."""
    terminal.keys(line)
    terminal.until(f"> {line}".rstrip())
    terminal.keys("\t" * tabs)
    shown = terminal.until(wanted)
    terminal.keys(CLEAR)
    return shown


def assert_quiet(terminal: Terminal, line: str) -> None:
    """Tab adds nothing to the line, and nothing to the screen."""
    terminal.keys(line)
    before = terminal.until(f"> {line}").rstrip()
    terminal.keys("\t.")
    assert terminal.until(f"> {line}.").rstrip() == f"{before}."
    terminal.keys(CLEAR)


@pytest.mark.parametrize("name", EVERY_SHELL)
def test_the_help_says_how_each_shell_loads_it(name: str) -> None:
    told = subprocess.run([BIN / "foundry", "completion", "--help"], capture_output=True, text=True).stdout

    assert all(line in told for line in [*INSTALLED[name].splitlines(), Path(PROMPT[name][0]).name])


def test_commands_options_and_choices_are_typed_to_their_end(start: Start, home: Path) -> None:
    make_agents(home, "scout")
    terminal = start()

    tab(terminal, "foundry comp", "foundry completion ")
    tab(terminal, "foundry mcp se", "foundry mcp serve ")
    tab(terminal, "foundry model pu", "foundry model pull ")
    tab(terminal, "foundry trash em", "foundry trash empty ")
    tab(terminal, "foundry env scout uns", "foundry env scout unset ")
    tab(terminal, "foundry run scout --ou", "foundry run scout --output ")
    tab(terminal, "foundry run scout --output ev", "foundry run scout --output events ")
    tab(terminal, "foundry run scout --mode=e", "foundry run scout --mode=edit ")
    tab(terminal, "foundry run $(touch pwned) --mode ed", "foundry run $(touch pwned) --mode edit ")
    tab(terminal, "echo x; foundry run scout --mode e", "echo x; foundry run scout --mode edit ")
    assert not list(home.rglob("pwned"))


def test_names_are_typed_to_their_end(start: Start, home: Path) -> None:
    make_agents(home, "scout", "Writer-2_b")
    (home / ".foundry" / "trash" / "old@20261121T054042Z").mkdir(parents=True)
    terminal = start()

    tab(terminal, "foundry run sc", "foundry run scout ")
    tab(terminal, "foundry mcp list wr", "foundry mcp list Writer-2_b ")
    tab(terminal, 'foundry run "sc', 'foundry run "scout" ')
    tab(terminal, "FOUNDRY_OFFLINE=1 foundry run sc", "FOUNDRY_OFFLINE=1 foundry run scout ")
    tab(terminal, "foundry env scout set API_T", "foundry env scout set API_TOKEN ")
    tab(terminal, "foundry restore old@2", "foundry restore old@20261121T054042Z ")
    tab(terminal, "foundry create x --blueprint=gui", "foundry create x --blueprint=guide ")
    tab(terminal, "foundry create x --tools clock,gr", "foundry create x --tools clock,grep_codebase ")


def test_files_and_folders_are_typed_to_their_end(start: Start, home: Path) -> None:
    for name in ("secrets.env", "notes.md", "my notes.md", "texts/first.md"):
        add(home / name, "text")
    terminal = start()

    tab(terminal, "foundry create x --env-file se", "foundry create x --env-file secrets.env ")
    tab(terminal, "foundry create x --env-file=my", r"foundry create x --env-file=my\ notes.md ")
    tab(terminal, "foundry create x --instructions @no", "foundry create x --instructions @notes.md ")
    tab(terminal, r"foundry create x --instructions=@my\ n", r"foundry create x --instructions=@my\ notes.md ")
    tab(terminal, 'foundry create x --instructions "@my n', 'foundry create x --instructions "@my notes.md" ')
    tab(terminal, "foundry create x --instructions @tex", "foundry create x --instructions @texts/")
    tab(terminal, "foundry create x --instructions @texts/f", "foundry create x --instructions @texts/first.md ")
    tab(terminal, "foundry chat --folder te", "foundry chat --folder texts/")
    assert_quiet(terminal, "foundry chat --folder no")
    assert_quiet(terminal, "foundry create x --instructions no")


@pytest.mark.prove
def test_a_home_named_before_is_the_one_that_is_looked_into(start: Start, home: Path, tmp_path: Path) -> None:
    make_agents(home, "scout")
    make_agents(tmp_path / "other home", "stranger")
    terminal = start(ELSEWHERE=str(tmp_path / "other home"))

    tab(terminal, r"foundry run --home ../other\ home s", r"foundry run --home ../other\ home stranger ")
    tab(terminal, 'foundry run --home="../other home" s', 'foundry run --home="../other home" stranger ')
    tab(terminal, 'foundry env --home "$ELSEWHERE" s', 'foundry env --home "$ELSEWHERE" stranger ')
    tab(terminal, "foundry run s", "foundry run scout ")


def test_what_can_stand_there_is_listed_with_its_meaning_where_the_shell_shows_one(start: Start, home: Path, shell: str) -> None:
    make_agents(home, "scout", "scribe")
    terminal = start()

    assert "scout" in listed(terminal, "foundry run sc", "scribe")
    options = listed(terminal, "foundry create x --d", "--description", tabs=3)
    commands = listed(terminal, "foundry re", "restore")

    for name in ("--dependencies", "--debug"):
        assert name in options
    assert ("Python packages its plugins need." in options) == (shell != "bash")
    assert ("Do again what was undone last." in commands) == (shell != "bash")


STRANGE = [
    "$(touch pwned)",
    "`touch pwned`",
    ";touch pwned",
    "s\x1b[31mred",
    "new\nline",
    "s*",
    "s pwned",
    "-pwned",
    "s,pwned",
    "sé",
]


def test_names_that_no_agent_may_bear_are_not_offered(start: Start, home: Path) -> None:
    make_agents(home, "scout", "Writer")
    for name in STRANGE:
        (home / "agents" / name).mkdir()
        (home / ".foundry" / "trash" / f"{name}@20261121T054042Z").mkdir(parents=True)
    for name in ("old@20261121T054042Z-$(touch pwned)", "mine@20261121T054042Z", "gone@20261121T054042Z"):
        (home / ".foundry" / "trash" / name).mkdir()
    add(home / "agents" / "scout" / ".env", "$(touch${IFS}pwned)=1\n'API_`touch pwned`'=1\n'API_\x1b[31mred'=1")
    terminal = start()

    shown = listed(terminal, "foundry run ", "Writer")
    shown += listed(terminal, "foundry restore ", "mine@")
    shown += listed(terminal, "foundry env scout set ", "API_URL", tabs=3)
    tab(terminal, "echo finished", "echo finished")

    assert not [word for word in ("pwned", "red", "line", "*", "é", ",") if word in shown.replace("--", "")]
    assert b"\x1b[31mred" not in terminal.raw
    assert not list(home.glob("pwned"))


def test_nothing_of_an_agents_folder_is_run(start: Start, home: Path) -> None:
    make_agents(home, "scout")
    folder = home / "agents" / "scout"
    for name in ("foundry", "env", "venv/bin/python", "venv/bin/foundry"):
        add(folder / name, "#!/bin/sh\ntouch ran")
        (folder / name).chmod(0o755)
    for name in ("click.py", "sitecustomize.py", "main.py", "plugins/own/__init__.py", "foundry.py"):
        add(folder / name, "open('ran', 'w')")
    terminal = start(folder, FOUNDRY_HOME=str(home))

    tab(terminal, "foundry run sc", "foundry run scout ")
    tab(terminal, "./foundry tools sc", "./foundry tools scout ")
    tab(terminal, "venv/bin/foundry env scout set API_T", "venv/bin/foundry env scout set API_TOKEN ")

    assert not list(home.rglob("ran"))


def link_to_itself(home: Path) -> None:
    home.mkdir()
    (home / "agents").symlink_to("agents")
    (home / ".foundry").symlink_to(".foundry")


def unreadable(home: Path) -> None:
    make_agents(home, "scout")
    (home / "agents").chmod(0)


def broken_config(home: Path) -> None:
    add(home / "agents" / "scout" / "agent.config.json", '{"name": ')
    add(home / ".foundry" / "settings.json", "[")


def pipe_for_a_config(home: Path) -> None:
    (home / "agents" / "scout").mkdir(parents=True)
    os.mkfifo(home / "agents" / "scout" / "agent.config.json")


@pytest.mark.prove
def test_a_home_that_has_nothing_to_offer_is_passed_over_in_silence(start: Start, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    broken = [link_to_itself, broken_config, pipe_for_a_config, *([unreadable] if os.geteuid() else [])]
    for make in broken:
        make(tmp_path / make.__name__)
    terminal = start(tmp_path)

    for home in ("empty", "missing", *(make.__name__ for make in broken)):
        assert_quiet(terminal, f"foundry env --home {home} scout set A")
        assert_quiet(terminal, f"foundry restore --home {home} s")
    assert_quiet(terminal, "foundry --version --nosuch")


@pytest.mark.prove
def test_a_folder_that_is_gone_costs_nothing_but_the_names(start: Start, home: Path) -> None:
    (home / "gone").mkdir()
    terminal = start(home / "gone", FOUNDRY_HOME="")
    (home / "gone").rmdir()

    assert_quiet(terminal, "foundry run s")
    assert b"Traceback" not in terminal.raw


@pytest.mark.prove
def test_a_disk_that_does_not_answer_is_given_up(start: Start, home: Path, tmp_path: Path) -> None:
    make_agents(home, "scout")
    add(tmp_path / "slow" / "sitecustomize.py", "import os, time\nos.scandir = lambda *_: time.sleep(60)")
    terminal = start(PYTHONPATH=str(tmp_path / "slow"))

    assert_quiet(terminal, "foundry run s")  # which waits for less than that disk would take


@pytest.mark.prove
def test_a_program_that_is_not_on_the_path_is_found_where_it_printed_the_script(start: Start, home: Path, shell: str) -> None:
    make_agents(home, "scout")
    (home / "bin").mkdir()
    (home / "bin" / "foundry").symlink_to(BIN / "foundry")
    terminal = start(script=printed_script(shell), PATH="/usr/bin:/bin")

    tab(terminal, "bin/foundry run sc", "bin/foundry run scout ")
    assert b"not found" not in terminal.raw


@pytest.mark.prove
def test_a_program_that_was_moved_is_found_on_the_path(start: Start, home: Path, shell: str, tmp_path: Path) -> None:
    make_agents(home, "scout")
    before = tmp_path / "it's before" / "foundry"
    before.parent.mkdir()
    before.symlink_to(BIN / "foundry")
    script = printed_script(shell, before)
    before.unlink()
    terminal = start(script=script)

    tab(terminal, "foundry run sc", "foundry run scout ")
