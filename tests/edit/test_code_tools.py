"""The tools of edit mode: what they may touch of the shadow, what they refuse, and that nothing reaches the agent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundry.agent.folder import AgentFolder
from foundry.plugins.api import Plan, ToolError
from foundry.plugins.strict import BoundTool
from foundry.session.edit.proposal import Verdict
from foundry.session.edit.shadow import Shadow
from tests.commands.real import one_agent
from tests.edit.conftest import ADDER, Bench

FULL = [
    *("read_file", "list_files", "search", "write_file", "edit_file", "move", "delete"),
    *("new_plugin", "configure", "run_tests", "propose", "set_dependencies"),
]


def test_a_full_model_has_every_tool_and_a_small_one_two(bench: Bench) -> None:
    assert bench.ids() == FULL
    assert all(tool.origin == "edit" for tool in bench.session.tools())

    bench.begin("small")
    assert bench.ids() == ["new_plugin", "propose"]


def test_the_small_tools_take_less_than_700_characters_of_prompt(bench: Bench) -> None:
    bench.begin("small")

    told = json.dumps([[tool.spec.id, tool.spec.description, tool.spec.schema] for tool in bench.session.tools()])

    assert len(told) < 700, len(told)


def test_a_small_models_function_becomes_a_tool_in_one_call(bench: Bench) -> None:
    bench.begin("small")
    bench.answers = ["y"]

    early = bench.call("propose")
    told = bench.call("new_plugin", name="Word Count", function="def count(text: str) -> int:\n    return len(text.split())")

    assert early.endswith("Make the tool first, with new_plugin.")
    assert told.startswith("Accepted: version 2. This is done")
    assert "plugins/word_count/__init__.py" in bench.code()


def test_a_small_model_that_goes_on_making_the_same_tool_is_told_that_it_is_there(bench: Bench) -> None:
    bench.begin("small")
    bench.answers = ["y"]
    bench.call("new_plugin", name="adder", function=ADDER)

    assert bench.call("new_plugin", name="adder", function=ADDER).startswith("The plugin adder is just that already.")
    assert bench.call("propose").endswith("It was accepted already: answer the user.")


def test_a_small_model_mends_its_function_by_making_it_anew(bench: Bench) -> None:
    bench.begin("small")
    bench.answers = ["y"]
    told = bench.call("new_plugin", name="sums", function="import no_such\ndef add(a: int) -> int:\n    return a")
    assert "ModuleNotFoundError" in told

    assert bench.call("new_plugin", name="adder", function=ADDER).startswith("Accepted: version 2.")
    assert "plugins/sums/__init__.py" not in bench.code()


def test_a_small_model_that_was_declined_may_ask_once_more_or_do_what_was_said(bench: Bench) -> None:
    bench.begin("small")
    bench.answers = [Verdict("reject", comment="call it sums"), "y"]

    assert "The user says: call it sums" in bench.call("new_plugin", name="adder", function=ADDER)
    assert bench.call("propose").startswith("Accepted: version 2.")


def test_files_are_read_listed_searched_and_changed_in_the_shadow_only(bench: Bench) -> None:
    before = bench.code()

    assert bench.call("list_files").splitlines()[0].startswith("README.md")
    assert "def greet" in bench.call("read_file", path="plugins/greeter/__init__.py")
    assert "plugins/greeter/__init__.py:" in bench.call("search", pattern="def greet")
    assert bench.call("write_file", path="plugins/greeter/words.py", content="HI = 'hi'\n") == "Wrote plugins/greeter/words.py."
    assert "line 8" not in bench.call("edit_file", path="plugins/greeter/__init__.py", old="Hello", new="Hi")
    assert bench.call("move", path="plugins/greeter/words.py", to="plugins/greeter/talk.py").startswith("Moved")
    assert bench.call("delete", path="README.md").startswith("Deleted")

    assert list(bench.shadow.changes()) == ["README.md", "plugins/greeter/__init__.py", "plugins/greeter/talk.py"]
    assert bench.code() == before


ELSEWHERE = [
    *("agent.config.json", "./plugins/../agent.config.json", "requirements.lock", ".env", "workspace/x.txt", "venv/bin/python"),
    *(".foundry.json", ".git/config", "plugins", "plugins/x.py", "plugins/Bad-Name/__init__.py", "plugins/greeter/x.pyc"),
    *(
        "plugins/greeter/__pycache__/x.py",
        "notes.txt",
        ".hidden.py",
        "../outside.py",
        "/etc/passwd",
        "../../../../agents/bob/main.py",
    ),
    *("Agent.Config.json", "plugins/greeter/../../../held", "sub/main.py", "~/.bashrc", ""),
]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_what_is_no_code_of_the_agent_is_refused(bench: Bench, path: str) -> None:
    before = bench.code(), sorted(bench.agent.path.rglob("*"))

    for told in (
        bench.call("write_file", path=path, content="x"),
        bench.call("move", path="README.md", to=path),
        bench.call("delete", path=path),
    ):
        assert told.startswith("error: "), told

    assert bench.shadow.changes() == {}
    assert (bench.code(), sorted(bench.agent.path.rglob("*"))) == before


def test_a_link_in_the_shadow_leads_nowhere(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (bench.shadow.folder.plugins / "linked").symlink_to(tmp_path / "out")

    assert bench.call("write_file", path="plugins/linked/__init__.py", content="x").startswith("error: ")
    assert not list((tmp_path / "out").iterdir())


def test_more_than_a_mebibyte_is_refused(bench: Bench) -> None:
    assert "no code" in bench.call("write_file", path="plugins/greeter/data.py", content="x" * (1024 * 1024 + 1))


def test_the_configuration_changes_only_where_it_may(bench: Bench) -> None:
    told = bench.call("configure", description="Greets", instructions="Be kind.", tools=["clock"], env={"KEY": "to sign"})
    bench.call("configure", env={"OTHER": "more"})

    assert told == "agent.config.json has description and instructions and tools and env as you said."
    assert bench.config() == {
        "name": "bob",
        "plugins": ["greeter"],
        "description": "Greets",
        "instructions": "Be kind.",
        "tools": ["clock"],
        "env": {"KEY": "to sign", "OTHER": "more"},
    }
    assert json.loads(bench.agent.config.read_text()) == {"name": "bob", "plugins": ["greeter"]}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"approvals": [{"decide": "allow"}]},
        {"name": "other"},
        {"folder": "/"},
        {"entry_module": "x"},
        {"mcp_servers": {}},
        {"model": "x"},
        {"dependencies": ["x"]},
        {"plugins": ["../x"]},
        {"env": {"a b": "why"}},
    ],
)
def test_nothing_else_of_the_configuration_can_be_changed(bench: Bench, arguments: dict[str, object]) -> None:
    before = bench.config()

    assert bench.call("configure", **arguments).startswith("error: ")

    assert bench.config() == before


def test_a_tool_that_is_not_there_is_told_at_once(bench: Bench) -> None:
    assert 'did you mean "clock"' in bench.call("configure", tools=["clocks"])


def test_tests_run_jailed(bench: Bench) -> None:
    test = (
        "import os, pathlib, socket, pytest\n"
        "from foundry_plugins.greeter import Greeter\n"
        "def test_greets(tmp_path):\n    (tmp_path / 'x').write_text('x')\n    assert Greeter().greet('Ann') == 'Hello Ann'\n"
        "def test_no_secret():\n    assert 'TOKEN' not in os.environ\n"
        f"    with pytest.raises(OSError):\n        open({str(bench.agent.env_file)!r}).read()\n"
        "def test_nothing_to_write():\n    with pytest.raises(OSError):\n        open(__file__, 'a')\n"
        "def test_no_network():\n    with pytest.raises(OSError):\n        socket.create_connection(('127.0.0.1', 9), 1)\n"
    )
    bench.call("write_file", path="plugins/greeter/tests/test_greeter.py", content=test)

    assert bench.call("run_tests", plugin="greeter").startswith("passed: 4 passed")
    assert bench.call("run_tests", plugin="other") == "error: There is no plugin 'other'."
    assert bench.call("run_tests", plugin="../greeter").startswith("error: ")


def test_a_failing_test_is_told_with_its_place(bench: Bench) -> None:
    bench.call("write_file", path="plugins/greeter/tests/test_it.py", content="def test_it():\n    assert 'a' == 'b'\n")

    told = bench.call("run_tests", plugin="greeter")

    assert told.startswith("failed: ")
    assert "plugins/greeter/tests/test_it.py:2" in told
    assert str(bench.shadow.root) not in told


def test_a_plugin_without_tests_is_told_where_they_go(bench: Bench) -> None:
    assert bench.call("run_tests", plugin="greeter") == "greeter has no tests: write plugins/greeter/tests/test_greeter.py."


def test_a_plugin_that_is_there_is_not_begun_anew(bench: Bench) -> None:
    assert bench.call("new_plugin", name="greeter", description="x", code=ADDER).startswith('error: There is a plugin "greeter"')


def test_calls_of_one_answer_are_done_in_the_models_order(bench: Bench) -> None:
    bench.answers = ["y"]
    tools = {tool.spec.id.partition(".")[2]: tool for tool in bench.session.tools()}

    async def together() -> list[str]:
        calls = [
            tools["new_plugin"].call({"name": "adder", "description": "Adds.", "code": ADDER}),
            tools["edit_file"].call({"path": "plugins/adder/__init__.py", "old": "a + b", "new": "b + a"}),
            tools["run_tests"].call({"plugin": "adder"}),
            tools["propose"].call({"summary": "adds"}),
        ]
        return list(await asyncio.gather(*calls))

    told = asyncio.run(together())

    assert told[2].startswith("passed")
    assert told[3] == "Accepted: version 2."
    assert b"b + a" in bench.code()["plugins/adder/__init__.py"][0]


def test_a_proposal_that_waits_for_the_person_is_given_up_when_the_turn_ends(bench: Bench) -> None:
    async def stopped() -> None:
        forever: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        bench.session._decide = lambda _: forever
        propose = next(tool for tool in bench.session.tools() if tool.spec.id.endswith("propose"))
        asking = asyncio.ensure_future(propose.call({"summary": "x"}))
        await asyncio.sleep(1)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    bench.call("write_file", path="README.md", content="# x\n")
    asyncio.run(stopped())

    assert not bench.accepted
    assert bench.call("read_file", path="README.md").startswith("README.md")


def planned(tool: BoundTool, dependencies: list[str]) -> Plan:
    async def made() -> Plan:
        assert tool.plan
        return await tool.plan({"dependencies": dependencies})

    return asyncio.run(made())


def test_dependencies_are_planned_with_the_network_named(bench: Bench) -> None:
    tool = next(one for one in bench.session.tools() if one.spec.id == "agent_code.set_dependencies")
    assert tool.effects == {"network"}

    plan = planned(tool, ["rich>=14", "rich>=14 "])

    assert plan.preview.hosts == ("the package index",)
    assert "rich>=14" in plan.preview.summary
    assert bench.shadow.changes() == {}
    for wrong in ("git+https://x/y", "--index-url=x", "../x", "x @ file:///y"):
        with pytest.raises(ToolError):
            planned(tool, [wrong])


def test_dependencies_without_an_environment_for_them_are_not_shown(bench: Bench) -> None:
    bench.shadow.write("agent.config.json", json.dumps({"name": "bob", "dependencies": ["rich"]}).encode())

    assert "call set_dependencies" in bench.call("propose", summary="x")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentFolder]:
    with one_agent(tmp_path_factory) as (_, folder):
        yield folder


@pytest.mark.slow
def test_another_dependency_is_tried_in_an_environment_of_its_own(real: AgentFolder) -> None:
    bench = Bench(real, Shadow.open(real, "run1"))
    bench.session._python = real.python
    bench.answers = ["n"]

    assert bench.call("set_dependencies", dependencies=["pyte"]).startswith("The dependencies are now: pyte.")
    code = "import pyte\n\ndef screen(text: str) -> str:\n    seen = pyte.Screen(4, 1)\n"
    code += "    pyte.Stream(seen).feed(text)\n    return seen.display[0]\n"
    bench.call("new_plugin", name="screens", description="Draws.", code=code)
    told = bench.call("propose", summary="Draws a screen")

    assert told.startswith("Not accepted"), told
    (shown,) = bench.shown
    assert [(one.name, one.before) for one in shown.packages] == [("pyte", ""), ("wcwidth", "")][: len(shown.packages)]
    assert shown.imports == ("pyte",)
    assert shown.tests[0].outcome == "passed"
    assert shown.venv
    assert (shown.venv / "bin" / "python").exists()
    assert json.loads(real.config.read_text()).get("dependencies", []) == []
    bench.session.close()
    assert not shown.venv.exists()
