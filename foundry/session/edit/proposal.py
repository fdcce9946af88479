"""What edit mode proposes: the files as they would be and all that was found out about them, and what the person says to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from foundry.console import Block, Diff, Facts, spelled

Kind = Literal["accept", "reject", "edit"]
Outcome = Literal["passed", "failed", "none", "not run"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person says: `accept` of the files in `paths`, `reject` with a `comment` to the model, or `edit`.

    `edit` with one path and its whole new `text` is taken into the shadow; the proposal is then checked and shown anew, which is
    all that `edit` without a path means.
    """

    kind: Kind
    paths: tuple[str, ...] = ()
    comment: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class ToolChange:
    """One tool that comes, goes or becomes another; `effects` are what its plugin declares, `schema` what the model would see.

    A tool that could not be imported, because no jail was there to do it in, has no schema but its parameters as written.
    """

    id: str
    change: Literal["new", "changed", "gone"]
    description: str = ""
    effects: tuple[str, ...] = ()
    schema: Mapping[str, Any] = field(default_factory=dict)
    written: str = ""


@dataclass(frozen=True, slots=True)
class Package:
    """A package whose version changes; an empty version is none."""

    name: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True, slots=True)
class PluginTests:
    """What became of one plugin's own tests; `said` is how they ended, with the failures."""

    plugin: str
    outcome: Outcome
    said: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Proposal:
    """All that would change, and what was found out about it.

    `problems` would keep the agent from working with it. `executed` is false where no jail was there to try it in; `level` is
    then "none". `plugins` are the own plugins whose code changes, `beside` the files of them that do not, `unseen` those of the
    latter that nobody accepted yet, `loaded` the plugins whose code stays and that were not loaded before, `env` the variables
    newly asked for and what for, `imports` what the new code imports that the old did not, `venv` the environment that was made
    for it, if it needs another.
    """

    summary: str
    files: tuple[Diff, ...]
    tools: tuple[ToolChange, ...] = ()
    plugins: tuple[str, ...] = ()
    beside: Mapping[str, bytes] = field(default_factory=dict)
    unseen: tuple[Diff, ...] = ()
    loaded: tuple[str, ...] = ()
    packages: tuple[Package, ...] = ()
    imports: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    tests: tuple[PluginTests, ...] = ()
    problems: tuple[str, ...] = ()
    executed: bool = True
    level: str = ""
    venv: Path | None = None

    def put(self) -> dict[str, tuple[bytes, int] | None]:
        """Return every changed file as it would be, with its mode; None for one that goes."""
        return {one.name: None if one.after is None else (one.after, _mode(one)) for one in self.files}

    @property
    def failed(self) -> tuple[PluginTests, ...]:
        """The tests that failed."""
        return tuple(one for one in self.tests if one.outcome == "failed")


def blocks(proposal: Proposal) -> list[Block]:
    """Return the one screen: what it is for, what is wrong, tools, variables, packages, tests, and every file's diff."""
    said: list[Block] = [spelled(proposal.summary)] if proposal.summary else []
    if proposal.problems:
        said.append(Facts([("problem", spelled(one)) for one in proposal.problems]))
    if tools := [pair for tool in proposal.tools for pair in _tool(tool)]:
        said.append(Facts(tools))
    if facts := list(_facts(proposal)):
        said.append(Facts(facts))
    return [*said, *proposal.files, *unseen(proposal.unseen)]


def unseen(files: Sequence[Diff]) -> list[Block]:
    """Return how files are shown that come with what is accepted, though they do not change."""
    told = "These files stay as they are, and nobody accepted them yet; accepting their plugin accepts them too:"
    return [told, *files] if files else []


def _tool(tool: ToolChange) -> Iterator[tuple[str, str]]:
    does = ", ".join(tool.effects) or "nothing to the world"
    yield f"{tool.change} tool", spelled(tool.id) + ("" if tool.change == "gone" else f" · {does}")
    if tool.change == "gone":
        return
    if tool.description:
        yield "", spelled(tool.description)
    if taken := spelled(tool.written or "\n".join(_parameters(tool.schema))):
        yield "takes", taken


def _parameters(schema: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each parameter of a JSON schema: name, type, whether it may be left out, what it is."""
    for name, one in schema.get("properties", {}).items():
        optional = "" if name in schema.get("required", ()) else f" = {one['default']!r}" if "default" in one else ", optional"
        described = f" · {one['description']}" if one.get("description") else ""
        yield f"{name}: {_type(one)}{optional}{described}"


def _type(one: Mapping[str, Any]) -> str:
    if "enum" in one:
        return " or ".join(map(repr, one["enum"]))
    if "anyOf" in one:
        return " or ".join(_type(each) for each in one["anyOf"])
    if one.get("type") == "array" and isinstance(one.get("items"), Mapping):
        return f"list of {_type(one['items'])}"
    return str(one.get("type", "anything"))


def _facts(proposal: Proposal) -> Iterator[tuple[str, str]]:
    for name, why in proposal.env.items():
        yield "variable", f"{spelled(name)}: {spelled(why) or 'no reason given'}"
    for package in proposal.packages:
        yield "package", spelled(f"{package.name} {_versions(package)}")
    if proposal.imports:
        yield "new imports", spelled(", ".join(proposal.imports))
    for plugin in proposal.loaded:
        yield "loaded from now on", f"plugins/{spelled(plugin)}, which was there already; its code stays as it is"
    if proposal.executed and proposal.level:
        yield "tried", f"in a jail, level {proposal.level}"
    if not proposal.executed:
        yield "not executed", "No jail holds on this system: it was parsed only. Import and tests follow when you accept."
    for test in proposal.tests:
        yield f"tests of {test.plugin}", _told(test)


def _versions(package: Package) -> str:
    if not package.before or not package.after:
        return f"{package.after}, new" if package.after else f"{package.before}, gone"
    return f"{package.before} → {package.after}"


def _told(test: PluginTests) -> str:
    words = {"passed": "passed", "failed": "FAILED", "none": "there are none", "not run": "not run"}[test.outcome]
    return words + (
        f"\n{spelled(test.said)}" if test.outcome == "failed" and test.said else f": {spelled(test.said)}" if test.said else ""
    )


def _mode(file: Diff) -> int:
    return (file.modes[1] or 0o644) & 0o777
