"""Blueprints: data that becomes a definition and files."""

from __future__ import annotations

import ast

import pytest

from foundry.agent.blueprint import blueprint, blueprints, define, render
from foundry.agent.definition import AgentDefinition
from foundry.errors import NotFoundError, UsageError


def test_plain_is_there_and_every_blueprint_says_what_it_is() -> None:
    found = blueprints()

    assert "plain" in [one.name for one in found]
    assert all(one.description and "\n" not in one.description for one in found)


@pytest.mark.parametrize("name", [one.name for one in blueprints()])
def test_each_makes_a_valid_agent_of_python_that_parses(name: str) -> None:
    definition = define(blueprint(name), "scout", {})

    files = render(name, definition)

    assert {"main.py", "README.md"} <= set(files)
    for path, text in files.items():
        assert not path.endswith((".template", ".pyc"))
        if path.endswith(".py"):
            ast.parse(text)
    assert len(files["main.py"].splitlines()) <= 15


def test_an_unknown_one_is_refused_with_the_nearest() -> None:
    with pytest.raises(NotFoundError) as caught:
        blueprint("plane")

    assert '"plain"' in caught.value.hint
    with pytest.raises(NotFoundError):
        blueprint("../plain")


def test_what_is_given_wins_and_what_is_empty_does_not() -> None:
    definition = define(
        blueprint("plain"), "scout", {"instructions": "", "model": "openai:x", "tools": ["clock"], "env": {"A": "why"}}
    )

    assert definition.instructions == blueprint("plain").config["instructions"]
    assert (definition.model, definition.tools, definition.env) == ("openai:x", ("clock",), {"A": "why"})


def test_what_cannot_be_meant_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="env"):
        define(blueprint("plain"), "scout", {"env": {"A B": ""}})


def test_the_readme_is_filled_in_and_a_dollar_of_the_users_stays() -> None:
    definition = AgentDefinition(name="scout", description="costs $5 and $name", tools=("clock",), env={"KEY": "to pay"})

    readme = render("plain", definition)["README.md"]

    assert readme.startswith("# scout\n")
    assert "costs $5 and $name" in readme
    assert "- `clock`" in readme
    assert "- `KEY`: to pay" in readme
