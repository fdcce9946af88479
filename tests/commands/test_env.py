"""env tells what is needed, why and from where; a value never comes back out."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path

import pytest

from foundry.agent.folder import Home
from foundry.agent.secrets import read_env
from foundry.console import Console, Shown
from foundry.errors import FoundryError, NotReadyError, UsageError
from foundry.plugins.foundry_core.agent_env import env_check, env_set, env_show, env_unset
from foundry.settings import Settings, load_settings
from tests.commands.conftest import make_agent

CANARY = "canary-0b7e41d9"


def printed(data: Shown) -> str:
    text, as_json = io.StringIO(), io.StringIO()
    Console(out=text).result(data)
    Console(out=as_json, as_json=True).result(data)
    return text.getvalue() + as_json.getvalue()


def test_what_is_needed_is_told_with_why_and_source(place: Home, settings: Settings) -> None:
    env = {"A_KEY": "for a", "B_KEY": "for b", "C_KEY": "for c", "D_KEY": "optional: for d"}
    make_agent(place, "scout", {".env": f"A_KEY={CANARY}\n"}, env=env)
    place.env_file.write_text(f"C_KEY={CANARY}\n")

    found = env_show(place, "scout", settings=settings, environment={"B_KEY": CANARY})

    assert [(one.name, one.why, one.required, one.is_set, one.source) for one in found.variables] == [
        ("A_KEY", "for a", True, True, "agent"),
        ("B_KEY", "for b", True, True, "shell"),
        ("C_KEY", "for c", True, True, "home"),
        ("D_KEY", "optional: for d", False, False, ""),
    ]
    assert env_check(place, "scout", settings=settings, environment={"B_KEY": "x"}).missing == []
    assert CANARY not in printed(found)


def test_check_lists_all_that_is_missing(place: Home, settings: Settings) -> None:
    make_agent(place, "scout", env={"A_KEY": "for a", "B_KEY": ""}, model="anthropic:claude")

    with pytest.raises(NotReadyError) as caught:
        env_check(place, "scout", settings=settings, environment={})

    assert caught.value.exit_code == 4
    for word in ("A_KEY (for a)", "B_KEY", "ANTHROPIC_API_KEY"):
        assert word in caught.value.message
    assert caught.value.hint == "foundry env scout set A_KEY"


@pytest.mark.parametrize(
    ("model", "setting", "needed"),
    [
        ("openai:gpt-5", "", True),
        ("", "openrouter:x/y", True),
        ("local:coder-1.5b", "openai:gpt-5", False),
        ("ollama:qwen3", "", False),
        ("", "", False),
    ],
)
def test_the_models_key_counts_as_needed(
    place: Home, monkeypatch: pytest.MonkeyPatch, model: str, setting: str, needed: bool
) -> None:
    monkeypatch.setenv("FOUNDRY_MODEL", setting)
    make_agent(place, "scout", model=model)
    assert bool(env_show(place, "scout", settings=load_settings(place.path), environment={}).missing) is needed


def test_another_openai_server_needs_no_key(place: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    make_agent(place, "scout", model="openai:own")

    found = env_check(place, "scout", settings=load_settings(place.path), environment={})

    assert [(one.name, one.required) for one in found.variables] == [("OPENAI_API_KEY", False)]


def test_set_and_unset_say_what_they_did_and_keep_the_rest(place: Home, settings: Settings) -> None:
    folder = make_agent(place, "scout", {".env": "# for a\n# A_KEY=\n\nX=1  # mine\n"}, env={"A_KEY": "for a"})

    change = env_set(place, "scout", "A_KEY", CANARY)
    assert (change.change, change.warning) == ("set", "")
    assert folder.env_file.read_text() == f"# for a\nA_KEY={CANARY}\n\nX=1  # mine\n"
    assert stat.S_IMODE(folder.env_file.stat().st_mode) == 0o600
    assert CANARY not in printed(change)

    assert env_set(place, "scout", "A_KEY", "other").change == "replaced"
    assert env_unset(place, "scout", "A_KEY").change == "removed"
    assert env_unset(place, "scout", "A_KEY").change == "was not set"
    assert read_env(folder.env_file) == {"X": "1"}
    assert env_show(place, "scout", settings=settings).unknown == ("X",)


def test_a_name_nothing_asks_for_is_set_with_a_warning(place: Home, settings: Settings) -> None:
    make_agent(place, "scout", env={"SEARCH_KEY": ""})

    assert "SEARCH_KEY" in env_set(place, "scout", "SERCH_KEY", "x").warning
    assert env_set(place, "scout", "OPENAI_API_KEY", "x").warning == ""
    assert "SERCH_KEY: nothing asks for it" in printed(env_show(place, "scout", settings=settings))


@pytest.mark.parametrize(("key", "value"), [("1A", "x"), ("A-B", "x"), ("A", ""), ("A", "x\0")])
def test_what_cannot_be_set_is_refused_without_its_value(place: Home, key: str, value: str) -> None:
    folder = make_agent(place, "scout")

    with pytest.raises(UsageError):
        env_set(place, "scout", key, value)
    assert not folder.env_file.exists()


def test_an_unreadable_env_file_is_named_with_its_line_but_not_its_text(place: Home, settings: Settings) -> None:
    make_agent(place, "scout", {".env": f"OK=1\n{CANARY} here\n"})

    for ask in (
        lambda: env_show(place, "scout", settings=settings),
        lambda: env_set(place, "scout", "A", "1"),
        lambda: env_unset(place, "scout", "A"),
    ):
        with pytest.raises(FoundryError) as caught:
            ask()
        assert ".env:2" in caught.value.message
        assert CANARY not in caught.value.message + caught.value.hint


def test_a_key_can_be_set_while_the_config_is_broken(place: Home, tmp_path: Path) -> None:
    folder = make_agent(place, "scout", {"agent.config.json": "{"})
    assert env_set(place, "scout", "A", "1").change == "set"
    assert read_env(folder.env_file) == {"A": "1"}


def test_the_json_holds_names_and_sources_only(place: Home, settings: Settings) -> None:
    make_agent(place, "scout", {".env": f"A={CANARY}\n"}, env={"A": "why"})
    out = io.StringIO()

    Console(out=out, as_json=True).result(env_show(place, "scout", settings=settings))

    (variable,) = json.loads(out.getvalue())["data"]["variables"]
    assert variable == {"name": "A", "why": "why", "required": True, "is_set": True, "source": "agent"}
