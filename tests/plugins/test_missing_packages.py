"""Without an optional library the tool says which extra brings it, and nothing else suffers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from foundry.agent.definition import parse_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.plugins import loader
from foundry.plugins.built_ins import BUILT_INS
from foundry.plugins.foundry_core.list_tools import list_tools
from tests.commands.running import foundry, script


def test_each_built_in_with_an_extra_says_which_and_names_what_it_brings(home: Path) -> None:
    table = list_tools(Home(home)).shown()[0]

    for row in table.rows:  # type: ignore[union-attr]
        extra = BUILT_INS[row[0].partition(".")[0]].extra
        assert (f"(extra: {extra})" in row[2]) == bool(extra), row
    without = {name for name, one in BUILT_INS.items() if one.extra and not one.packages}
    assert without == {"database"}, "it does SQLite without any, and says which extra brings the rest"


def test_tools_that_lack_the_same_package_are_told_once(tmp_path: Path) -> None:
    folder = AgentFolder(tmp_path / "scout")
    (folder.venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True)

    git = loader.list_tools(folder, parse_definition({"name": "scout", "tools": ["git"]})).problems
    pdf = loader.list_tools(folder, parse_definition({"name": "scout", "tools": ["pdf"]})).problems

    mend = "Mend with: foundry sync scout"
    assert git == (f'The tools of "git" are left out: each needs the package git, which the extra "git" brings. {mend}',)
    assert pdf == (
        f'The tool "pdf.write" is left out: it needs the package reportlab, which the extra "pdf" brings. {mend}',
        f'The tool "pdf.read" is left out: it needs the package pypdf, which the extra "pdf" brings. {mend}',
    )


@pytest.mark.slow
def test_a_package_taken_out_of_a_real_environment_is_told_and_the_other_tools_work(home: Path, tmp_path: Path) -> None:
    made = foundry("create", "scout", "--tools", "web_page,clock,read_write_code", "--no-input", "--json")
    assert made.returncode == 0, made.stderr
    folder = Home(home).agent("scout")
    why = 'needs the package trafilatura, which the extra "web" brings. Mend with: foundry sync scout'
    run = ("run", "scout", "-p", "go", "--output", "json", "--model")
    (gone,) = folder.venv.glob("lib/python*/site-packages/trafilatura")
    shutil.rmtree(gone)

    listed = foundry("tools", "scout")
    assert "missing" in listed.stdout
    assert why in " ".join(listed.stdout.split())
    findings = json.loads(foundry("doctor", "scout", "--json").stdout)["data"]["findings"]
    assert [one["mend"] for one in findings if "trafilatura" in one["what"]] == ["foundry sync scout"]
    ran = foundry(*run, script(tmp_path / "s.json", {"calls": [{"name": "clock.now", "arguments": {}}]}, {"text": "{result}"}))
    data = json.loads(ran.stdout)["data"]
    assert "UTC" in data["answer"]
    assert why in ran.stderr + ran.stdout

    assert foundry("sync", "scout").returncode == 0
    assert "missing" not in foundry("tools", "scout").stdout
    assert why not in foundry(*run, script(tmp_path / "t.json", {"text": "hi"})).stderr
