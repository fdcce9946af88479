"""list and show look and never run; whatever is wrong with one agent, the others are listed and it is named."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from foundry.agent import lock
from foundry.agent.folder import Home
from foundry.console import Console, plain
from foundry.errors import NotFoundError
from foundry.plugins.foundry_core.list_agents import AgentRow, list_agents
from foundry.plugins.foundry_core.show_agent import show_agent
from foundry.settings import Settings
from tests.commands.conftest import make_agent, picture


def row(home: Home, name: str) -> AgentRow:
    return next(one for one in list_agents(home).agents if one.name == name)


def printed(data: object) -> str:
    out = io.StringIO()
    Console(out=out).result(data)  # type: ignore[arg-type]
    return out.getvalue()


def test_an_empty_home_says_how_to_begin(place: Home) -> None:
    assert list_agents(place).agents == ()
    assert "foundry create NAME" in printed(list_agents(place))


def test_agents_are_listed_by_name_with_what_they_are(place: Home) -> None:
    make_agent(place, "zeta", description="Last", tools=["clock"], plugins=["own"], model="local:")
    make_agent(place, "Alpha")

    first, last = list_agents(place).agents

    assert (first.name, last.name) == ("Alpha", "zeta")
    assert last == AgentRow("zeta", "Last", "local:", "ready", "", "", ("clock", "own"), "")
    assert json.loads(json.dumps(plain(list_agents(place))))["agents"][0]["state"] == "ready"


def test_the_last_run_is_known(place: Home) -> None:
    folder = make_agent(place, "scout")

    with lock.hold_shared(folder, "run"):
        pass

    assert row(place, "scout").last_run.startswith("20")
    assert "never" not in printed(list_agents(place))


BROKEN = {
    "agent.config.json": [
        ('{"name": "x", "name": "y"}', "twice"),
        ('{"name": "x", "tols": []}', 'did you mean "tools"?'),
        ('{"name": 5}', '"name"'),
        ("{not json", "agent.config.json:1"),
        ("[]", "not an object"),
        ('{"name": NaN}', "NaN"),
        ('{"name": "x", "folder": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"name": "' + "x" * 5_000_000 + '"}', "larger than"),
    ]
}


@pytest.mark.parametrize(("text", "why"), BROKEN["agent.config.json"])
def test_a_broken_config_is_a_row_that_says_what_is_wrong(place: Home, text: str, why: str) -> None:
    make_agent(place, "good")
    make_agent(place, "bad", {"agent.config.json": text})

    assert row(place, "bad").state == "broken"
    assert why in row(place, "bad").why
    assert row(place, "good").state == "ready"
    assert "bad: " in printed(list_agents(place))


def test_every_kind_of_damage_is_told_with_what_mends_it(place: Home) -> None:
    for name in ("novenv", "nopython", "half", "nolock", "norecord", "badrecord", "newer", "older", "noconfig", "nomain", "deps"):
        make_agent(place, name)
    agents = place.agents
    (agents / "novenv" / "venv" / "bin" / "python").unlink()
    (agents / "novenv" / "venv" / ".foundry-whole").unlink()
    (agents / "novenv" / "venv" / "bin").rmdir()
    (agents / "novenv" / "venv").rmdir()
    (agents / "nopython" / "venv" / "bin" / "python").unlink()
    (agents / "nopython" / "venv" / "bin" / "python").symlink_to("/gone/python")
    (agents / "half" / "venv" / ".foundry-whole").unlink()
    (agents / "nolock" / "requirements.lock").unlink()
    (agents / "norecord" / ".foundry.json").unlink()
    (agents / "badrecord" / ".foundry.json").write_text("{")
    (agents / "noconfig" / "agent.config.json").unlink()
    (agents / "nomain" / "main.py").unlink()
    (agents / "deps" / "agent.config.json").write_text('{"name": "deps", "dependencies": ["rich"]}')
    changes: dict[str, dict[str, object]] = {"newer": {"format": 99}, "older": {"runtime_hash": "other"}}
    for name, change in changes.items():
        made = agents / name / ".foundry.json"
        made.write_text(json.dumps({**json.loads(made.read_text()), **change}))

    states = {one.name: one for one in list_agents(place).agents}

    for name in ("novenv", "nopython", "half", "nolock", "norecord", "badrecord", "older", "deps"):
        assert (states[name].state, states[name].mend) == ("needs sync", f"foundry sync {name}"), name
        assert states[name].why
    for name in ("newer", "noconfig", "nomain"):
        assert states[name].state == "broken", name
        assert states[name].why
        assert states[name].mend
    assert str(place.path) not in states["noconfig"].why


def test_a_folder_that_cannot_be_an_agents_name_is_listed_as_broken(place: Home) -> None:
    make_agent(place, "my agent")
    (place.agents / ".half-made").mkdir()
    (place.agents / "README.md").write_text("not an agent")

    (only,) = list_agents(place).agents

    assert (only.name, only.state) == ("my agent", "broken")
    assert "my-agent" in only.mend


def test_listing_changes_and_runs_nothing(place: Home, settings: Settings, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    folder = make_agent(
        place,
        "scout",
        {"plugins/own/__init__.py": f"open({str(mark)!r}, 'w')\n", "main.py": f"open({str(mark)!r}, 'w')\n"},
        plugins=["own"],
    )
    before = {path: path.lstat().st_mtime_ns for path in place.path.rglob("*")}

    list_agents(place)
    show_agent(place, "scout", settings=settings)

    assert {path: path.lstat().st_mtime_ns for path in place.path.rglob("*")} == before
    assert not mark.exists()
    assert picture(folder.path)["requirements.lock"] == ""


def test_hostile_text_in_a_config_cannot_act_on_the_terminal(place: Home, settings: Settings) -> None:
    make_agent(place, "evil", description="\x1b]52;c;AAAA\x07 \u202eoops\r\nline", instructions="\x1b[2J\x9b")

    told = printed(list_agents(place)) + printed(show_agent(place, "evil", settings=settings))

    assert not set(told) & {"\x1b", "\x07", "\u202e", "\r", "\x9b"}


def test_show_tells_everything_but_secrets(place: Home, settings: Settings) -> None:
    make_agent(
        place,
        "scout",
        {
            ".env": "SEARCH_KEY='canary-5f2e'\n",
            "plugins/own/__init__.py": "",
            "plugins/extra/__init__.py": "",
            "workspace/a.txt": "12345",
        },
        description="Looks around",
        model="openai:gpt-5",
        instructions="Be brief.",
        tools=["clock"],
        plugins=["own", "lost"],
        dependencies=["rich>=14"],
        env={"SEARCH_KEY": "asks the search service"},
    )

    shown = show_agent(place, "scout", settings=settings, environment={})
    told = printed(shown)

    assert shown.state == "ready"
    assert (shown.model, shown.model_from) == ("openai:gpt-5", "agent.config.json")
    assert (shown.plugins, shown.unlisted_plugins) == (("own", "lost (missing)"), ("extra",))
    assert [(one.name, one.is_set, one.required) for one in shown.env] == [
        ("SEARCH_KEY", True, True),
        ("OPENAI_API_KEY", False, True),
    ]
    assert (shown.workspace_files, shown.workspace_bytes) == (1, 5)
    for word in ("Looks around", "Be brief.", "rich>=14", "SEARCH_KEY: set", "OPENAI_API_KEY: missing", "3.11", "plain"):
        assert word in told
    assert "canary" not in told + json.dumps(plain(shown))


def test_show_says_where_an_unnamed_model_comes_from(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from foundry.settings import load_settings

    make_agent(place, "scout")
    assert show_agent(place, "scout", settings=load_settings(place.path)).model_from == "chosen at each start"

    monkeypatch.setenv("FOUNDRY_MODEL", "local:coder-0.5b")
    shown = show_agent(place, "scout", settings=load_settings(place.path))
    assert (shown.model, shown.model_from) == ("local:coder-0.5b", "FOUNDRY_MODEL")


def test_a_broken_agent_is_shown_as_far_as_it_can_be_read(place: Home, settings: Settings) -> None:
    make_agent(place, "bad", {"agent.config.json": "{", ".env": "no assignment\n"})

    shown = show_agent(place, "bad", settings=settings)

    assert shown.state == "broken"
    assert ".env:1" in shown.env_problem
    assert "state" in printed(shown)


def test_an_unknown_agent_is_refused_with_the_nearest(place: Home, settings: Settings) -> None:
    make_agent(place, "scout")

    with pytest.raises(NotFoundError) as caught:
        show_agent(place, "scuot", settings=settings)
    assert "scout" in caught.value.hint
