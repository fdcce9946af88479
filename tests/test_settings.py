"""Settings: the highest layer wins and says so; a value that cannot be meant is refused with the name of its layer."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from foundry.errors import FoundryError, UsageError
from foundry.files import BadFileError
from foundry.settings import SETTINGS, Source, cache_folder, find_home, load_settings, state_folder

unhurried = hypothesis_settings(deadline=None)


def home_with(folder: Path, **values: Any) -> Path:
    (folder / ".foundry").mkdir(parents=True)
    (folder / ".foundry" / "settings.json").write_text(json.dumps(values))
    return folder


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings(None, {})
    assert all(settings[one.name] == one.default and settings.source(one.name) == "default" for one in SETTINGS)


def test_flag_beats_environment_beats_agent_beats_home(tmp_path: Path) -> None:
    home = home_with(tmp_path, max_rounds=2, retries=2, timeout=2, local_idle=2)
    environment = {"FOUNDRY_MAX_ROUNDS": "4", "FOUNDRY_RETRIES": "4"}

    settings = load_settings(home, environment).over("agent", {"max_rounds": 3, "timeout": 3}).over("flag", {"max_rounds": 5})

    found = {
        name: (settings[name], settings.source(name)) for name in ("max_rounds", "retries", "timeout", "local_idle", "python")
    }
    assert found == {
        "max_rounds": (5, "flag"),
        "retries": (4, "environment"),
        "timeout": (3.0, "agent"),
        "local_idle": (2.0, "home"),
        "python": ("", "default"),
    }


layers: list[Source] = ["home", "agent", "environment", "flag"]


@unhurried
@given(st.permutations([(layer, number) for number, layer in enumerate(layers)]), st.sets(st.sampled_from(layers)))
def test_the_order_in_which_layers_come_does_not_matter(order: list[tuple[Source, int]], given_by: set[Source]) -> None:
    settings = load_settings(None, {})
    for layer, number in order:
        settings = settings.over(layer, {"retries": number if layer in given_by else None})

    expected = max((layers.index(one) for one in given_by), default=None)
    assert settings.source("retries") == ("default" if expected is None else layers[expected])
    assert settings["retries"] == (3 if expected is None else expected)


@pytest.mark.parametrize(
    ("variable", "value", "found"),
    [
        ("FOUNDRY_OFFLINE", "yes", True),
        ("FOUNDRY_OFFLINE", " OFF ", False),
        ("FOUNDRY_TIMEOUT", "1.5", 1.5),
        ("FOUNDRY_RETRIES", "0", 0),
        ("FOUNDRY_MODEL", "openai:x", "openai:x"),
    ],
)
def test_text_from_the_environment_becomes_the_settings_kind(variable: str, value: str, found: Any) -> None:
    (name,) = [one.name for one in SETTINGS if one.variable == variable]
    assert load_settings(None, {variable: value})[name] == found


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert load_settings(None, {"FOUNDRY_RETRIES": ""}).source("retries") == "default"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FOUNDRY_RETRIES", "many"),
        ("FOUNDRY_RETRIES", "-1"),
        ("FOUNDRY_RETRIES", "1.5"),
        ("FOUNDRY_RETRIES", "9" * 5000),
        ("FOUNDRY_TIMEOUT", "nan"),
        ("FOUNDRY_TIMEOUT", "inf"),
        ("FOUNDRY_TIMEOUT", "-0.1"),
        ("FOUNDRY_OFFLINE", "perhaps"),
    ],
)
def test_a_variable_that_cannot_be_meant_is_named(variable: str, value: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(None, {variable: value})
    assert caught.value.message.startswith(variable)
    assert caught.value.hint


@pytest.mark.parametrize(
    "values", [{"retries": "x"}, {"retries": True}, {"offline": []}, {"model": 5}, {"timeout": None, "retries": {}}]
)
def test_a_home_file_of_wrong_types_is_refused(tmp_path: Path, values: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="home"):
        load_settings(home_with(tmp_path, **values), {})


def test_a_misspelt_setting_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_settings(home_with(tmp_path, max_round=3), {})
    assert "max_rounds" in caught.value.hint


def test_a_home_file_that_is_no_json_is_named(tmp_path: Path) -> None:
    home = home_with(tmp_path)
    (home / ".foundry" / "settings.json").write_text("{")
    with pytest.raises(BadFileError, match=r"settings\.json:1"):
        load_settings(home, {})


@unhurried
@given(
    st.sampled_from([one.name for one in SETTINGS]), st.text(max_size=8) | st.integers() | st.floats() | st.booleans() | st.none()
)
def test_any_value_is_taken_or_refused_in_words(name: str, value: Any) -> None:
    try:
        told = str(load_settings(None, {}).over("flag", {name: value}).source(name))
    except FoundryError as error:
        told = error.message
    assert told in {"flag", "default"} or name in told


def test_the_home_is_named_or_the_nearest_with_a_foundry_folder_or_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FOUNDRY_HOME")
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    assert find_home(start=deep) == deep

    (tmp_path / "project" / ".foundry").mkdir()
    assert find_home(start=deep) == tmp_path / "project"

    monkeypatch.setenv("FOUNDRY_HOME", str(tmp_path / "named"))
    assert find_home(start=deep) == tmp_path / "named"
    assert find_home("~/given", start=deep) == Path.home() / "given"


def test_state_is_for_the_user_alone_and_both_folders_follow_the_environment(own_world: Path) -> None:
    assert stat.S_IMODE(state_folder().stat().st_mode) == 0o700
    assert own_world in state_folder().parents
    assert own_world in cache_folder().parents


def test_every_setting_can_be_told_apart() -> None:
    assert len({one.name for one in SETTINGS}) == len({one.variable for one in SETTINGS}) == len(SETTINGS)
