"""foundry create: a whole agent or none."""

from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

from foundry.agent import venv
from foundry.agent.blueprint import blueprint
from foundry.agent.definition import AGENT_NAME, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.record import load_record
from foundry.agent.wheel import runtime_hash
from foundry.errors import FoundryError, UsageError
from foundry.plugins.foundry_core.create_agent import create_agent
from foundry.settings import Settings, load_settings
from tests.commands.real import Heard, foundry_seen_by, left_over, one_agent
from tests.conftest import FOUNDRY


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, AgentFolder]]:
    with one_agent(tmp_path_factory) as one:
        yield one


# names and other words ------------------------------------------------------------------------------------------------

BAD_NAMES = [
    "../x",
    "a/b",
    "",
    "a" * 200,
    "sc\u043eut",
    "CON",
    "com1",
    ".hidden",
    "-rf",
    "a b",
    "a\nb",
    "a\0b",
    "1st",
    "a.b",
    "ａ",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name_is_refused_and_nothing_is_made(place: Home, settings: Settings, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be an agent's name") as caught:
        create_agent(place, name, settings=settings)

    assert caught.value.hint
    assert not place.agents.exists()


@given(name=st.text(max_size=60))
def test_no_name_reaches_the_disk_but_a_plain_one(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    if AGENT_NAME.fullmatch(name):
        return
    home = Home(tmp_path_factory.getbasetemp() / "never")

    with pytest.raises(UsageError):
        create_agent(home, name, settings=load_settings(None, {}))

    assert not home.path.exists()


@pytest.mark.parametrize("taken", ["scout", "Scout", "SCOUT"])
def test_a_taken_name_is_refused_in_any_case_and_the_agent_stays(place: Home, settings: Settings, taken: str) -> None:
    (place.agents / taken).mkdir(parents=True)
    (place.agents / taken / "mine.txt").write_text("mine")

    with pytest.raises(FoundryError, match="already there") as caught:
        create_agent(place, "scout", settings=settings)

    assert caught.value.code == "exists"
    assert (place.agents / taken / "mine.txt").read_text() == "mine"
    assert left_over(place) == []


def test_a_link_with_the_name_is_in_the_way_too(place: Home, settings: Settings, tmp_path: Path) -> None:
    place.prepare()
    (place.agents / "scout").symlink_to(tmp_path / "nowhere")

    with pytest.raises(FoundryError, match="already there"):
        create_agent(place, "scout", settings=settings)


def test_an_unknown_tool_is_refused_with_the_nearest(place: Home, settings: Settings) -> None:
    with pytest.raises(UsageError, match="grep_codebas'") as caught:
        create_agent(place, "scout", tools=["grep_codebas"], settings=settings)

    assert "grep_codebase" in caught.value.hint


@pytest.mark.parametrize(
    "dependency",
    [
        "-r/etc/passwd",
        "--index-url=http://x",
        "rich\nevil",
        "rich @ file:///tmp/x",
        "git+https://x/y",
        "./here",
        "rich; import os#",
        "",
    ],
)
def test_a_dependency_that_is_no_plain_requirement_is_refused(place: Home, settings: Settings, dependency: str) -> None:
    with pytest.raises(UsageError, match="is no dependency"):
        create_agent(place, "scout", dependencies=[dependency], settings=settings)

    assert not place.agents.exists()


@pytest.mark.parametrize("python", ["2.7", "3.10", "3", "/usr/bin/python3", "--offline", "3.11.4"])
def test_a_python_that_agents_cannot_have_is_refused(place: Home, settings: Settings, python: str) -> None:
    with pytest.raises(UsageError, match="is no Python"):
        create_agent(place, "scout", python=python, settings=settings)


def test_a_variable_with_a_bad_name_is_refused(place: Home, settings: Settings) -> None:
    with pytest.raises(UsageError, match="A-B"):
        create_agent(place, "scout", env=["A-B"], settings=settings)


# what is made ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_folder_is_that_of_the_house_plan(made: tuple[Home, AgentFolder]) -> None:
    home, folder = made

    names = {one.name for one in folder.path.iterdir()}

    assert names == {
        *("agent.config.json", ".env", "main.py", "plugins", "venv", "requirements.lock", "workspace", ".foundry.json"),
        *("README.md", ".foundry.lock"),
    }
    assert load_definition(folder.config).name == "scout"
    assert load_record(folder).runtime_hash == runtime_hash()
    assert folder.lock.read_text() == venv.runtime_lock()
    assert stat.S_IMODE(folder.env_file.stat().st_mode) == 0o600
    assert folder.env_file.read_text() == "# what it is for\n# TOKEN=\n"
    assert venv.check(folder) == []
    assert left_over(home) == []


@pytest.mark.slow
def test_its_readme_names_the_variables_of_its_tools(place: Home, settings: Settings) -> None:
    made = create_agent(place, "scout", tools=["email"], blueprint="maintainer", settings=settings)

    said = (place.agent("scout").path / "README.md").read_text()
    assert made
    assert "\n- `SMTP_HOST`: the server that mail is handed to, such as mail.example.org\n" in said
    assert "\n\n- `GIT_TOKEN`: optional: the token for pull, push and clone over https\n" in said
    assert "None." not in said


@pytest.mark.slow
def test_its_python_finds_its_own_foundry_also_after_a_move(made: tuple[Home, AgentFolder], tmp_path: Path) -> None:
    _, folder = made
    assert foundry_seen_by(folder).is_relative_to(folder.venv)

    moved = AgentFolder(tmp_path / "elsewhere" / "scout")
    shutil.copytree(folder.path, moved.path, symlinks=True, copy_function=os.link)

    assert foundry_seen_by(moved).is_relative_to(moved.venv)


@pytest.mark.slow
def test_a_home_may_have_any_name(tmp_path: Path, settings: Settings) -> None:
    home = Home(tmp_path / "a b'$(touch evil)\"#%20é")

    create_agent(home, "scout", dependencies=["rich"], settings=settings)

    assert foundry_seen_by(home.agent("scout")).is_relative_to(home.path)
    assert not Path("evil").exists()


@pytest.mark.slow
def test_a_further_agent_shares_its_packages(made: tuple[Home, AgentFolder], settings: Settings) -> None:
    home, folder = made

    second = create_agent(home, "second", settings=settings)

    one = next(folder.venv.rglob("semantic_kernel/__init__.py"))
    other = next((second.path / "venv").rglob("semantic_kernel/__init__.py"))
    assert one.samefile(other)


@pytest.mark.slow
def test_values_come_from_the_file_and_the_person_and_what_lacks_is_named(place: Home, settings: Settings) -> None:
    asked = []

    def ask(name: str, why: str) -> str:
        asked.append((name, why))
        return {"TOLD": "a 'secret' #1"}.get(name, "")

    made = create_agent(
        place, "scout", env={"TOLD": "why", "LACKS": ""}, env_values={"GIVEN": "${X}"}, ask_secret=ask, settings=settings
    )

    from foundry.agent.secrets import read_env

    assert asked == [("TOLD", "why"), ("LACKS", "")]
    assert read_env(place.agent("scout").env_file) == {"GIVEN": "${X}", "TOLD": "a 'secret' #1"}
    assert made.missing == ("LACKS",)


@pytest.mark.slow
def test_a_person_is_asked_only_for_what_the_agent_cannot_do_without(
    place: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(name: str, why: str) -> str:
        asked.append(name)
        return ""

    monkeypatch.setenv("SMTP_FROM", "me@example.org")
    create_agent(place, "scout", tools=["git", "email"], ask_secret=ask, settings=settings)

    assert asked == ["SMTP_HOST"]
    assert "# GIT_TOKEN=" in place.agent("scout").env_file.read_text()


@pytest.mark.slow
def test_the_key_of_its_model_is_asked_for_and_has_a_line_unless_it_is_there(
    place: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def ask(name: str, why: str) -> str:
        asked.append(f"{name}: {why}")
        return ""

    made = create_agent(place, "scout", model="openai:gpt-x", ask_secret=ask, settings=settings)
    monkeypatch.setenv("OPENAI_API_KEY", "of the shell")
    second = create_agent(place, "second", model="openai:gpt-x", ask_secret=ask, settings=settings)

    assert asked == ["OPENAI_API_KEY: key of the model openai:gpt-x"]
    assert "# OPENAI_API_KEY=" in place.agent("scout").env_file.read_text()
    assert "OPENAI_API_KEY" not in place.agent("second").env_file.read_text()
    assert (made.missing, second.missing) == (("OPENAI_API_KEY",), ())


@pytest.mark.slow
def test_a_dependency_is_locked_with_its_hash_beside_the_runtime(place: Home, settings: Settings) -> None:
    create_agent(place, "scout", dependencies=["rich>=14", "rich>=14"], settings=settings)

    folder = place.agent("scout")
    text = venv.read_lock(folder)
    assert load_record(folder).dependencies == ("rich>=14",)
    assert "agent-foundry" not in text
    locked = [Requirement(line.rstrip(" \\")) for line in venv.runtime_lock().splitlines() if line[:1].isalnum()]
    versions = {f"{one.name}{one.specifier}" for one in locked if not one.marker or one.marker.evaluate()}
    assert versions <= {line.split(" ")[0] for line in text.splitlines()}


def test_every_blueprint_makes_a_definition_and_its_files() -> None:
    from foundry.agent.blueprint import blueprints, define, render

    for one in blueprints():
        definition = define(blueprint(one.name), "scout", {"tools": None})
        files = render(one.name, definition)
        assert {"main.py", "README.md"} <= set(files)
        assert {f"plugins/{name}/__init__.py" for name in definition.plugins} <= set(files)


# what goes wrong ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_dependencies_that_contradict_the_runtime_are_told_in_a_line(place: Home) -> None:
    with pytest.raises(UsageError, match=r"contradict.*openai<2") as caught:
        create_agent(place, "scout", dependencies=["openai<2"], settings=load_settings(None, {"FOUNDRY_OFFLINE": "1"}))

    assert caught.value.code == "conflict"
    assert "\n" not in caught.value.message
    assert left_over(place) == place.names() == []


@pytest.mark.slow
def test_without_a_network_what_is_not_cached_is_named(place: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")

    with pytest.raises(FoundryError, match="no-such-package-of-foundry") as caught:
        create_agent(place, "scout", dependencies=["no-such-package-of-foundry"], settings=settings)

    assert caught.value.code == "offline"
    assert left_over(place) == place.names() == []


@pytest.mark.slow
def test_an_index_that_does_not_answer_is_told(place: Home, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")

    with pytest.raises(FoundryError, match="cannot be reached") as caught:
        create_agent(place, "scout", dependencies=["no-such-package-of-foundry"], settings=settings)

    assert caught.value.code == "no_network"
    assert left_over(place) == place.names() == []


def started(home: Path, *words: str, before: str = "") -> subprocess.Popen[str]:
    argv = [*FOUNDRY, *words]
    if before:
        argv = [sys.executable, "-P", "-c", f"{before}; import os; os.execv({argv[0]!r}, {argv!r})"]
    env = {**os.environ, "FOUNDRY_HOME": str(home)}
    return subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_a_full_disk_is_told_and_leaves_nothing(place: Home) -> None:
    before = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))"

    with started(place.path, "create", "scout", "--no-input", before=before) as process:
        _, told = process.communicate(timeout=120)

    assert process.returncode == 1
    assert "the disk is full" in told
    assert "Traceback" not in told
    assert left_over(place) == place.names() == []


@pytest.mark.slow
def test_ctrl_c_in_the_middle_leaves_nothing_and_the_next_create_works(place: Home) -> None:
    with started(place.path, "create", "scout", "--no-input") as process:
        assert process.stderr
        next(line for line in process.stderr if "Installing" in line)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert left_over(place) == place.names() == []

    with started(place.path, "create", "scout", "--no-input") as process:
        process.communicate(timeout=120)

    assert process.returncode == 0
    assert place.names() == ["scout"]


@pytest.mark.slow
def test_of_two_creates_of_one_name_one_wins(place: Home) -> None:
    both = [started(place.path, "create", name, "--no-input", "--json") for name in ("scout", "Scout")]

    told = [json.loads(process.communicate(timeout=120)[0]) for process in both]

    assert sorted(process.returncode for process in both) == [0, 1]
    assert [one["error"]["code"] for one in told if not one["ok"]] == ["exists"]
    assert len(place.names()) == 1
    assert left_over(place) == []
    foundry_seen_by(place.agent(place.names()[0]))


@pytest.mark.slow
def test_each_step_is_said(made: tuple[Home, AgentFolder], settings: Settings) -> None:
    heard = Heard()

    create_agent(made[0], "third", settings=settings, progress=heard)

    said = [step.split()[0] for step in heard.steps]
    ours = [word for word in said if word not in {"Downloading", "Building"}]  # as uv says where its cache has not all yet
    assert ours == [
        "Writing",
        "Making",
        "Installing",
        "Checking",
        "Putting",
    ]
