"""Plain functions made into plugins, as small models write them: what comes out imports and gives the right schema."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.definition import AgentDefinition
from foundry.agent.folder import AgentFolder
from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.loader import load_tools
from foundry.session.edit.naming import free_name
from foundry.session.edit.wrapping import wrapped

# What a model wrote, what it is called with, and what must come back.
WRITTEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "plain": ("def add(a: int, b: int) -> int:\n    '''Add.'''\n    return a + b", {"a": 1, "b": 2}, "3"),
    "fenced": ("Here it is:\n```python\ndef add(a: int) -> int:\n    return a\n```\nEnjoy!", {"a": 4}, "4"),
    "fence without an end": ("```py\ndef add(a: int) -> int:\n    return a", {"a": 4}, "4"),
    "escaped line ends": ('def add(a: int) -> int:\\n    \\"\\"\\"Add.\\"\\"\\"\\n    return a + 1', {"a": 4}, "5"),
    "windows line ends": ("def add(a: int) -> int:\r\n    return a\r\n", {"a": 4}, "4"),
    "tabs": ("def add(a: int) -> int:\n\treturn a\n", {"a": 4}, "4"),
    "indented": ("    def add(a: int) -> int:\n        return a\n", {"a": 4}, "4"),
    "no hints": ("def add(word, times=2, loud=False):\n    return word * times", {"word": "a"}, "aa"),
    "an import forgotten": ("def add(a: float) -> int:\n    return math.floor(a)", {"a": 4.5}, "4"),
    "typing forgotten": ("def add(a: List[int], b: Optional[int] = None) -> int:\n    return sum(a)", {"a": [1, 2]}, "3"),
    "imports at the top": (
        "import math\nfrom re import sub\n\ndef add(a: str) -> str:\n    return sub('x', 'y', a)",
        {"a": "xa"},
        "ya",
    ),
    "a helper": ("def helper(a):\n    return a * 2\n\ndef add(a: int) -> int:\n    return helper(a)", {"a": 4}, "8"),
    "a private helper and a constant": (
        "TWO = 2\n\ndef _twice(a):\n    return a * TWO\n\ndef add(a: int):\n    return _twice(a)",
        {"a": 4},
        "8",
    ),
    "it calls itself": ("def add(n: int) -> int:\n    return n + add(n - 1) if n else 0", {"n": 3}, "6"),
    "it is tried at the end": ("def add(a: int) -> int:\n    return a\n\nprint(add(input()))\nassert add(1) == 1", {"a": 4}, "4"),
    "a main": (
        "def add(a: int) -> int:\n    return a\n\ndef main():\n    add(1)\n\nif __name__ == '__main__':\n    main()",
        {"a": 4},
        "4",
    ),
    "another framework's decorator": (
        "from langchain_core.tools import tool\n@tool\ndef add(a: int) -> int:\n    return a",
        {"a": 4},
        "4",
    ),
    "async": ("async def add(a: int) -> int:\n    return a", {"a": 4}, "4"),
    "a keyword parameter": ("def add(a: int, *, b: int = 3) -> int:\n    return a + b", {"a": 4}, "7"),
    "quotes in the docstring": ('def add(a: int) -> int:\n    """Say "hi" and \\\\n"""\n    return a', {"a": 4}, "4"),
    "no docstring": ("def add(a: int) -> int:\n    return a", {"a": 4}, "4"),
    "a dataclass beside it": (
        "from dataclasses import dataclass\n@dataclass\nclass Pair:\n    a: int\ndef add(a: int) -> int:\n    return Pair(a).a",
        {"a": 4},
        "4",
    ),
    "a class of the plugin's name": (
        "class Maths:\n    two = 2\n\ndef add(a: int) -> int:\n    return a * Maths.two",
        {"a": 4},
        "8",
    ),
    "the future": ("from __future__ import annotations\n\ndef add(a: int) -> int:\n    return a", {"a": 4}, "4"),
}


def loaded(tmp_path: Path, code: str, description: str = "") -> Any:
    agent = AgentFolder(tmp_path / "agents" / "bob")
    for name, text in wrapped("maths", description, code).files.items():
        path = agent.plugins / "maths" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    tools, problems = load_tools(agent, AgentDefinition("bob", plugins=("maths",)), ToolContext(tmp_path))
    assert not problems
    return tools


@pytest.mark.parametrize("kind", WRITTEN)
def test_what_small_models_write_becomes_a_tool_that_works(tmp_path: Path, kind: str) -> None:
    code, arguments, expected = WRITTEN[kind]

    (tool,) = loaded(tmp_path, code)

    assert tool.spec.id == "maths.add"
    assert tool.spec.description
    assert asyncio.run(tool.call(arguments)) == expected


def test_parameters_are_described_from_the_docstring(tmp_path: Path) -> None:
    docstring = '"""Add two.\n\n    Args:\n        a (int): the first\n        b: the second\n    """'
    code = f"def add(a: int, b=2):\n    {docstring}\n    return a + b"

    (tool,) = loaded(tmp_path, code)

    assert tool.spec.schema["properties"]["a"]["description"] == "the first"
    assert tool.spec.schema["properties"]["b"] == {"default": 2, "description": "the second", "type": "integer"}


def test_several_functions_become_several_tools(tmp_path: Path) -> None:
    tools = loaded(tmp_path, "def up(a: str) -> str:\n    return a.upper()\n\ndef down(a: str) -> str:\n    return a.lower()")

    assert [tool.spec.id for tool in tools] == ["maths.up", "maths.down"]


def test_a_whole_plugin_is_taken_as_it_is() -> None:
    code = "from foundry.plugins.api import kernel_function\n\nclass A:\n    @kernel_function\n    def f(self) -> str: ...\n"

    assert wrapped("maths", "Does.", code).files["__init__.py"] == code


@pytest.mark.parametrize(
    ("code", "does"),
    [
        ("def f(a: int):\n    return a", '@effects("reads")'),
        ("import requests\ndef f(a: str):\n    return requests.get(a).text", '@effects("reads", "network")'),
        ("from urllib.request import urlopen\ndef f(a: str):\n    return urlopen(a).read()", '"network"'),
        ("def f(a: str):\n    with open(a, 'w') as g:\n        return g.write(a)", '"writes"'),
        ("import subprocess\ndef f(a: str):\n    return subprocess.run(a)", '"runs"'),
        ("def f(a: str):\n    return eval(a)", '"runs"'),
    ],
)
def test_effects_are_declared_as_the_code_shows_them(code: str, does: str) -> None:
    assert does in wrapped("maths", "", code).files["__init__.py"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("", "There is no code"),
        ("def add(a:\n", "The code is no Python: "),
        ("x = 1", "There is no function"),
        ("class A:\n    def f(self): ...", "Give a plain function, not a class"),
        ("def add(*a):\n    return a", "cannot take *"),
        ("def add(a):\n    yield a", "yields"),
        ("def add():\n    return input('?')", "make it a parameter"),
        ("def add(a):\n    print(a)", "prints its result and returns nothing"),
        ("def add(add):\n    return add", "has a parameter of its own name"),
        ("\0", "The code cannot be read"),
        ("(" * 5000, "The code"),
    ],
)
def test_what_cannot_become_a_tool_is_refused_with_the_way_to_write_it(code: str, said: str) -> None:
    with pytest.raises(ToolError, match=said.replace("*", "\\*")):
        wrapped("maths", "", code)


@given(st.text(max_size=200), st.text(max_size=60))
def test_any_text_is_refused_or_becomes_python(code: str, description: str) -> None:
    for source in (code, f"def f(a: str = {code[:20]!r}):\n    {code!r}\n    return a"):
        try:
            made = wrapped("maths", description, source)
        except ToolError:
            continue
        for name, text in made.files.items():
            if name.endswith(".py"):
                ast.parse(text.encode())


@given(st.text(max_size=60))
def test_any_name_is_made_a_good_one_or_refused(name: str) -> None:
    from foundry.agent.definition import PLUGIN_NAME
    from foundry.plugins.cards import check_name

    try:
        made = free_name(name)
    except ToolError:
        return
    assert PLUGIN_NAME.fullmatch(made)
    check_name(made)
    assert free_name(made) == made


def test_names_that_are_taken_get_an_ending() -> None:
    assert [free_name(one) for one in ("json", "clock", "WordCount", "my-tool 2", "agent_code")] == [
        *("json_tool", "clock_tool", "word_count", "my_tool_2", "agent_code_tool")
    ]
