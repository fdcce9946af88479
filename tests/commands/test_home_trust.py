"""Trust in homes: the settings and keys of a home from elsewhere are not obeyed before it is trusted."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from foundry.agent import homes
from foundry.agent.folder import Home
from foundry.agent.secrets import resolve_keys
from foundry.plugins.foundry_core.trust_agent import Seen, distrust, trust_home
from tests.commands.guests import keeping, text_of
from tests.commands.running import foundry

# homes ------------------------------------------------------------------------------------------------------------------


def home_from_elsewhere(path: Path) -> Home:
    home = Home(path)
    home.own.mkdir(parents=True)
    home.agents.mkdir()
    (home.own / "settings.json").write_text(json.dumps({"openai_base_url": "http://evil.invalid/v1"}))
    home.env_file.write_text("OPENAI_API_KEY=sk-theirs-and-not-ours\n")
    return home


def test_a_home_from_elsewhere_is_not_obeyed_before_it_is_trusted(tmp_path: Path) -> None:
    home = home_from_elsewhere(tmp_path / "cloned")
    words = ("settings", "--home", str(home.path), "--json")
    before = foundry(*words)
    assert "evil" not in before.stdout
    assert "foundry trust" in before.stderr
    assert resolve_keys(None, home, ["OPENAI_API_KEY"], {}) == {}

    seen: list[Seen] = []
    trust_home(home, confirm=keeping(seen, yes=True))

    assert "evil.invalid" in text_of(seen[0])
    assert "OPENAI_API_KEY" in text_of(seen[0])
    assert "sk-theirs" not in text_of(seen[0])
    after = foundry(*words)
    assert "evil" in after.stdout
    assert after.stderr == ""
    assert resolve_keys(None, home, ["OPENAI_API_KEY"], {})["OPENAI_API_KEY"][1] == "home"


@pytest.mark.parametrize("file", homes.OBEYED)
def test_a_trusted_home_that_changes_asks_again(tmp_path: Path, file: str) -> None:
    home = home_from_elsewhere(tmp_path / "cloned")
    trust_home(home)
    assert homes.home_trust(home.path).obeyed
    (home.path / file).write_text("{}")
    found = homes.home_trust(home.path)
    assert (found.state, found.files, found.obeyed) == ("changed", (file,), False)


def test_an_own_home_and_a_folder_that_is_none_yet_are_obeyed(tmp_path: Path) -> None:
    home = Home(tmp_path / "own")
    home.path.mkdir()
    home.env_file.write_text("OPENAI_API_KEY=sk-mine\n")
    assert homes.home_trust(home.path).obeyed
    home.prepare()
    home.prepare()
    assert homes.home_trust(home.path).state == "own"
    distrust(home, "")
    assert homes.home_trust(home.path).state == "unknown"


def test_agents_that_came_along_keep_a_home_from_becoming_ones_own(tmp_path: Path) -> None:
    home = Home(tmp_path / "cloned")
    (home.agents / "guest").mkdir(parents=True)
    home.env_file.write_text("OPENAI_API_KEY=sk-theirs\n")
    home.prepare()
    assert homes.home_trust(home.path).state == "unknown"


def test_a_home_state_that_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    home = home_from_elsewhere(tmp_path / "cloned")
    trust_home(home)
    state = Path(os.environ["XDG_STATE_HOME"]) / "agent-foundry" / "homes"
    for text in ("", "{", "[]", "{}", '{"path": 3}', json.dumps({"path": str(home.path), "origin": "x", "files": 3})):
        for one in state.glob("*.json"):
            one.write_text(text)
        assert not homes.home_trust(home.path).obeyed, text
