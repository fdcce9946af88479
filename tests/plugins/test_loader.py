"""Which tools an agent gets: what its config names, from built-ins and plugins of its own."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from foundry.agent import blueprint
from foundry.agent.definition import AgentDefinition, dump_definition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.errors import NotFoundError
from foundry.files import BadFileError
from foundry.plugins.check import check_plugin
from foundry.plugins.foundry_core.list_tools import list_tools
from foundry.processes import run

from .conftest import GOOD, Workshop

TWO = """
from foundry.plugins.api import ToolContext, effects, kernel_function

class Pair:
    \"\"\"Two tools.\"\"\"

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function(name="first", description="The first.")
    @effects("writes", "reads")
    def one(self, size: int, /) -> str: return ""

    @kernel_function
    def second(self, path: str = ".", *, deep: bool = False) -> str:
        \"\"\"The second.

        More.\"\"\"
        return str(self.context.folder)
"""


def test_tools_come_in_the_order_of_the_config(workshop: Workshop) -> None:
    workshop.plugin("greeter", GOOD)

    ids = workshop.load("greeter", tools=("clock", "read_write_code"))

    files = ("read_file", "list_files", "write_file", "edit_file", "move", "delete")
    assert ids == ["clock.now", *(f"read_write_code.{one}" for one in files), "greeter.greet"]
    assert workshop.notices == []


def test_the_listing_and_the_loaded_tools_are_the_same(workshop: Workshop) -> None:
    workshop.plugin("greeter", GOOD)
    tools = ("clock", "read_write_code.list_files", "grep_codebase")

    loaded = workshop.load("greeter", tools=tools)
    listed = workshop.listed("greeter", tools=tools)

    assert [card.id for card in listed.cards] == loaded
    assert [set(card.effects) for card in listed.cards] == [set(workshop.tools[id_].effects) for id_ in loaded]
    assert [card.origin for card in listed.cards] == [workshop.tools[id_].origin for id_ in loaded]


def test_a_tool_id_takes_that_tool_alone(workshop: Workshop) -> None:
    workshop.plugin("pair", TWO.replace(", /", ""))

    ids = workshop.load("pair", tools=("pair.second", "read_write_code.list_files"))

    assert ids == ["read_write_code.list_files", "pair.second"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("read_write_cod", 'did you mean "read_write_code"?'),
        ("read_write_code.read", 'did you mean "read_write_code.read_file"?'),
        ("clok.now", 'did you mean "clock.now"?'),
        ("zzz", "there are read_write_code, grep_codebase, "),
        ("greeter", '"greeter", which is not there'),
    ],
)
def test_an_unknown_entry_is_told_with_the_nearest_and_the_rest_loads(workshop: Workshop, entry: str, said: str) -> None:
    workshop.plugin("greeter", GOOD)

    ids = workshop.load(tools=("clock", entry))

    assert ids == ["clock.now"]
    assert said in workshop.notices[0]
    assert workshop.listed(tools=("clock", entry)).problems == tuple(workshop.notices)


def test_a_plugin_of_several_modules_imports_them_relatively(workshop: Workshop) -> None:
    workshop.plugin("big", "from .tools import Greeter\nfrom .inner import words\n")
    workshop.plugin("big", GOOD.replace("Hello {name}", "{WORD} {name}") + "\nfrom .inner.words import WORD\n", "tools.py")
    workshop.plugin("big", "", "inner/__init__.py")
    workshop.plugin("big", "WORD = 'Hi'\n", "inner/words.py")

    ids = workshop.load("big")

    assert ids == ["big.greet"]
    assert workshop.call("big.greet", name="Ada") == "Hi Ada"
    assert [card.id for card in workshop.listed("big").cards] == ids


def test_a_plugin_is_handed_its_context(workshop: Workshop) -> None:
    workshop.plugin("pair", TWO.replace(", /", ""))

    workshop.load("pair")

    assert workshop.call("pair.second") == str(workshop.folder)


def test_an_edit_is_seen_even_within_the_same_second(workshop: Workshop) -> None:
    path = workshop.plugin("greeter", GOOD)
    workshop.load("greeter")
    about = path.stat()
    path.write_text(GOOD.replace("Hello", "Howdy"))
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))

    workshop.load("greeter")

    assert workshop.call("greeter.greet", name="Ada") == "Howdy Ada"
    assert not list(workshop.agent.path.rglob("*.pyc"))


def test_two_agents_with_a_plugin_of_one_name_do_not_mix(workshop: Workshop, tmp_path: Path) -> None:
    other = Workshop(AgentFolder(tmp_path / "agents" / "Other"), workshop.folder)
    workshop.plugin("greeter", GOOD)
    other.plugin("greeter", GOOD.replace("Hello", "Howdy"))

    workshop.load("greeter")
    other.load("greeter")

    assert workshop.call("greeter.greet", name="Ada") == "Hello Ada"
    assert other.call("greeter.greet", name="Ada") == "Howdy Ada"


def test_effects_come_from_the_method_then_the_manifest_then_are_all(workshop: Workshop) -> None:
    workshop.plugin("pair", TWO.replace(", /", ""))
    workshop.load("pair")
    every = {"reads", "writes", "runs", "network"}

    assert {id_: set(tool.effects) for id_, tool in workshop.tools.items()} == {
        "pair.first": {"reads", "writes"},
        "pair.second": every,
    }

    workshop.plugin("pair", '{"version": "1", "effects": ["network"]}', "plugin.json")
    workshop.load("pair")

    assert set(workshop.tools["pair.second"].effects) == {"network"}


def test_a_good_verdict_is_remembered_until_something_changes(workshop: Workshop, tmp_path: Path) -> None:
    count = tmp_path / "count"
    source = f"import pathlib, sys\nwith open({str(count)!r}, 'a') as file: file.write('x')\n" + GOOD
    workshop.plugin("greeter", source)
    python = Path(sys.executable)

    first = check_plugin(python, workshop.agent, "greeter")
    again = check_plugin(python, workshop.agent, "greeter")
    assert first == again
    assert first.tools == ("greeter.greet",)
    assert count.read_text() == "x"

    workshop.agent.lock.write_text("changed==1\n")
    check_plugin(python, workshop.agent, "greeter")
    assert count.read_text() == "xx"


def test_a_missing_package_is_told_with_the_way_to_get_it(workshop: Workshop) -> None:
    workshop.plugin("greeter", "import some_package.part\n" + GOOD)

    workshop.load("greeter")

    assert 'Add the package of "some_package" to "dependencies" and run: foundry sync' in workshop.notices[0]


# foundry tools ---------------------------------------------------------------------------------------------------------


def made(home: Path, definition: AgentDefinition, files: dict[str, str]) -> AgentFolder:
    folder = AgentFolder(home / "agents" / definition.name)
    folder.path.mkdir(parents=True)
    for name, text in files.items():
        path = folder.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.config.write_text(json.dumps(dump_definition(definition)))
    return folder


def test_every_built_in_is_listed_without_an_agent(home: Path) -> None:
    listed = list_tools(Home(home))

    reads = ("read_write_code.read_file", "read_write_code.list_files", "grep_codebase.search")
    writes = tuple(f"read_write_code.{one}" for one in ("write_file", "edit_file", "move", "delete"))
    effects = {card.id: card.effects for card in listed.tools}
    assert {one: effects.get(one) for one in (*reads, *writes, "clock.now")} == {
        "clock.now": (),
        **dict.fromkeys(reads, ("reads",)),
        **dict.fromkeys(writes, ("writes",)),
    }
    assert all(card.description for card in listed.tools)
    assert [(one.name, one.type, one.default) for one in listed.tools[0].parameters] == [
        ("path", "str", ""),
        ("start", "int", "1"),
        ("end", "int", "0"),
    ]


def test_an_agents_tools_its_problems_and_its_unlisted_plugins_are_shown(home: Path) -> None:
    definition = AgentDefinition(name="Tester", tools=("clock",), plugins=("pair", "gone"))
    made(home, definition, {"plugins/pair/__init__.py": TWO, "plugins/spare/__init__.py": GOOD})

    listed = list_tools(Home(home), "Tester")

    assert [card.id for card in listed.tools] == ["clock.now", "pair.first", "pair.second", "gone"]
    assert listed.tools[1].description == "The first."
    assert listed.tools[2].description == "The second."
    assert listed.problems == ('The plugin "gone" is left out: plugins/gone: not there',)
    assert listed.not_loaded == ("spare",)
    table = listed.shown()[0]
    assert ("pair.first", "own", "declared: reads, writes", "The first.") in table.rows  # type: ignore[union-attr]
    assert ("spare", "not loaded", "", 'its folder is there, but "plugins" does not name it') in table.rows  # type: ignore[union-attr]


def test_listing_imports_neither_the_plugin_nor_what_loading_needs(home: Path, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    made(
        home, AgentDefinition(name="Tester", plugins=("spy",)), {"plugins/spy/__init__.py": f"open({str(mark)!r}, 'w')\n" + GOOD}
    )
    script = (
        "import sys\nfrom pathlib import Path\nfrom foundry.agent.folder import Home\n"
        "from foundry.plugins.foundry_core.list_tools import list_tools\n"
        f"print([card.id for card in list_tools(Home(Path({str(home)!r})), 'Tester').tools])\n"
        "print([name for name in ('asyncio', 'semantic_kernel', 'foundry.plugins.strict') if name in sys.modules])\n"
    )

    ended = run([sys.executable, "-P", "-c", script], timeout=60)

    assert ended.out == "['spy.greet']\n[]\n"
    assert not mark.exists()


def test_an_unknown_agent_or_a_broken_config_is_an_error(home: Path) -> None:
    made(home, AgentDefinition(name="Tester"), {})

    with pytest.raises(NotFoundError):
        list_tools(Home(home), "Nobody")
    (home / "agents" / "Tester" / "agent.config.json").write_text("{")
    with pytest.raises(BadFileError):
        list_tools(Home(home), "Tester")


# the guide ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def guide(home: Path, workshop: Workshop) -> Workshop:
    definition = blueprint.define(blueprint.blueprint("guide"), "Guide", {})
    folder = made(home, definition, blueprint.render("guide", definition))
    return Workshop(folder, workshop.folder)


def test_the_guide_has_its_tools_and_short_instructions(guide: Workshop) -> None:
    config = load_definition(guide.agent.config)

    ids = guide.load(*config.plugins, tools=config.tools)

    assert guide.notices == []
    assert ids[-2:] == ["code_map.outline", "code_map.entry_points"]
    assert len(config.instructions.split()) <= 120
    assert len(json.dumps([tool.spec.schema for tool in guide.tools.values()])) < 1200


def test_the_guides_plugin_maps_code(guide: Workshop) -> None:
    guide.load("code_map")
    guide.write("app/__main__.py", "from app import run\nrun()\n")
    guide.write("app/core.py", "class Engine:\n    async def start(self): ...\n")
    guide.write(".git/hook.py", "if __name__ == '__main__': ...\n")

    assert guide.call("code_map.outline", path="app/core.py") == "1: class Engine\n  2: async def start(self)"
    assert guide.call("code_map.entry_points") == "app/__main__.py:1: python -m app"
    assert "There is no gone.py" in guide.call("code_map.outline", path="gone.py")
    assert "outside the folder" in guide.call("code_map.outline", path="../x.py")


def test_the_guides_plugin_passes_its_own_tests(guide: Workshop) -> None:
    argv = [sys.executable, "-P", "-m", "unittest", "discover", "plugins/code_map/tests"]

    ended = run(argv, cwd=guide.agent.path, timeout=60)

    assert ended.code == 0, ended.err
    assert "Ran 3 tests" in ended.err
