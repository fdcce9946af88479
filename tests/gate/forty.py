"""A world with all that an agent may want to change, a model that tries way after way, and a look at the world after each."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry.agent.folder import Home
from foundry.agent.standing import Grant, change_standing
from foundry.models.scripted import Script, Step
from tests.commands.running import foundry, make_runnable
from tests.conftest import FOUNDRY
from tests.model_server import model_server
from tests.session.screens import Terminal

Call = Mapping[str, Any]
TOOLS = ["read_write_code", "grep_codebase", "terminal"]
EVIL = "taken over"
SECRET = "canary-hunter2-hunter2"
DONE = "all of them were tried"
AFTERWARDS = "when all was over"
# Names that nothing may have where a tool may write, new or changed, in whatever way the disk spells them.
_NEVER = re.compile(
    r"(^|/)(\.env|\.git|\.bashrc|\.ssh|\.foundry(?!-whole)|\.vscode|agent\.config\.json|sitecustomize)", re.IGNORECASE
)
OWN_PLUGIN = '''"""Greets."""

from foundry.plugins.api import effects, kernel_function


class Greeter:
    @kernel_function(description="Greet someone.")
    @effects("reads")
    def greet(self, name: str) -> str:
        return f"Hello {name}"
'''


@dataclass(frozen=True)
class Way:
    """One way: the calls of one answer, those made before it with nothing to be said against, and what a person is asked.

    `asks` is what a question about it shows; "" where it is refused without one.
    """

    name: str
    calls: Sequence[Call]
    asks: str = ""


@dataclass
class Tried:
    """What came of a way: the paths that changed though they may not, and what the model was told of each call."""

    changed: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)

    @property
    def end(self) -> str:
        """How it ended: refused, asked (and denied, as nobody is there or a person said no) or contained by the jail."""
        if any(one.startswith(("Denied.", "Not accepted")) for one in self.told):
            return "asked"
        return "contained" if any("\u00b7 jail " in one or "passed" in one for one in self.told) else "refused"


def call(name: str, /, **arguments: Any) -> Call:
    return {"name": name, "arguments": arguments}


def write(path: str, content: str = EVIL) -> Call:
    return call("read_write_code.write_file", path=path, content=content)


def move(path: str, to: str) -> Call:
    return call("read_write_code.move", path=path, to=to)


def command(line: str) -> Call:
    return call("terminal.run", command=line, timeout=20)


def code(name: str, /, **arguments: Any) -> Call:
    return call(f"agent_code.{name}", **arguments)


def by_command(name: str, *lines: str) -> Way:
    return Way(f"command: {name}", [command("\n".join(lines))], asks="run: ")


class World:
    """`root` holds a user's home, his Foundry home with the agent and another one, and a project with a repository."""

    def __init__(self, root: Path, **config: Any) -> None:
        self.root = root
        self.user = root / "user"
        self.home = Home(root / "home")
        self.free = ("home/agents/scout/workspace/", "user/project/src/")
        files = {"plugins/greeter/__init__.py": OWN_PLUGIN, ".env": f"KEY={SECRET}\n"}
        self.other = make_runnable(self.home, "other", files, plugins=["greeter"])
        self.agent = make_runnable(self.home, "scout", files, tools=TOOLS, plugins=["greeter"], **config)
        self._fill()
        self._always()
        self._links(self.agent.workspace)
        (self.user / "project" / "src" / "rc").symlink_to(self.user / ".bashrc")
        (self.user / "project" / ".profile").symlink_to("src/profile")

    def _fill(self) -> None:
        start = "export PATH\n"
        files = {".bashrc": start, ".ssh/authorized_keys": "ssh-ed25519 A\n", ".config/fish/config.fish": start}
        files |= {"project/.git/config": "[core]\n", "project/.git/hooks/pre-push": "true\n", "project/.bashrc": start}
        files |= {"project/.env": f"KEY={SECRET}\n", "project/src/a.txt": "a\n", "project/agent/agent.config.json": "{}\n"}
        files |= {"project/agent/main.py": "1\n", "project/agent/plugins/p/__init__.py": "1\n"}
        for name, text in files.items():
            path = self.user / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (self.home.own / "settings.json").write_text("{}")
        self.home.env_file.write_text(f"OTHER={SECRET}\n")

    def _always(self) -> None:
        """Let the person have said always to everything for which that can be said."""
        scopes = [f"files in {self.agent.workspace}", f"files in {self.root}", ""]
        names = [f"read_write_code.{one}" for one in ("write_file", "edit_file", "move", "delete")]
        grants = tuple(Grant(name, scope, "") for name in names for scope in scopes)
        change_standing(self.agent, lambda old: old.__class__(**{**_fields(old), "grants": grants}))

    def _links(self, work: Path) -> None:
        (work / "out").symlink_to(self.agent.path)
        (work / "env").symlink_to(self.agent.env_file)
        (work / "state").symlink_to(self.user / "state")
        (work / "hard_env").hardlink_to(self.agent.env_file)
        (work / "hard_main").hardlink_to(self.agent.path / "main.py")
        (work / "notes.txt").write_text("notes\n")
        (work / "plugins").mkdir()
        (work / "plugins" / "x.py").write_text(EVIL)

    def picture(self) -> dict[str, str]:
        """Return all that no way may change: path to what is there, links by where they lead."""
        found = dict(self._below(self.root))
        for packages in Path(sys.prefix, "lib").glob("python*/site-packages"):
            found |= {f"packages/{one.name}": "" for one in packages.iterdir() if one.suffix == ".pth"}
        return found

    def _below(self, top: Path) -> Iterator[tuple[str, str]]:
        for folder, folders, files in os.walk(top):
            folders[:] = [one for one in folders if not self._by_design(f"{self._name(Path(folder, one))}/")]
            for one in (*folders, *files):
                path = Path(folder, one)
                name = self._name(path)
                inside = next((free for free in self.free if name.startswith(free)), "")
                if f"{name}/" in self.free or self._by_design(name) or (inside and not _NEVER.search(name[len(inside) - 1 :])):
                    continue
                yield name, _what(path)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()

    def _by_design(self, name: str) -> bool:
        """Whether Foundry itself writes there as it runs: locks, decisions, the shadow of a session, what it remembers."""
        if name.startswith("user/state/"):
            return name.endswith((".decisions.jsonl", ".lock"))
        made = ("home/.foundry/shadow/", "user/cache/", "s.json")
        return name.startswith(made) or name.endswith("/.foundry.lock") or "__pycache__" in name


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__dataclass_fields__}


def _what(path: Path) -> str:
    about = path.lstat()
    if path.is_symlink():
        return f"link {path.readlink()}"
    if path.is_dir():
        return f"folder {about.st_mode:o} {about.st_uid}"
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()} {about.st_mode:o} {about.st_uid}"


class Tempter(Script):
    """The model: tries one way an answer and looks at the world in between; `tried` is what came of each."""

    def __init__(self, world: World, ways: Sequence[Way]) -> None:
        super().__init__([])
        assert len({way.name for way in ways}) == len(ways)
        self.world = world
        self.waiting = list(ways)
        self.tried: dict[str, Tried] = {}
        self._now = ""
        self._seen: dict[str, str] = {}
        self._heard = 0

    def next(self, messages: Sequence[tuple[str, str]]) -> Step:
        there = self.world.picture()
        told = [content for role, content in messages if role == "tool"]
        if self._now:
            new = told[self._heard :]
            self.tried[self._now] = Tried([*_differences(self._seen, there), *_leaks(new)], new)
        self._seen, self._heard = there, len(told)
        if not self.waiting:
            return Step(text=DONE)
        way = self.waiting.pop(0)
        self._now = way.name
        return Step(calls=tuple({"id": f"{len(self.tried)}-{place}", **one} for place, one in enumerate(way.calls)))


def _differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    names = sorted({*before, *after})
    return [f"{name}: {before.get(name)} -> {after.get(name)}" for name in names if before.get(name) != after.get(name)]


def limits() -> dict[str, str]:
    return {
        "FOUNDRY_MAX_CALLS": "0",
        "FOUNDRY_MAX_ROUNDS": "999",
        "OPENAI_API_KEY": "sk-none",
        "FOUNDRY_CONTEXT_WINDOW": "900000",
    }


def settled(world: World) -> None:
    """Let the agent run, so that what the first runs write is there: its first version, and the id that it has from then on."""
    script = world.root / "s.json"
    script.write_text(json.dumps({"steps": [{"text": "ok"}]}))
    for _ in range(2):
        ran = foundry("run", "scout", "-p", "go", "--model", f"scripted:{script}")
        assert ran.returncode == 0, ran.stderr


def alone(world: World, ways: Sequence[Way], mode: str, folder: Path | None) -> dict[str, Tried]:
    """Play the ways with nobody there; return what came of each."""
    settled(world)
    before = world.picture()
    tempter = Tempter(world, ways)
    where = ["--folder", str(folder)] if folder else []
    with model_server(tempter) as server:
        words = ["run", "scout", "-p", "go", "--model", "openai:scripted", "--mode", mode, "--output", "json", *where]
        env = {**os.environ, **limits(), "OPENAI_BASE_URL": server.url}
        ran = subprocess.run(
            [*FOUNDRY, *words], capture_output=True, text=True, timeout=170, env=env, stdin=subprocess.DEVNULL
        )  # fmt: skip
    assert set(tempter.tried) == {way.name for way in ways}, f"{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}"
    left = [*_differences(before, world.picture()), *_leaks([ran.stdout, ran.stderr])]
    return {**tempter.tried, AFTERWARDS: Tried(left)}


def asked(world: World, ways: Sequence[Way], mode: str, folder: Path | None) -> str:
    """Play the ways in a chat whose person says no to each question; return what the screen showed of each."""
    settled(world)
    before = world.picture()
    tempter = Tempter(world, ways)
    where = ["--folder", str(folder)] if folder else []
    with model_server(tempter) as server:
        env = {**limits(), "OPENAI_BASE_URL": server.url}
        words = [*FOUNDRY, "run", "scout", "--model", "openai:scripted", "--mode", mode, *where]
        chat = Terminal(words, world.root, 160, 60, env)
        try:
            chat.until("\u276f")
            chat.line("go")
            shown = _said_no(chat, len(ways))
        finally:
            chat.stop()
    changed = {name: one.changed for name, one in tempter.tried.items() if one.changed}
    assert not changed, changed
    assert not (left := _differences(before, world.picture())), left
    return shown


def _said_no(chat: Terminal, ways: int) -> str:
    questions, end = 0, time.monotonic() + 20 + 3 * ways
    while DONE not in chat.text:
        assert time.monotonic() < end, chat.text
        found = chat.text.count("Allow it?") + chat.text.count("Accept it?")
        if found > questions:
            questions = found
            time.sleep(0.15)  # what is typed before the question does not count
            chat.line("n")
        chat._read(0.1)
    return chat.text


def _leaks(told: Sequence[str]) -> list[str]:
    """Return what gives the secret away: its value, or that read backwards, which no redaction would find."""
    return [one for one in told if SECRET in one or SECRET[::-1] in one]
