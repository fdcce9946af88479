"""agent.config.json is read strictly: what it cannot mean is refused with file, key and the nearest good one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundry.agent.definition import (
    AGENT_NAME,
    AgentDefinition,
    ApprovalRule,
    check_agent_name,
    dump_definition,
    load_definition,
    parse_definition,
)
from foundry.errors import UsageError
from foundry.files import BadFileError

unhurried = settings(deadline=None)

SAMPLE = {"name": "ExampleAgent", "tools": ["read_write_code", "grep_codebase"], "plugins": ["my_custom_plugin"]}


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "agent.config.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_smallest_useful_config_loads_as_it_is(tmp_path: Path) -> None:
    found = load_definition(write(tmp_path, json.dumps(SAMPLE)))

    assert (found.name, found.tools, found.plugins) == (
        "ExampleAgent",
        ("read_write_code", "grep_codebase"),
        ("my_custom_plugin",),
    )
    assert (found.entry_file, found.folder, found.env) == ("main.py", "workspace", {})


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    text = json.dumps(SAMPLE, indent=2).replace("\n", "\r\n")
    assert load_definition(write(tmp_path, b"\xef\xbb\xbf" + text.encode())).name == "ExampleAgent"


def test_every_key_is_read(tmp_path: Path) -> None:
    rule = {"tool": "git.*", "decide": "ask", "effect": "runs", "arguments": {"path": "src/*"}, "paths": ["src/**"]}
    data = {
        **SAMPLE,
        "description": "d",
        "model": "openai:x",
        "instructions": "i\nj",
        "dependencies": ["rich>=14"],
        "entry_module": "start",
        "approvals": [rule],
        "env": ["A_KEY"],
        "folder": ".",
        "mcp_servers": {"files": {"command": "x", "args": ["y"]}},
    }

    found = load_definition(write(tmp_path, json.dumps(data)))

    assert found.approvals == (ApprovalRule("ask", "git.*", {"path": "src/*"}, "runs", ("src/**",)),)
    assert found.env == {"A_KEY": ""}
    assert found.entry_file == "start.py"
    assert parse_definition(json.loads(json.dumps(dump_definition(found)))) == found


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
definitions = st.builds(
    AgentDefinition,
    name=texts,
    description=texts,
    model=texts,
    instructions=texts,
    dependencies=st.lists(texts, max_size=3).map(tuple),
    tools=st.lists(texts, max_size=3).map(tuple),
    plugins=st.lists(st.from_regex(r"[a-z][a-z0-9_]{0,9}", fullmatch=True), max_size=3).map(tuple),
    env=st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,9}", fullmatch=True), texts, max_size=3),
    approvals=st.lists(
        st.builds(
            ApprovalRule,
            decide=st.sampled_from(["allow", "ask", "deny"]),
            tool=texts,
            arguments=st.dictionaries(texts, texts, max_size=2),
            effect=st.sampled_from([None, "reads", "network"]),
        ),
        max_size=2,
    ).map(tuple),
)


@unhurried
@given(definitions)
def test_what_was_written_reads_back(definition: AgentDefinition) -> None:
    assert parse_definition(json.loads(json.dumps(dump_definition(definition)))) == definition


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "not JSON"),
        ("{", ":1:2: not JSON"),
        ('{"name": "x",}', "not JSON"),
        ("null", "not an object"),
        ("[]", "not an object"),
        ("{}", '"name" is missing'),
        ('{"name": "x", "name": "x"}', 'the key "name" stands twice'),
        ('{"name": "x", "env": {"A": "1", "A": "2"}}', 'the key "A" stands twice'),
        ('{"nmae": "x"}', 'unknown key "nmae", did you mean "name"?'),
        ('{"name": "x", "plugin": []}', 'did you mean "plugins"?'),
        ('{"name": "x", "zzz": 1}', 'unknown key "zzz"'),
        ('{"name": 1}', '"name": must be text, not a number'),
        ('{"name": true}', "not true or false"),
        ('{"name": null}', "not null"),
        ('{"name": "x", "tools": "clock"}', '"tools": must be a list of texts'),
        ('{"name": "x", "tools": [1]}', '"tools": must be a list of texts'),
        ('{"name": "x", "tools": {"a": 1}}', '"tools"'),
        ('{"name": "x", "plugins": ["../evil"]}', "no plugin's name"),
        ('{"name": "x", "plugins": ["Upper"]}', "no plugin's name"),
        ('{"name": "x", "env": {"A B": ""}}', "no environment variable's name"),
        ('{"name": "x", "env": {"A": 1}}', '"env"'),
        ('{"name": "x", "entry_module": "../main.py"}', "no Python file"),
        ('{"name": "x", "entry_module": "main.sh"}', "no Python file"),
        ('{"name": "x", "approvals": {"decide": "ask"}}', '"approvals": must be a list'),
        ('{"name": "x", "approvals": [{"decide": "maybe"}]}', "rule 1"),
        ('{"name": "x", "approvals": [{}]}', '"decide" is missing'),
        ('{"name": "x", "approvals": [{"decide": "ask", "tol": "a"}]}', 'did you mean "tool"?'),
        ('{"name": "x", "approvals": ["ask"]}', "must be an object"),
        ('{"name": "x", "mcp_servers": []}', "must be an object, not a list"),
        ('{"name": "x", "mcp_servers": {"a": NaN}}', "NaN"),
        ('{"name": "x", "mcp_servers": {"a": -Infinity}}', "Infinity"),
        ('{"name": "x", "mcp_servers": {"a": 1e999}}', "too large"),
        ('{"name": "x", "mcp_servers": {"a": ' + "9" * 5000 + "}}", "digits"),
        ('{"name": "x", "folder": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"name": "\\ud800"}', "half a character"),
        ('{"name": "' + "x" * 10_000_000 + '"}', "larger than"),
        (b'{"name": "\xff"}', "not UTF-8"),
        ('{"name": "x"}'.encode("utf-16"), "not UTF-8"),
    ],
)
def test_what_it_cannot_mean_is_refused_and_named(tmp_path: Path, text: str | bytes, told: str) -> None:
    path = write(tmp_path, text)

    with pytest.raises(BadFileError) as caught:
        load_definition(path)

    assert str(path) in caught.value.message
    assert told in caught.value.message
    assert len(caught.value.message) < 1000


def test_several_faults_are_told_together() -> None:
    with pytest.raises(ValueError, match=r"tols.*model.*folder"):
        parse_definition({"name": "x", "tols": [], "model": 1, "folder": 2})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@unhurried
@given(st.dictionaries(st.sampled_from(list(dump_definition(AgentDefinition("x")))) | texts, json_values, max_size=4))
def test_any_json_either_is_a_definition_or_is_refused_in_words(data: dict[str, Any]) -> None:
    try:
        told = repr(parse_definition(data))
    except ValueError as error:
        told = str(error)
    assert told


@pytest.mark.parametrize("name", ["a", "A", "scout-2", "x_y", "a" * 40, "constable"])
def test_good_names_are_taken(name: str) -> None:
    assert check_agent_name(name) == name


@pytest.mark.parametrize(
    ("name", "close"),
    [
        ("", ""),
        ("../x", "x"),
        ("a/b", "a-b"),
        ("a" * 200, "a" * 40),
        ("my agent", "my-agent"),
        ("1st", "st"),
        ("con", "con-agent"),
        ("COM1", "COM1-agent"),
        ("\u0430gent", "gent"),
        ("scout\n", "scout"),
        ("-rf", "rf"),
        ("_x", "x"),
        (".hidden", "hidden"),
        ("a\0b", "a-b"),
        ("$(reboot)", "reboot"),
        ("агент", ""),
    ],
)
def test_bad_names_are_refused_with_the_nearest_good_one(name: str, close: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_agent_name(name)

    assert caught.value.code == "bad_name"
    assert (f'"{close}"' in caught.value.hint) is bool(close)


@unhurried
@given(st.text(max_size=60))
def test_a_suggested_name_is_always_a_good_one(name: str) -> None:
    try:
        good = check_agent_name(name)
    except UsageError as error:
        good = error.hint.split('"')[1] if 'For instance "' in error.hint else "none"
    assert AGENT_NAME.fullmatch(check_agent_name(good))
