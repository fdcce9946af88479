"""The tools of a running session: swapped while it runs, edit mode's beside them, secrets that come later."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from foundry.agent.secrets import Redactor
from foundry.plugins.api import Change, Changed, Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.strict import BoundTool, bind
from foundry.session.toolbox import Toolbox


class Teller:
    """A tool that says which it is."""

    def __init__(self, word: str) -> None:
        self.word = word

    @kernel_function
    @effects("reads")
    def tell(self) -> str:
        """Tell."""
        return self.word


class Planner:
    """A tool that says first what it would do."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context
        self.made = 0

    @kernel_function
    @planned
    def put(self, text: str) -> Plan:
        """Put a text into a file."""
        self.made += 1
        path = self.context.path("a.txt")
        preview = Preview("put", (Change(path, None, text.encode()),), paths=(path,))

        def do() -> str:
            if path.exists():
                raise Changed("there is a file now")
            path.write_text(text)
            return f"put {self.made}"

        return Plan(preview, do)


def teller(word: str, plugin: str = "one") -> list[BoundTool]:
    return bind(Teller(word), plugin, "built-in", ToolContext(Path()))


def told(box: Toolbox, name: str) -> str:
    tool = box.find(name)
    assert tool
    return asyncio.run(box.invoke(tool, {}))


def test_tools_are_swapped_and_added_in_a_running_session() -> None:
    box = Toolbox(teller("old"), Redactor({}))
    assert told(box, "one.tell") == "old"
    box.replace([*teller("new"), *teller("second", "two")])
    assert [spec.id for spec in box.specs()] == ["one.tell", "two.tell"]
    assert told(box, "one.tell") == "new"
    box.add(teller("edit", "agent_code"))
    box.replace(teller("newest"))
    assert [spec.id for spec in box.specs()] == ["one.tell", "agent_code.tell"]
    assert (told(box, "one.tell"), told(box, "agent_code.tell")) == ("newest", "edit")
    box.add(())
    assert box.find("agent_code.tell") is None


def test_what_was_added_comes_before_a_tool_of_the_same_name() -> None:
    box = Toolbox(teller("the agent's", "agent_code"), Redactor({}))
    box.add(teller("edit mode's", "agent_code"))
    assert told(box, "agent_code.tell") == "edit mode's"
    assert len(box.specs()) == 1


def test_a_call_that_was_decided_about_the_old_tool_does_not_run_the_new_one() -> None:
    box = Toolbox(teller("old"), Redactor({}))
    old = box.find("one.tell")
    assert old
    box.replace(teller("new"))
    with pytest.raises(ToolError, match="replaced"):
        asyncio.run(box.invoke(old, {}))


def test_swaps_from_other_threads_leave_whole_sets() -> None:
    box = Toolbox(teller("0"), Redactor({}))
    seen: list[bool] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.append([spec.id for spec in box.specs()][-1:] != [])

    looking = threading.Thread(target=look)
    looking.start()

    def swap() -> None:
        for number in range(50):
            box.replace(teller(str(number)))
            box.add(())

    swaps = [threading.Thread(target=swap) for _ in range(3)]
    for one in swaps:
        one.start()
    for one in swaps:
        one.join()
    stop.set()
    looking.join()
    assert all(seen)
    assert told(box, "one.tell") == "49"


def test_a_plan_is_done_as_it_was_shown_or_not_at_all(tmp_path: Path) -> None:
    subject = Planner(ToolContext(tmp_path))
    box = Toolbox(bind(subject, "p", "built-in", ToolContext(tmp_path)), Redactor({}))
    tool = box.find("p.put")
    assert tool
    assert tool.plan

    async def both() -> tuple[Plan, str]:
        assert tool
        assert tool.plan
        plan = await tool.plan({"text": "shown"})
        assert not (tmp_path / "a.txt").exists()
        return plan, await box.invoke(tool, {"text": "something else"}, plan)

    plan, said = asyncio.run(both())
    assert ((tmp_path / "a.txt").read_text(), said, subject.made) == ("shown", "put 1", 1)
    with pytest.raises(Changed, match="a file now"):
        asyncio.run(box.invoke(tool, {"text": "shown"}, plan))


def test_an_own_plugins_plan_is_done_at_once_and_only_when_it_is_called(tmp_path: Path) -> None:
    (tool,) = bind(Planner(ToolContext(tmp_path)), "p", "own", ToolContext(tmp_path))
    assert tool.plan is None
    assert asyncio.run(_called(tool)) == "put 1"
    assert (tmp_path / "a.txt").read_text() == "x"


async def _called(tool: BoundTool) -> str:
    return await tool.call({"text": "x"})


def test_a_secret_learnt_later_is_taken_out_from_then_on() -> None:
    redactor = Redactor({})
    box = Toolbox(teller("it is hunter2-hunter2"), redactor)
    redactor.learn({"TOKEN": "hunter2-hunter2"})
    assert told(box, "one.tell") == "it is [TOKEN]"
