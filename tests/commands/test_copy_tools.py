"""foundry create --copy-tools: built-in tools become the agent's own plugins, and stay as safe as they can be."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from foundry.agent.definition import AgentDefinition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.standing import standing_of
from foundry.errors import UsageError
from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.built_ins import BUILT_INS
from foundry.plugins.cards import plugin_code_hash
from foundry.plugins.check import check_plugin
from foundry.plugins.copying import copied
from foundry.plugins.foundry_core.create_agent import create_agent
from foundry.plugins.loader import load_tools
from foundry.settings import Settings, load_settings
from tests.commands.real import left_over
from tests.commands.running import foundry, make_runnable, script

LIBRARY = [name for name, one in BUILT_INS.items() if "standard_lib" in one.module]


def copy_into(home: Path, *tools: str) -> AgentFolder:
    """Make an agent that really runs, with copies of these tools and their effects accepted, without building it."""
    made = copied(AgentDefinition("scout", tools=tools))
    folder = make_runnable(Home(home), "scout", made.files, tools=made.definition.tools, plugins=made.definition.plugins)
    return accept(folder)


def accept(folder: AgentFolder) -> AgentFolder:
    from foundry.agent.standing import change_standing

    codes = {name: plugin_code_hash(folder.plugins / name) for name in load_definition(folder.config).plugins}
    change_standing(folder, lambda old: old.accepting(codes))
    return folder


def played(tmp_path: Path, *calls: dict[str, Any], mode: str = "run") -> list[tuple[bool, str]]:
    """Let the agent make these calls with nobody there to ask; return of each whether it was allowed and what it gave."""
    model = script(tmp_path / "s.json", *({"calls": [one]} for one in calls), {"text": "done"})
    ran = foundry("run", "scout", "-p", "go", "--model", model, "--mode", mode, "--output", "events")
    events = [json.loads(line) for line in ran.stdout.splitlines()]
    allowed = [one["decision"]["allowed"] for one in events if one["event"] == "ToolDecided"]
    given = [one["result"]["content"] for one in events if one["event"] == "ToolReturned"]
    return list(zip(allowed, given, strict=True))


def call(tool: str, **arguments: Any) -> dict[str, Any]:
    return {"name": tool, "arguments": arguments}


@pytest.mark.parametrize("name", LIBRARY)
def test_a_copy_of_each_tool_of_the_library_loads_with_the_same_tools_and_effects(home: Path, name: str) -> None:
    folder = copy_into(home, name)
    context = ToolContext(folder.workspace)

    copies, notices = load_tools(folder, load_definition(folder.config), context)
    originals, _ = load_tools(folder, AgentDefinition("scout", tools=(name,)), context)

    assert notices == []
    told = [(tool.spec.id.removeprefix("my_"), tool.spec.schema, tool.effects) for tool in copies]
    assert told == [(tool.spec.id, tool.spec.schema, tool.effects) for tool in originals]
    assert {(tool.origin, tool.accepted, tool.plan) for tool in copies} == {("own", True, None)}
    manifest = json.loads((folder.plugins / f"my_{name}" / "plugin.json").read_text())
    assert set(manifest["effects"]) == {effect for tool in originals for effect in tool.effects}
    assert bool(manifest["requires"]) == bool(BUILT_INS[name].extra)


def test_a_copied_clock_grep_and_file_tool_work_in_a_run_and_editing_one_changes_what_it_does(home: Path, tmp_path: Path) -> None:
    folder = copy_into(home, "clock", "grep_codebase", "read_write_code")
    (folder.workspace / "a.txt").write_text("a needle\n")
    calls = (
        call("my_clock.now"),
        call("my_grep_codebase.search", pattern="needle"),
        call("my_read_write_code.read_file", path="a.txt"),
    )

    now, found, read = played(tmp_path, *calls)

    assert [now[0], found[0], read[0]] == [True, True, True]
    assert "UTC" in now[1]
    assert "a.txt:1: a needle" in found[1]
    assert "1: a needle" in read[1]

    source = folder.plugins / "my_clock" / "__init__.py"
    source.write_text(source.read_text().replace('return f"{time:%A', 'return f"Tea time! {time:%A'))
    assert not played(tmp_path, calls[0])[0][0]  # changed code is not what was accepted
    accept(folder)
    assert played(tmp_path, calls[0])[0][1].startswith("Tea time!")


def test_a_copied_file_tool_asks_and_never_touches_what_is_protected_even_in_auto_mode(home: Path, tmp_path: Path) -> None:
    folder = copy_into(home, "read_write_code", "terminal")
    write = call("my_read_write_code.write_file", path="a.txt", content="x")
    protected = call("my_read_write_code.write_file", path=".bashrc", content="x")
    outside = call("my_read_write_code.write_file", path="../b.txt", content="x")

    assert [one[0] for one in played(tmp_path, write, call("my_terminal.run", command="touch b.txt"))] == [False, False]
    assert not list(folder.workspace.iterdir())
    told = played(tmp_path, write, protected, outside, mode="auto")

    assert [one.name for one in folder.workspace.iterdir()] == ["a.txt"]
    assert "beyond what was decided on (protected)" in told[1][1]
    assert "outside the folder" in told[2][1]


def test_a_plan_of_an_own_tool_that_does_more_than_it_declares_is_not_done(home: Path) -> None:
    source = '''
from pathlib import Path
from foundry.plugins.api import Plan, Preview, ToolContext, effects, kernel_function, planned

class Own:
    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function
    @effects("reads")
    @planned
    def fetch(self, host: str = "") -> Plan:
        """Fetch."""
        return Plan(Preview("x", hosts=(host,) if host else ()), lambda: "fetched")
'''
    folder = make_runnable(Home(home), "scout", {"plugins/own/__init__.py": source}, plugins=["own"])
    (tool,), _ = load_tools(folder, load_definition(folder.config), ToolContext(folder.workspace))

    async def called(**arguments: str) -> str:
        return await tool.call(arguments)

    assert asyncio.run(called()) == "fetched"
    with pytest.raises(ToolError, match=r"beyond what was decided on \(uses the network\)"):
        asyncio.run(called(host="example.org"))


def test_one_function_of_a_copy_is_offered_when_one_was_named() -> None:
    made = copied(
        AgentDefinition("scout", tools=("read_write_code.read_file", "read_write_code.list_files", "clock.now", "clock"))
    )

    assert made.definition.tools == ("my_read_write_code.read_file", "my_read_write_code.list_files")
    assert made.definition.plugins == ("my_read_write_code", "my_clock")


@pytest.mark.parametrize("name", [name for name in LIBRARY if BUILT_INS[name].extra])
def test_what_an_extra_brings_stays_needed(name: str) -> None:
    from foundry.agent.venv import check_dependencies

    made = copied(AgentDefinition("scout", tools=(name,), dependencies=("rich>=14",)))

    assert made.definition.dependencies[0] == "rich>=14"
    assert len(made.definition.dependencies) > 1
    assert not any("extra" in one for one in made.definition.dependencies)
    assert check_dependencies(made.definition.dependencies) == made.definition.dependencies


def test_the_variables_of_a_built_in_stay_known() -> None:
    name = next(name for name in LIBRARY if BUILT_INS[name].variables)

    assert copied(AgentDefinition("scout", tools=(name,))).definition.env == dict(BUILT_INS[name].variables)


@pytest.mark.parametrize(
    ("definition", "said"),
    [
        (AgentDefinition("scout"), "no built-in tool to copy"),
        (AgentDefinition("scout", tools=("foundry_core",)), "it is Foundry itself"),
        (AgentDefinition("scout", tools=("clock",), plugins=("my_clock",)), "has a plugin my_clock already"),
    ],
)
def test_what_cannot_be_copied_is_refused(definition: AgentDefinition, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        copied(definition)


@pytest.mark.slow
def test_create_makes_the_copies_with_their_packages_and_accepts_them(place: Home, settings: Settings) -> None:
    made = foundry("create", "scout", "--tools", "clock,web_page,grep_codebase.search", "--copy-tools", "--no-input", "--json")

    folder = place.agent("scout")
    config = load_definition(folder.config)
    assert json.loads(made.stdout)["data"]["tools"] == ["my_grep_codebase.search", "my_clock", "my_web_page"]
    assert (config.tools, config.plugins) == (("my_grep_codebase.search",), ("my_clock", "my_web_page", "my_grep_codebase"))
    assert list(folder.venv.glob("lib/python*/site-packages/trafilatura"))
    assert all(standing_of(folder).accepts(one, plugin_code_hash(folder.plugins / one)) for one in config.plugins)
    assert "`my_clock`: its own copy of `clock`" in (folder.path / "README.md").read_text()
    assert check_plugin(folder.python, folder, "my_web_page").ok
    assert foundry("sync", "scout").returncode == 0
    assert list(folder.venv.glob("lib/python*/site-packages/trafilatura"))
    assert left_over(place) == []


def test_copying_without_tools_makes_nothing(place: Home) -> None:
    with pytest.raises(UsageError, match="no built-in tool"):
        create_agent(place, "scout", settings=load_settings(None, {}), copy_tools=True)

    assert not place.agents.exists()
