"""Tools of third parties: what a package of the agent's environment offers by the entry point `foundry.plugins`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.folder import AgentFolder, Home
from foundry.agent.standing import standing_of
from foundry.plugins.foundry_core.list_tools import ToolsListed, list_tools
from tests.commands.running import foundry, script

from .packages import WEATHER, install, make_with_packages, site_of

MODULE = {"weather_tools.py": WEATHER}
ENTRY = "weather = weather_tools:Weather"
LOOK = {"name": "weather.look_up", "arguments": {"city": "Rome"}}


def scout(home: Path, tools: tuple[str, ...] = ("weather",), **config: Any) -> AgentFolder:
    return make_with_packages(Home(home), "scout", tools=["clock", *tools], dependencies=["weather-tools"], **config)


def listed(home: Path) -> ToolsListed:
    return list_tools(Home(home), "scout")


def played(tmp_path: Path, *calls: dict[str, Any], mode: str = "run") -> tuple[list[dict[str, Any]], str]:
    """Let the agent make these calls with nobody there to ask; return what became of each, and what was said on the side."""
    model = script(tmp_path / "s.json", *({"calls": [one]} for one in calls), {"text": "done"})
    ran = foundry("run", "scout", "-p", "go", "--model", model, "--mode", mode, "--output", "json")
    return json.loads(ran.stdout)["data"]["tool_calls"], ran.stderr + ran.stdout


# listing ------------------------------------------------------------------------------------------------------------------


def test_it_is_listed_from_its_source_and_nothing_of_it_is_imported(home: Path, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    install(scout(home), {"weather_tools.py": f"open({str(mark)!r}, 'w')\n{WEATHER}"}, ENTRY)

    found = listed(home)

    assert [(one.id, one.origin, one.effects) for one in found.tools[1:]] == [
        ("weather.look_up", "package", ("reads",)),
        ("weather.warn", "package", ("network",)),
    ]
    assert [(one.name, one.type, one.default) for one in found.tools[1].parameters] == [("city", "str", ""), ("days", "int", "1")]
    assert found.problems == ()
    told = foundry("tools", "scout").stdout
    assert "package" in told
    assert "declared: network" in told
    for verb in ("show", "doctor"):
        assert "weather_tools" not in foundry(verb, "scout").stdout
    assert not mark.exists()


def test_one_function_alone_is_offered_when_it_is_named(home: Path) -> None:
    install(scout(home, ("weather.warn",)), MODULE, ENTRY)

    assert [one.id for one in listed(home).tools] == ["clock.now", "weather.warn"]


@pytest.mark.parametrize(
    ("files", "entry"),
    [
        ({"weather_tools/__init__.py": "from .sky import Weather\n", "weather_tools/sky.py": WEATHER}, ENTRY),
        ({"weather_tools/__init__.py": "", "weather_tools/sky/__init__.py": WEATHER}, "weather = weather_tools.sky : Weather"),
        (
            {
                "weather_tools/__init__.py": "from weather_tools.a import W as Weather\n",
                "weather_tools/a.py": "from .sky import Weather as Base\n\nclass W(Base):\n    more = 1\n",
                "weather_tools/sky.py": WEATHER,
            },
            f"{ENTRY} [extra]",
        ),
    ],
)
def test_its_class_is_found_where_it_is_written_and_runs(home: Path, tmp_path: Path, files: dict[str, str], entry: str) -> None:
    install(scout(home), files, entry)

    assert [one.id for one in listed(home).tools] == ["clock.now", "weather.look_up", "weather.warn"]
    assert foundry("trust", "scout", "--yes").returncode == 0
    (called,), said = played(tmp_path, LOOK)
    assert called["allowed"], said


@pytest.mark.parametrize(
    ("name", "files", "entry", "said"),
    [
        ("weather", {"weather_tools.py": "x = 1\n"}, ENTRY, "site-packages/weather_tools.py:1: has no class Weather"),
        ("weather", {"weather_tools.py": "class Weather: pass\n"}, ENTRY, "weather_tools.py:1: Weather has no method marked"),
        ("weather", {"weather_tools.py": "def (:\n"}, ENTRY, "site-packages/weather_tools.py:1: SyntaxError"),
        ("weather", {"other.py": WEATHER}, ENTRY, "there is no Python source of the module weather_tools"),
        ("weather", MODULE, "weather = weather_tools", "must be module:Class"),
        ("weather", MODULE, "weather = ../x:y;z", "must be module:Class"),
        ("json", MODULE, "json = weather_tools:Weather", "the name of a module of Python itself"),
        ("Weather", MODULE, "Weather = weather_tools:Weather", "a plugin's name has lower-case letters"),
        ("agent_code", MODULE, "agent_code = weather_tools:Weather", '"agent_code" is the name of a built-in'),
        ("weather", {"weather_tools.py": "from json import JSONDecoder as Weather\n"}, ENTRY, "which is not its own"),
        ("wether", MODULE, ENTRY, 'did you mean "weather"?'),
    ],
)
def test_what_cannot_be_a_plugin_is_told_and_the_others_stay(
    home: Path, name: str, files: dict[str, str], entry: str, said: str
) -> None:
    install(scout(home, (name,)), files, entry)

    found = listed(home)

    assert [one.id for one in found.tools if not one.problem] == ["clock.now"]
    assert len(found.problems) == 1
    assert said in found.problems[0]
    assert "weather-tools 1.0" in found.problems[0] or "weather_tools" in found.problems[0] or name == "wether"


def test_two_packages_of_one_name_are_both_named_and_neither_is_used(home: Path) -> None:
    folder = scout(home)
    install(folder, MODULE, ENTRY)
    install(folder, {"storm.py": WEATHER}, "weather = storm:Weather", "storm_warning-2.1")

    (problem,) = listed(home).problems

    assert 'storm-warning 2.1 and weather-tools 1.0 both offer a plugin "weather"' in problem
    assert [one.id for one in listed(home).tools if not one.problem] == ["clock.now"]


def test_a_name_that_an_own_plugin_has_too_is_a_problem_and_neither_is_used(home: Path, tmp_path: Path) -> None:
    own = {"plugins/weather/__init__.py": WEATHER.replace("Sun", "Fog")}
    install(scout(home, files=own, plugins=["weather"]), MODULE, ENTRY)

    (problem,) = listed(home).problems
    (called,), _ = played(tmp_path, LOOK)

    assert 'plugins/weather: weather-tools 1.0 offers a plugin "weather" too; rename this one or drop the package' in problem
    assert not called["allowed"]


def test_a_package_cannot_take_a_built_ins_name(home: Path, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    install(scout(home, ()), {"weather_tools.py": f"open({str(mark)!r}, 'w')\n{WEATHER}"}, "clock = weather_tools:Weather")

    (called,), said = played(tmp_path, {"name": "clock.now", "arguments": {}})

    assert called["allowed"]
    assert 'weather-tools 1.0 offers "clock" too, which is the name of a built-in' in listed(home).problems[0]
    assert "the built-in is used" in said
    assert not mark.exists()


def test_edit_mode_knows_what_the_agents_packages_offer(home: Path) -> None:
    from foundry.session.edit.checking import Workbench, propose
    from foundry.session.edit.configuring import configure
    from foundry.session.edit.shadow import Shadow

    folder = scout(home, ())
    install(folder, MODULE, ENTRY)
    shadow, bench = Shadow.open(folder, "run"), Workbench(folder.python)
    try:
        assert "But" not in configure(shadow.folder, {"tools": ["clock", "weather.warn"]}, bench.venv)
        proposal = propose(shadow, bench)
        assert proposal.problems == ()
        assert [one.id for one in proposal.tools] == ["weather.warn"]
        assert 'did you mean "weather"' in configure(shadow.folder, {"tools": ["wether"]}, bench.venv)
        assert 'did you mean "weather"' in propose(shadow, bench).problems[0]
    finally:
        shadow.close()


@pytest.mark.parametrize("tools", [["grep_codebas"], ["Weather"], ["weather tools"]])
def test_a_name_that_no_package_could_bring_is_refused_before_anything_is_made(home: Path, tools: list[str]) -> None:
    from foundry.errors import UsageError
    from foundry.plugins.foundry_core.create_agent import create_agent
    from foundry.settings import load_settings

    dependencies = [] if tools == ["grep_codebas"] else ["weather-tools"]
    with pytest.raises(UsageError, match="no tool is called"):
        create_agent(Home(home), "scout", settings=load_settings(None, {}), tools=tools, dependencies=dependencies)

    assert not Home(home).agents.exists()


# running --------------------------------------------------------------------------------------------------------------------


def test_each_call_asks_until_that_very_code_is_accepted_and_again_after_a_change(home: Path, tmp_path: Path) -> None:
    folder = scout(home)
    install(folder, MODULE, ENTRY)
    assert not played(tmp_path, LOOK, mode="auto")[0][0]["allowed"]
    assert "plugin's code was not accepted" in foundry("approvals", "scout", "explain", 'weather.look_up {"city": "x"}').stdout

    shown = foundry("trust", "scout", "--yes", "--json")
    assert json.loads(shown.stdout)["data"]["plugins"] == ["weather"]
    assert "the effects of plugin weather" in foundry("approvals", "scout").stdout
    assert [one["allowed"] for one in played(tmp_path, LOOK, {"name": "weather.warn", "arguments": {}})[0]] == [True, False]
    explained = foundry("approvals", "scout", "explain", 'weather.look_up {"city": "Rome"}', "--json")
    assert json.loads(explained.stdout)["data"]["verdict"] == "allow"

    (site_of(folder) / "weather_tools.py").write_text(WEATHER.replace("Sun", "Fog"))
    assert not played(tmp_path, LOOK)[0][0]["allowed"]
    foundry("trust", "scout", "--yes")
    assert played(tmp_path, LOOK)[0][0]["allowed"]
    foundry("approvals", "scout", "revoke", "all")
    assert not played(tmp_path, LOOK)[0][0]["allowed"]


def test_a_file_that_the_package_never_installed_counts_as_its_code_too(home: Path) -> None:
    folder = scout(home)
    install(folder, {"weather_tools/__init__.py": WEATHER}, ENTRY)
    foundry("trust", "scout", "--yes")
    before = standing_of(folder).accepted["weather"]

    (site_of(folder) / "weather_tools" / "__pycache__").mkdir(exist_ok=True)
    (site_of(folder) / "weather_tools" / "__pycache__" / "x.pyc").write_text("x")
    assert json.loads(foundry("trust", "scout", "--yes", "--json").stdout)["data"]["plugins"] == []
    (site_of(folder) / "weather_tools" / "more.py").write_text("x = 1\n")
    foundry("trust", "scout", "--yes")

    assert standing_of(folder).accepted["weather"] != before
    assert standing_of(folder).accepted["weather"].endswith(before)


def test_what_trusting_shows_names_the_package_with_its_tools_and_size(home: Path) -> None:
    from foundry.plugins.foundry_core.trust_agent import trust_agent
    from foundry.settings import load_settings
    from tests.commands.guests import keeping, text_of

    install(scout(home), MODULE, ENTRY)
    seen: list[Any] = []

    trust_agent(Home(home), "scout", settings=load_settings(home), confirm=keeping(seen, yes=True))

    assert "of weather-tools 1.0" in text_of(seen[0])
    assert "weather.look_up (reads), weather.warn (network)" in text_of(seen[0])


def test_a_package_that_no_tool_names_is_not_imported(home: Path, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    install(scout(home, ()), {"weather_tools.py": f"open({str(mark)!r}, 'w')\n{WEATHER}"}, ENTRY)

    (called,), said = played(tmp_path, {"name": "clock.now", "arguments": {}})

    assert called["allowed"], said
    assert not mark.exists()


WHY_NOT = {
    "import error": ("import no_such_thing\n" + WEATHER, "weather_tools.py:1: ModuleNotFoundError"),
    "exit": (WEATHER + "\nraise SystemExit(3)\n", "weather_tools.py:16: calls sys.exit(3)"),
    "hard exit": ("import os\nos._exit(4)\n" + WEATHER, "weather_tools.py:2: ends the process with code 4"),
    "constructor": (
        WEATHER.replace("class Weather:", "class Weather:\n    def __init__(self, size): ...\n"),
        "weather_tools.py:6: Weather's constructor takes size",
    ),
    "constructor fails": (
        WEATHER.replace("class Weather:", "class Weather:\n    def __init__(self):\n        1 / 0\n"),
        "weather_tools.py:7: ZeroDivisionError",
    ),
    "hidden tool": (
        WEATHER + "\nWeather.more = kernel_function(name='more')(lambda self: 'x')\n",
        "has tools that its source does not show: weather.more",
    ),
    "tool with two names": (WEATHER + "\nWeather.more = Weather.warn\n", "does not show: weather.warn"),
    "other class": (WEATHER + "\nimport json\nWeather = json.JSONDecoder\n", "not the class that its source shows"),
    "other builtins": ("import builtins\nbuiltins.open = None\n" + WEATHER, "replaces builtins.open"),
    "bad parameter": (WEATHER.replace("city: str", "city: 'object()'"), "weather_tools.py"),
}


@pytest.mark.parametrize("kind", WHY_NOT)
def test_a_broken_one_is_left_out_with_file_and_line_and_the_agent_runs(home: Path, tmp_path: Path, kind: str) -> None:
    source, why = WHY_NOT[kind]
    install(scout(home), {"weather_tools.py": source}, ENTRY)

    calls, said = played(tmp_path, LOOK, {"name": "clock.now", "arguments": {}})

    assert [one["allowed"] for one in calls] == [False, True], said
    assert 'The plugin "weather" is left out: site-packages/weather_tools' in said.replace("\\", "")
    assert why in said


def test_a_record_that_no_reader_takes_leaves_out_its_plugin_alone(home: Path, tmp_path: Path) -> None:
    info = install(scout(home), MODULE, ENTRY)
    (info / "RECORD").write_text('"' + "x" * 200_000)

    calls, said = played(tmp_path, LOOK, {"name": "clock.now", "arguments": {}})

    assert [one["allowed"] for one in calls] == [False, True], said
    assert "RECORD cannot be read" in said
    assert foundry("trust", "scout", "--yes").returncode == 0


def test_base_classes_upon_base_classes_are_looked_at_once_each(home: Path) -> None:
    rows = [f"class C{row}({', '.join([f'C{row + 1}'] * 10)}): pass\n" for row in range(12)]
    source = WEATHER.replace("class Weather:", f"{''.join(rows)}\nclass Weather(C0):")
    install(scout(home), {"weather_tools.py": source}, ENTRY)
    assert "weather.look_up" in [one.id for one in listed(home).tools]

    many = "".join(f"class D{number}({f'D{number - 1}' if number else ''}): pass\n" for number in range(60))
    (site_of(AgentFolder(Home(home).agents / "scout")) / "weather_tools.py").write_text(
        WEATHER.replace("class Weather:", f"{many}\nclass Weather(D59):")
    )
    assert "more than 50 base classes" in " ".join(listed(home).problems)
