"""What README teaches is so: its plugin loads and its errors reach the model, its package is built, installed and called."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from foundry.agent.folder import Home
from tests.commands.real import left_over
from tests.commands.running import foundry, script

from .conftest import Workshop

README = Path(__file__).parents[2] / "README.md"


def example(file: str = "plugins/dice/__init__.py") -> str:
    found = re.search(rf"<!-- example: {re.escape(file)} -->\n```\w+\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


def test_it_is_loaded_and_throws(workshop: Workshop) -> None:
    workshop.plugin("dice", example())

    assert workshop.load("dice") == ["dice.throw"]
    assert workshop.notices == []
    thrown = json.loads(workshop.call("dice.throw", count="3", sides=6))
    assert len(thrown) == 3
    assert set(thrown) <= set(range(1, 7))


@pytest.mark.parametrize(
    ("given", "told"), [({"count": 99}, "count"), ({"sides": 1}, "at least 2 sides"), ({"size": 3}, "sides")]
)
def test_what_it_cannot_do_is_told_to_the_model(workshop: Workshop, given: dict[str, int], told: str) -> None:
    workshop.plugin("dice", example())
    workshop.load("dice")

    answer = workshop.call("dice.throw", **given)

    assert answer.startswith("error: ")
    assert told in answer


# the package --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of README, built and put where installers find it."""
    source, out = tmp_path / "package", tmp_path / "published"
    source.mkdir()
    for name in ("pyproject.toml", "weather_tools.py"):
        (source / name).write_text(example(name))
    argv = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    built = subprocess.run(argv, cwd=source, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    monkeypatch.setenv("UV_FIND_LINKS", str(out))
    return out


def asked(tmp_path: Path, city: str) -> dict[str, object]:
    call = {"name": "weather.look_up", "arguments": {"city": city}}
    model = script(tmp_path / "s.json", {"calls": [call]}, {"text": "{result}"})
    ran = foundry("run", "scout", "-p", "go", "--model", model, "--output", "json")
    found: dict[str, object] = json.loads(ran.stdout)["data"]
    return found


@pytest.mark.slow
def test_the_package_is_built_installed_listed_accepted_and_called(home: Path, tmp_path: Path, published: Path) -> None:
    made = foundry("create", "scout", "--dependencies", "weather-tools", "--tools", "weather", "--no-input", "--json")
    assert made.returncode == 0, made.stderr + made.stdout

    (tool,) = json.loads(foundry("tools", "scout", "--json").stdout)["data"]["tools"]
    assert (tool["id"], tool["origin"], tool["effects"]) == ("weather.look_up", "package", ["reads"])
    assert not list(Home(home).agent("scout").venv.rglob("weather_tools*.pyc"))
    assert "approval" in str(asked(tmp_path, "Rome")["answer"])
    assert "weather" in foundry("trust", "scout", "--yes").stdout
    assert asked(tmp_path, "Rome")["answer"] == "Rome: sunny"
    assert "There are: rome, bergen." in str(asked(tmp_path, "Oslo")["answer"])

    assert foundry("sync", "scout").returncode == 0
    assert asked(tmp_path, "Bergen")["answer"] == "Bergen: rain"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tools", "told"), [("wether", 'Did you mean "weather"?'), ("weather.lookup", 'did you mean "weather.look_up"?')]
)
def test_a_tool_that_no_package_brings_is_told_after_the_install_and_leaves_nothing(
    home: Path, published: Path, tools: str, told: str
) -> None:
    made = foundry("create", "scout", "--dependencies", "weather-tools", "--tools", tools, "--no-input", "--json")

    error = json.loads(made.stdout)["error"]
    assert made.returncode == 2
    assert told in f"{error['message']} {error['hint']}"
    assert tools in error["message"]
    assert left_over(Home(home)) == Home(home).names() == []
