"""Trust an agent or a home from elsewhere: all that would run or be obeyed is shown first, and nothing of it runs before."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foundry.agent import blueprint, homes, intent, trust
from foundry.agent.definition import AgentDefinition, load_definition
from foundry.agent.folder import AgentFolder, Home
from foundry.agent.secrets import read_env
from foundry.agent.standing import standing_of
from foundry.console import Block, Diff, Facts, Progress, Silent, Table
from foundry.errors import FoundryError, NotReadyError
from foundry.files import BadFileError, read_bytes
from foundry.plugins.cards import PluginProblem, read_own
from foundry.plugins.foundry_core.create_agent import codes_of
from foundry.plugins.foundry_core.sync_agent import renew
from foundry.plugins.installed import files_of, offered_code_hash, read_offer
from foundry.plugins.loader import offers_of
from foundry.settings import SETTINGS, Settings
from foundry.text import counted

_TEXT = 1024 * 1024
_NAMED = 30
# Variables that decide what programs an agent's tools start, or through whom they talk to the network.
_STEERING = ("PATH", "HOME", "SHELL", "ENV", "BASH_ENV", "EDITOR", "VISUAL", "PAGER", "NODE_OPTIONS", "CURL_CA_BUNDLE", "TMPDIR")
_STEERING_STARTS = ("LD_", "DYLD_", "PYTHON", "GIT_", "SSL_", "REQUESTS_", "UV_", "PIP_", "XDG_", "FOUNDRY_")


@dataclass(frozen=True, slots=True)
class PluginSeen:
    """One plugin folder: whether the config loads it, its size, its tools with their effects, what is wrong with it.

    `package` tells one that a package of the environment offers.
    """

    name: str
    loaded: bool
    files: int
    bytes: int
    tools: tuple[str, ...]
    problem: str
    package: str = ""


@dataclass(frozen=True, slots=True)
class AgentSeen:
    """All of an agent that would run or be obeyed, read without running any: what trusting it would trust."""

    agent: str
    folder: str
    why: str
    changed: tuple[str, ...]
    code: tuple[tuple[str, bytes], ...]
    usual: tuple[str, ...]
    plugins: tuple[PluginSeen, ...]
    dependencies: tuple[str, ...]
    variables: tuple[str, ...]
    odd: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        pairs = [
            ("agent", self.agent),
            ("folder", self.folder),
            ("it is", self.why),
            ("changed", ", ".join(self.changed)),
            ("as usual", ", ".join(self.usual) and f"{', '.join(self.usual)}: what Foundry itself writes there"),
            ("packages", ", ".join(self.dependencies) or "only the runtime's"),
            ("its .env sets", ", ".join(self.variables) or "nothing"),
        ]
        rows = [
            (
                one.name,
                f"of {one.package}" if one.package else "loaded" if one.loaded else "not loaded",
                f"{counted(one.files, 'file')}, {one.bytes:,} bytes",
                one.problem or ", ".join(one.tools),
            )
            for one in self.plugins
        ]
        return [
            Facts([(name, value) for name, value in pairs if value]),
            *(Diff(name, None, text) for name, text in self.code),
            Table(("PLUGIN", "", "SIZE", "TOOLS (EFFECTS)"), rows, "It has no plugins of its own.", last="broken"),
            *(f"! {one}" for one in self.odd),
            f"What runs of it runs as you, with your rights. Read its code first: {self.folder}",
        ]


@dataclass(frozen=True, slots=True)
class HomeSeen:
    """What of a home would be obeyed: its settings, and the names in its .env."""

    home: str
    why: str
    settings: bytes | None
    variables: tuple[str, ...]

    def shown(self) -> Sequence[Block]:
        told = [Diff(".foundry/settings.json", None, self.settings)] if self.settings is not None else []
        pairs = [("home", self.home), ("it is", self.why), ("its .env sets", ", ".join(self.variables) or "nothing")]
        return [Facts(pairs), *told]


Seen = AgentSeen | HomeSeen
Confirm = Callable[[Seen], bool]


@dataclass(frozen=True, slots=True)
class Trusted:
    """The agent, or with an empty name the home, that is trusted now or not any more; `before` is what it was."""

    agent: str
    folder: str
    trusted: bool
    before: str
    plugins: tuple[str, ...] = ()

    def shown(self) -> Sequence[Block]:
        what = self.agent or f"The home {self.folder}"
        if not self.trusted:
            return [f"{what} is not trusted any more: nothing of it runs or counts before it is trusted anew."]
        accepted = f" Accepted with the effects they declare: {', '.join(self.plugins)}." if self.plugins else ""
        return [f"{what} is trusted as it is now.{accepted}"]


def trust_agent(
    home: Home, name: str, *, settings: Settings, confirm: Confirm | None = None, progress: Progress | None = None
) -> Trusted:
    """Trust the agent, whose environment is built anew; of one this user made, accept its plugins as they are now.

    `confirm` is asked with all that would be trusted, None is a yes. Raises NotFoundError, NotReadyError when the answer was no,
    and what building an environment raises; nothing is trusted then.
    """
    folder = home.agent(name)
    intent.recover(folder)
    found = trust.check(folder)
    shown = trust.content_of(folder)
    accepted, packages = codes_of(folder), _package_codes(folder)
    known = standing_of(folder)
    if found.holds and all(known.accepts(plugin, code) for plugin, code in {**accepted, **packages}.items()):
        return Trusted(folder.name, str(folder.path), True, found.state)
    if confirm and not confirm(_seen(folder, found)):
        raise NotReadyError(f"{folder.name} was not trusted: the answer was no", "Answer y to trust it.", code="not_trusted")
    if _wants_environment(folder, found):
        renew(folder, settings, progress or Silent())
    # Of packages only those whose code is what was shown: another environment may hold others.
    accepted |= dict(packages.items() & _package_codes(folder).items())
    trust.trust(folder, shown, accepted)
    return Trusted(folder.name, str(folder.path), True, found.state, tuple(accepted))


def trust_home(home: Home, *, confirm: Confirm | None = None) -> Trusted:
    """Trust the home: its settings and .env count from now on, until they change. Raises NotReadyError if the answer was no."""
    found = homes.home_trust(home.path)
    if not found.obeyed:
        if confirm and not confirm(_home_seen(home, found)):
            raise NotReadyError("the home was not trusted: the answer was no", "Answer y to trust it.", code="not_trusted")
        homes.trust_home(home.path)
    return Trusted("", str(home.path), True, found.state)


def distrust(home: Home, name: str) -> Trusted:
    """Trust the agent, or with an empty name the home, no longer, with all that was ever granted or accepted for it."""
    if not name:
        state: str = homes.home_trust(home.path).state
        homes.forget_home(home.path)
        return Trusted("", str(home.path), False, state)
    folder = home.agent(name)
    state = trust.check(folder).state
    trust.forget(folder)
    return Trusted(folder.name, str(folder.path), False, state)


# looking ----------------------------------------------------------------------------------------------------------------


def _wants_environment(folder: AgentFolder, found: trust.Trust) -> bool:
    """Return whether its environment may not be started: it came along, or is not what was trusted."""
    deciding = {trust.ENVIRONMENT, folder.lock.name, folder.config.name}
    return found.state == "unknown" or bool(deciding & set(found.files))


def _seen(folder: AgentFolder, found: trust.Trust) -> AgentSeen:
    try:
        known = load_definition(folder.config)
    except FoundryError:
        known = AgentDefinition(folder.name)
    code, usual = _code(folder, known)
    why = found.why() or "your own; its plugins count as doing everything until you accept what they declare"
    return AgentSeen(
        agent=folder.name,
        folder=str(folder.path),
        why=why,
        changed=found.files,
        code=tuple(code),
        usual=tuple(usual),
        plugins=(*_plugins(folder, known), *_of_packages(folder, known)),
        dependencies=known.dependencies,
        variables=_variables(folder.env_file),
        odd=tuple(_odd(folder, known, found)),
    )


def _code(folder: AgentFolder, known: AgentDefinition) -> tuple[list[tuple[str, bytes]], list[str]]:
    """Return the config, the entry file and all else beside them that Python could run, whole; and what is as Foundry made it."""
    usual: list[str] = []
    code = []
    written = blueprint.render(blueprint.PLAIN, known)
    names = sorted(one.name for one in folder.path.iterdir() if one.name.endswith((".py", ".pth")) or one == folder.config)
    for name in sorted(names, key=lambda one: (one != folder.config.name, one)):
        try:
            text = read_bytes(folder.path / name, _TEXT)
        except BadFileError as error:
            text = f"It cannot be shown: {error.message}".encode()
        if text == written.get(name, "").encode() and not (folder.path / name).is_symlink():
            usual.append(name)
        else:
            code.append((name, text))
    return code, usual


def _plugins(folder: AgentFolder, known: AgentDefinition) -> Iterator[PluginSeen]:
    there = {*known.plugins}
    with suppress(OSError):
        there |= {one.name for one in folder.plugins.iterdir() if not one.name.startswith((".", "__"))}
    for name in sorted(there):
        files = size = 0
        for path, found in _below(folder.plugins / name):
            if "__pycache__" not in path.parts:
                files, size = files + 1, size + found.st_size
        tools: tuple[str, ...] = ()
        problem = ""
        try:
            tools = tuple(f"{one.id} ({', '.join(one.effects) or 'none'})" for one in read_own(folder.plugins / name))
        except PluginProblem as error:
            problem = error.told()
        yield PluginSeen(name, name in known.plugins, files, size, tools, problem)


def _of_packages(folder: AgentFolder, known: AgentDefinition) -> Iterator[PluginSeen]:
    for name, offer in offers_of(folder, known).items():
        tools: tuple[str, ...] = ()
        problem = ""
        sizes: list[int] = []
        try:
            sizes = [path.stat().st_size for path in files_of(offer) if path.is_file()]
            tools = tuple(f"{one.id} ({', '.join(one.effects) or 'none'})" for one in read_offer(offer))
        except PluginProblem as error:
            problem = error.told()
        except (FoundryError, OSError) as error:
            problem = str(error)
        yield PluginSeen(name, True, len(sizes), sum(sizes), tools, problem, offer.package)


def _package_codes(folder: AgentFolder) -> dict[str, str]:
    """Return the hash of the code of each plugin that a package offers and the agent loads; of one that cannot be read, none."""
    codes = {}
    with suppress(FoundryError):
        for name, offer in offers_of(folder, load_definition(folder.config)).items():
            with suppress(FoundryError):
                codes[name] = offered_code_hash(offer)
    return codes


def _variables(env_file: Path) -> tuple[str, ...]:
    """Return what a .env sets: the names, and the values of those that choose a model, a server or a program."""
    try:
        values: Mapping[str, str] = read_env(env_file)
    except BadFileError as error:
        return (error.message,)
    settings = {one.variable for one in SETTINGS}
    return tuple(f"{name}={value}" if name in settings or _steers(name) else name for name, value in values.items() if value)


def _steers(name: str) -> bool:
    return name.upper() in _STEERING or name.upper().startswith(_STEERING_STARTS) or name.upper().endswith("_PROXY")


def _odd(folder: AgentFolder, known: AgentDefinition, found: trust.Trust) -> Iterator[str]:
    if os.path.lexists(folder.venv) and not found.holds:
        yield "An environment (venv/) came with it. It is never started: a new one is built when you trust the agent."
    if known.mcp_servers:
        yield f"It names servers that are started: {', '.join(known.mcp_servers)}"
    if loosening := [one.tool for one in known.approvals if one.decide == "allow"]:
        yield f"Its rules allow without asking: {', '.join(loosening)}"
    if steering := [one for one in _variables(folder.env_file) if "=" in one]:
        yield f"Its .env decides where it talks to or what it starts: {', '.join(steering)}"
    kinds: dict[str, list[str]] = {}
    for path, one in _below(folder.path, (folder.venv, folder.workspace)):
        if kind := _strange(path, one):
            kinds.setdefault(kind, []).append(path.relative_to(folder.path).as_posix())
    for kind, names in kinds.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"{kind}: {', '.join(names[:_NAMED])}{more}"


def _strange(path: Path, found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "Links, which can lead out of the folder"
    if not stat.S_ISREG(found.st_mode):
        return "No files"
    if path.suffix == ".pyc":
        return "Compiled code, which is never used"
    if path.suffix in (".so", ".dylib", ".dll"):
        return "Machine code, which nobody can read here"
    if path.name in ("sitecustomize.py", "usercustomize.py") or path.suffix == ".pth":
        return "Code that Python starts by itself in some places"
    if found.st_uid not in (os.getuid(), 0):
        return "Files of another user, who can change them"
    return ""


def _below(folder: Path, but: Sequence[Path] = ()) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield all under `folder` that is no folder, links as links."""
    waiting = [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                path = Path(entry.path)
                if path in but:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(path)
                else:
                    yield path, entry.stat(follow_symlinks=False)


def _home_seen(home: Home, found: homes.HomeTrust) -> HomeSeen:
    file = home.path / homes.OBEYED[0]
    text = None
    if os.path.lexists(file):
        try:
            text = read_bytes(file, _TEXT)
        except BadFileError as error:
            text = error.message.encode()
    why = f"not trusted any more: {', '.join(found.files)} changed since" if found.state == "changed" else "not one you made here"
    return HomeSeen(str(home.path), why, text, _variables(home.env_file))
