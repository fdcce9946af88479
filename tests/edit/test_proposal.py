"""Proposals: what the one screen shows, what keeps one from being shown, and what each answer of the person brings about."""

from __future__ import annotations

import io

import pytest

from foundry.console import Console
from foundry.errors import FoundryError
from foundry.session.edit.proposal import PluginTests, Proposal, Verdict, blocks
from tests.edit.conftest import ADDER, GREETER, Bench


def screen(proposal: Proposal) -> str:
    out = io.StringIO()
    console = Console(out=out, err=out)
    for block in blocks(proposal):
        console.block(block)
    return out.getvalue()


def propose_adder(bench: Bench) -> str:
    bench.call("new_plugin", name="adder", description="Adds numbers.", code=ADDER)
    return bench.call("propose", summary="An adder")


def test_the_screen_shows_tools_schemas_effects_imports_variables_tests_and_every_diff(bench: Bench) -> None:
    bench.answers = ["n"]
    bench.call("new_plugin", name="adder", description="Adds numbers.", code="import math\n" + ADDER)
    bench.call("configure", env={"ADDER_KEY": "to add in the cloud"})
    bench.call("edit_file", path="plugins/greeter/__init__.py", old="Hello", new="Good day")

    bench.call("propose", summary="An adder")

    shown = screen(bench.shown[0])
    assert bench.shown[0].executed
    assert "An adder" in shown
    assert "new tool" in shown
    assert "adder.add · reads" in shown
    assert "a: integer" in shown
    assert "b: integer = 1" in shown
    assert "ADDER_KEY: to add in the cloud" in shown
    assert "new imports" in shown
    assert "math" in shown
    assert "2 passed" in shown
    assert "plugins/adder/__init__.py · new" in shown
    assert "Good day" in shown
    assert "greeter.greet" not in shown.split("agent.config.json")[0]


def test_accepting_puts_exactly_what_was_shown(bench: Bench) -> None:
    bench.answers = ["y"]

    assert propose_adder(bench) == "Accepted: version 2."

    assert bench.accepted == bench.shown
    assert bench.accepted[0].plugins == ("adder",)
    assert {name: state for name, state in bench.code().items() if name.startswith("plugins/adder")} == {
        name: state for name, state in bench.shown[0].put().items() if name.startswith("plugins/adder")
    }
    assert bench.call("propose", summary="again").startswith("error: Nothing is changed: there is nothing to propose. It was acc")


def test_rejecting_changes_nothing_and_gives_the_comment_to_the_model(bench: Bench) -> None:
    before = bench.code()
    bench.answers = [Verdict("reject", comment="use decimals")]

    told = propose_adder(bench)

    assert told.startswith("Not accepted")
    assert "The user says: use decimals" in told
    assert bench.code() == before
    assert not bench.accepted
    assert "plugins/adder/__init__.py" in bench.call("list_files", path="plugins/adder")


def test_an_answer_that_takes_no_file_is_a_no(bench: Bench) -> None:
    bench.answers = [Verdict("accept", ())]

    assert propose_adder(bench).startswith("Not accepted")
    assert not bench.accepted


def test_some_files_only_are_checked_as_they_would_be_then(bench: Bench) -> None:
    bench.call("write_file", path="README.md", content="# bob adds\n")
    taken = ("agent.config.json", "plugins/adder/__init__.py")
    bench.answers = [Verdict("accept", taken)]

    propose_adder(bench)

    assert tuple(bench.accepted[0].put()) == taken
    assert bench.accepted[0].tests == (PluginTests("adder", "none"),)
    assert [one for one in bench.shadow.changes() if "adder" not in one] == ["README.md"]


def test_a_part_that_does_not_work_alone_is_shown_with_its_problem_and_cannot_be_accepted(bench: Bench) -> None:
    bench.answers = [Verdict("accept", ("plugins/adder/__init__.py",)), "y"]

    told = propose_adder(bench)

    assert len(bench.shown) == 2
    assert 'The plugin "adder" is not named in "plugins"' in screen(bench.shown[1])
    assert told.startswith("error: The user accepts, but it would not work so")
    assert not bench.accepted


def test_a_persons_own_edit_is_checked_and_shown_anew(bench: Bench) -> None:
    name = "plugins/adder/__init__.py"
    bench.call("new_plugin", name="adder", description="Adds numbers.", code=ADDER)
    text = (bench.shadow.folder.path / name).read_text().replace("Add two numbers", "Sum two numbers")
    bench.answers = [Verdict("edit", (name,), text=text), Verdict("edit"), "y"]

    bench.call("propose", summary="An adder")

    assert len(bench.shown) == 3
    assert "Sum two numbers." in screen(bench.shown[1])
    assert bench.shown[1].files == bench.shown[2].files
    assert b"Sum two numbers" in bench.code()[name][0]


def test_a_persons_broken_edit_is_shown_to_the_person_and_not_accepted(bench: Bench) -> None:
    name = "plugins/adder/__init__.py"
    bench.answers = [Verdict("edit", (name,), text="def ("), "y"]

    told = propose_adder(bench)

    assert "plugins/adder/__init__.py:1: SyntaxError" in screen(bench.shown[1])
    assert told.startswith("error: The user accepts, but")
    assert not bench.accepted


def test_an_edit_of_a_file_that_is_not_proposed_is_ignored(bench: Bench) -> None:
    bench.answers = [Verdict("edit", ("../../../outside.txt",), text="x"), "n"]

    propose_adder(bench)

    assert not (bench.shadow.root.parent.parent / "outside.txt").exists()
    assert bench.shown[0].files == bench.shown[1].files


def test_what_cannot_be_accepted_is_told_to_the_model(bench: Bench) -> None:
    bench.answers = ["y"]
    bench.refuse = FoundryError("another session holds the agent", "Close it.")

    assert propose_adder(bench) == "error: Not accepted: another session holds the agent. Close it."


BROKEN = {
    "syntax error": ("def (:\n", "plugins/greeter/__init__.py:1: SyntaxError"),
    "import error": (f"import no_such_module\n{GREETER}", "ModuleNotFoundError"),
    "exit": (f"{GREETER}\nimport sys\nsys.exit(3)\n", "calls sys.exit(3)"),
    "hard exit": (f"{GREETER}\nimport os\nos._exit(3)\n", "ends the process with code 3"),
    "segfault": (f"{GREETER}\nimport ctypes\nctypes.string_at(0)\n", "plugins/greeter/__init__.py"),
    "no tool": ("x = 1\n", "has no class with a method marked @kernel_function"),
    "signature": (GREETER.replace("name: str", "*names: str"), "a tool cannot take *names"),
    "two of one name": (
        GREETER + GREETER.partition("class ")[2].join(["class Other", ""]).replace("Greeter:", ":"),
        "greeter.greet",
    ),
    "reads the secrets": (f"{GREETER}\nimport os\nos.environ['TOKEN']\n", "KeyError"),
    "the network": (
        f"{GREETER}\nimport socket\nsocket.create_connection(('127.0.0.1', 9))\n",
        "plugins/greeter/__init__.py",
    ),
    "writes beside itself": (f"{GREETER}\nopen(__file__ + 'x', 'w')\n", "plugins/greeter/__init__.py"),
    "reads the agent's .env": (f"{GREETER}\nopen({{env!r}}).read()\n", "plugins/greeter/__init__.py"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_does_not_work_goes_back_to_the_model_and_nobody_is_asked(bench: Bench, kind: str) -> None:
    source, said = BROKEN[kind]
    bench.call(
        "write_file", path="plugins/greeter/__init__.py", content=source.replace("{env!r}", repr(str(bench.agent.env_file)))
    )

    told = bench.call("propose", summary="broken")

    assert told.startswith("error: Not shown to the user yet. Mend this first:"), told
    assert said in told
    assert str(bench.shadow.root) not in told
    assert not bench.shown


def test_an_endless_import_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.call("write_file", path="plugins/greeter/__init__.py", content=f"{GREETER}\nwhile True: pass\n")

    told = bench.call("propose", summary="endless")

    assert "its import does not end within 10 s" in told


def test_failing_tests_go_back_to_the_model_once_and_are_then_shown(bench: Bench) -> None:
    bench.answers = ["n"]
    bench.call("write_file", path="plugins/greeter/tests/test_greeter.py", content="def test_it():\n    assert 1 == 2\n")

    first = bench.call("propose", summary="x")
    second = bench.call("propose", summary="x")

    assert first.startswith("error: Not shown to the user yet: tests fail")
    assert "assert 1 == 2" in first
    assert second.startswith("Not accepted")
    assert "FAILED" in screen(bench.shown[0])


def test_names_that_clash_are_refused(bench: Bench) -> None:
    for name in ("clock", "agent_code", "json"):
        assert bench.call("new_plugin", name=name, description="x", code=ADDER).startswith("error: ")
        bench.call("write_file", path=f"plugins/{name}/__init__.py", content=GREETER)
        bench.call("configure", plugins=["greeter", name])
        told = bench.call("propose", summary="x")
        assert told.startswith("error: Not shown to the user yet"), told
        assert name in told
        bench.call("delete", path=f"plugins/{name}")


def test_a_problem_that_was_there_before_is_no_reason_to_refuse(bench: Bench) -> None:
    bench.answers = ["y"]
    (bench.agent.config).write_text('{"name": "bob", "plugins": ["greeter", "gone"]}')
    bench.shadow.refresh()
    bench.call("write_file", path="README.md", content="# other\n")

    assert bench.call("propose", summary="x") == "Accepted: version 2."


def test_an_entry_file_that_is_gone_or_broken_is_refused(bench: Bench) -> None:
    bench.call("write_file", path="main.py", content="def (\n")
    assert "main.py:1: SyntaxError" in bench.call("propose", summary="x")

    bench.call("delete", path="main.py")
    assert "main.py, which starts the agent, is not there" in bench.call("propose", summary="x")


def test_a_changed_schema_and_a_tool_that_goes_are_told(bench: Bench) -> None:
    bench.answers = ["n", "n"]
    bench.call("edit_file", path="plugins/greeter/__init__.py", old="name: str", new="name: str, times: int = 1")
    bench.call("propose", summary="x")
    bench.call("edit_file", path="plugins/greeter/__init__.py", old="def greet", new="def welcome")
    bench.call("propose", summary="x")

    assert [(tool.id, tool.change) for tool in bench.shown[0].tools] == [("greeter.greet", "changed")]
    assert [(tool.id, tool.change) for tool in bench.shown[1].tools] == [("greeter.welcome", "new"), ("greeter.greet", "gone")]


def test_a_built_in_that_the_configuration_offers_is_a_new_tool_too(bench: Bench) -> None:
    bench.answers = ["n"]
    bench.call("configure", tools=["clock"])

    bench.call("propose", summary="x")

    assert all(tool.change == "new" and tool.id.startswith("clock.") for tool in bench.shown[0].tools)
    assert bench.shown[0].tools


def test_without_a_jail_nothing_is_executed_and_the_screen_says_so(bench: Bench) -> None:
    bench.level = "none"
    bench.begin("full")
    bench.answers = ["y"]
    marker = bench.agent.path.parent / "executed"
    code = f"open({str(marker)!r}, 'w')\n{GREETER}"
    bench.call("write_file", path="plugins/greeter/__init__.py", content=code.replace("def greet", "def welcome"))
    bench.call("write_file", path="plugins/greeter/tests/test_it.py", content=f"open({str(marker)!r}, 'w')\n")

    assert bench.call("run_tests", plugin="greeter").startswith("error: Nothing can be run before it is accepted here")
    assert bench.call("propose", summary="x") == "Accepted: version 2."

    shown = screen(bench.shown[0])
    assert not bench.shown[0].executed
    assert "not executed" in shown
    assert "greeter.welcome · reads" in shown
    assert "name: str" in shown
    assert not marker.exists()


def test_without_a_jail_broken_tests_are_still_found_by_reading(bench: Bench) -> None:
    bench.level = "none"
    bench.begin("full")
    bench.call("write_file", path="plugins/greeter/tests/test_it.py", content="def (\n")

    assert "plugins/greeter/tests/test_it.py:1: SyntaxError" in bench.call("propose", summary="x")


def test_hostile_text_is_written_out_on_the_screen(bench: Bench) -> None:
    bench.answers = ["n"]
    bench.call("configure", description="a\u202eb", env={"KEY": "why\x1b[2J"})

    bench.call("propose", summary="sum\x1b]52;c;eA==\x07mary")

    shown = screen(bench.shown[0])
    assert not {"\x1b", "\x07", "\u202e"} & set(shown)


def test_a_proposal_that_changes_only_words_takes_no_second(bench: Bench) -> None:
    bench.answers = ["y"]
    bench.call("configure", instructions="Be brief.")

    assert bench.call("propose", summary="x") == "Accepted: version 2."
    shown = bench.shown[0]
    assert (shown.tools, shown.tests, shown.plugins) == ((), (), ())


def test_a_plugin_that_lay_there_unloaded_is_tried_and_named(bench: Bench) -> None:
    bench.answers = ["n"]
    (bench.agent.plugins / "asleep").mkdir()
    (bench.agent.plugins / "asleep" / "__init__.py").write_text(GREETER)
    bench.shadow.refresh()
    bench.call("configure", plugins=["greeter", "asleep"])

    bench.call("propose", summary="x")

    shown = bench.shown[0]
    assert (shown.plugins, shown.loaded) == ((), ("asleep",))
    assert [tool.id for tool in shown.tools] == ["asleep.greet"]
    assert "plugins/asleep, which was there already" in screen(shown)
