"""Every way for an agent to change its rules, secrets, code, history or trust: refused, or asked and a no; in each mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry.sandbox import jail
from tests.gate.forty import AFTERWARDS, Tried, Way, World, alone, asked
from tests.gate.ways_of_commands import BY_COMMAND, BY_COMMAND_AROUND
from tests.gate.ways_of_editing import BY_EDITING
from tests.gate.ways_of_files import BY_FILE_TOOL, BY_FILE_TOOL_AROUND

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(jail.probe().level != "strong", reason="what a weaker jail lets through is named in README"),
]
ALLOWED = [{"decide": "allow"}, {"decide": "allow", "paths": ["**", "/**"]}]
INSIDE = [*BY_FILE_TOOL, *BY_COMMAND, *BY_EDITING]
AROUND = [*BY_FILE_TOOL_AROUND, *BY_COMMAND_AROUND]
# Everything that a person or a configuration can allow is allowed; run mode also as it comes.
# One process plays a world, so that it is played once: see tests/conftest.py.
WORLDS = [("run", False), pytest.param("edit", True, marks=pytest.mark.prove), ("auto", True)]
AROUND_WORLDS = [("run", False), ("auto", True)]  # for what is not its code edit mode's row of the table is run mode's
_played: dict[tuple[str, bool, str], dict[str, Tried]] = {}


def played(root: Path, mode: str, allowed: bool, place: str) -> dict[str, Tried]:
    """Return what came of each way; those of one world are tried in one run."""
    key = mode, allowed, place
    if key not in _played:
        world = World(root, approvals=ALLOWED if allowed else [])
        ways, folder = (INSIDE, None) if place == "inside" else (AROUND, root)
        _played[key] = alone(world, ways, mode, folder)
    return _played[key]


@pytest.mark.parametrize(("mode", "allowed"), WORLDS)
@pytest.mark.parametrize("name", [way.name for way in INSIDE] + [AFTERWARDS])
def test_a_way_from_the_workspace(tmp_path: Path, name: str, mode: str, allowed: bool) -> None:
    assert played(tmp_path, mode, allowed, "inside")[name].changed == []


@pytest.mark.parametrize(("mode", "allowed"), AROUND_WORLDS)
@pytest.mark.parametrize("name", [way.name for way in AROUND] + [AFTERWARDS])
def test_a_way_from_a_folder_around_everything(tmp_path: Path, name: str, mode: str, allowed: bool) -> None:
    assert played(tmp_path, mode, allowed, "around")[name].changed == []


@pytest.mark.parametrize(
    ("place", "mode", "ways"),
    [("inside", "run", BY_COMMAND[::2]), ("around", "run", AROUND[::2]), ("inside", "edit", BY_EDITING)],
    ids=["commands", "around", "editing"],
)
def test_a_person_is_asked_and_a_no_changes_nothing(tmp_path: Path, place: str, mode: str, ways: list[Way]) -> None:
    chosen = [way for way in ways if way.asks]
    shown = asked(World(tmp_path), chosen, mode, tmp_path if place == "around" else None)
    assert shown.count("Allow it?") + shown.count("Accept it?") >= len(chosen)
    for way in chosen:
        assert way.asks in shown, way.name
