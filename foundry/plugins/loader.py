"""Which tools an agent has, built-in, of packages and its own: listed from source alone, or loaded ready to call."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from foundry.agent.definition import AgentDefinition
from foundry.agent.folder import AgentFolder, Home
from foundry.files import nearest
from foundry.plugins.api import ToolContext
from foundry.plugins.built_ins import BUILT_INS, needs
from foundry.plugins.cards import PluginProblem, ToolCard, plugin_code_hash, read_built_in, read_manifest, read_own
from foundry.plugins.installed import Offer, PackageProblem, offered_code_hash, offers_in, read_offer, the_one
from foundry.settings import cache_folder, state_folder

if TYPE_CHECKING:
    from foundry.plugins.strict import BoundTool

Named = TypeVar("Named", "ToolCard", "BoundTool")
There = Callable[[str], bool]
RESERVED = frozenset(("agent_code",))  # the tools of edit mode


@dataclass(frozen=True, slots=True)
class Listing:
    """What an agent's tools look like from outside: cards in the model's order, problems, plugin folders nobody named."""

    cards: tuple[ToolCard, ...]
    problems: tuple[str, ...] = ()
    not_loaded: tuple[str, ...] = ()


@dataclass(slots=True)
class _Choice:
    """What `tools` and `plugins` of a config ask for; an empty set of ids is all that the plugin has.

    `named` are built-ins and plugins of packages, `offers` what packages offer under any name.
    """

    named: dict[str, set[str]] = field(default_factory=dict)
    own: dict[str, set[str]] = field(default_factory=dict)
    offers: dict[str, tuple[Offer, ...]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def built_in_cards() -> list[ToolCard]:
    """Return the cards of every built-in tool, read from source."""
    return [card for name in BUILT_INS for card in _built_in(name)]


def list_tools(folder: AgentFolder, definition: AgentDefinition, venv: Path | None = None) -> Listing:
    """Return what the agent's config offers and what stands in its way; nothing of a plugin is run.

    `venv` is the environment whose packages may offer plugins, where it is not the folder's own.
    """
    choice = _chosen(definition, venv or folder.venv)
    there = _packages_of(folder)
    cards: list[ToolCard] = []
    for name, ids in choice.named.items():
        if name in BUILT_INS:
            judged = [_judged(card, there, folder.name) for card in _only(_built_in(name), ids, choice.problems)]
            choice.problems += _missing(name, judged)
            cards += judged
            continue
        try:
            cards += _only(read_offer(_offer(choice, name)), ids, choice.problems)
        except PluginProblem as problem:
            choice.problems.append(_package_left_out(name, problem))
            cards.append(ToolCard(name, "", (), (), name, "package", problem.told()))
    for name, ids in choice.own.items():
        try:
            cards += _only(read_own(_own_folder(folder, name, choice)), ids, choice.problems)
        except PluginProblem as problem:
            choice.problems.append(_left_out(folder, name, problem))
            cards.append(ToolCard(name, "", (), (), name, "own", problem.told()))
    return Listing(tuple(cards), tuple(choice.problems), tuple(_unnamed(folder, definition)))


def load_tools(folder: AgentFolder, definition: AgentDefinition, context: ToolContext) -> tuple[list[BoundTool], list[str]]:
    """Return the agent's tools ready to call, in the order of its config, and a notice for each thing left out.

    An own plugin, or a package's, is imported here only after a child process has imported it without harm.
    """
    choice = _chosen(definition, folder.venv)
    tools: list[BoundTool] = []
    for name, ids in choice.named.items():
        if name in BUILT_INS:
            tools += _loaded_built_in(folder, name, ids, context, choice.problems)
            continue
        try:
            tools += _only(_load_package(folder, _offer(choice, name), context), ids, choice.problems)
        except PluginProblem as problem:
            choice.problems.append(_package_left_out(name, problem))
    for name, ids in choice.own.items():
        try:
            tools += _only(_load_own(folder, name, context, choice), ids, choice.problems)
        except PluginProblem as problem:
            choice.problems.append(_left_out(folder, name, problem))
    return tools, choice.problems


def offers_of(folder: AgentFolder, definition: AgentDefinition) -> dict[str, Offer]:
    """Return the packages' plugins that the agent's config names and that can be used, by name; nothing of them is run."""
    choice = _chosen(definition, folder.venv)
    found = {}
    for name in choice.named:
        if name not in BUILT_INS:
            with suppress(PluginProblem):
                found[name] = _offer(choice, name)
    return found


def closed_to_tools(folder: AgentFolder) -> tuple[Path, ...]:
    """Return the folders that no tool of this agent may touch: agents, the home's own, and what this user's Foundry knows."""
    home = Home(folder.path.parent.parent)
    return (folder.path, home.agents, home.own, state_folder(), cache_folder())


def _chosen(definition: AgentDefinition, venv: Path) -> _Choice:
    choice = _Choice()
    names = {entry.partition(".")[0] for entry in definition.tools}
    if definition.dependencies or not names <= {*BUILT_INS, *definition.plugins}:
        choice.offers = offers_in(venv)
    whole: set[str] = set()
    for entry in definition.tools:
        name, _, function = entry.partition(".")
        if name in BUILT_INS or (name in choice.offers and name not in definition.plugins):
            chosen = choice.named.setdefault(name, set())
        elif name in definition.plugins:
            chosen = choice.own.setdefault(name, set())
        else:
            choice.problems.append(_unknown(entry, [*definition.plugins, *choice.offers]))
            continue
        if function:
            chosen.add(entry)
        else:
            whole.add(name)
    for name in whole:
        (choice.own if name in choice.own else choice.named)[name].clear()
    choice.own = {name: choice.own.get(name, set()) for name in definition.plugins}
    for name in choice.named:
        if name in BUILT_INS and name in choice.offers:
            said = f'{_packages(choice.offers[name])} offers "{name}" too, which is the name of a built-in: the built-in is used.'
            choice.problems.append(said)
    return choice


def _offer(choice: _Choice, name: str) -> Offer:
    if name in RESERVED:
        raise PackageProblem(f'{_packages(choice.offers[name])} offers it, but "{name}" is the name of a built-in')
    return the_one(choice.offers[name])


def _packages(offers: Sequence[Offer]) -> str:
    return " and ".join(one.package for one in offers)


def _unknown(entry: str, others: Sequence[str]) -> str:
    known = [*BUILT_INS, *others]
    if "." in entry:
        known = [*(card.id for card in built_in_cards()), *others]
    close = nearest(entry, known)
    meant = f'did you mean "{close}"?' if close else f'there are {", ".join(BUILT_INS)}; an own plugin also stands in "plugins".'
    return f'"tools" names "{entry}", which is not there: {meant}'


def _only(tools: Sequence[Named], ids: set[str], problems: list[str]) -> list[Named]:
    """Return the tools whose ids were asked for, all if none were; ids that no tool has become problems."""
    known = [_id(one) for one in tools]
    for missing in sorted(ids.difference(known)):
        close = nearest(missing, known)
        problems.append(f'"tools" names "{missing}", which is not there: ' + (f'did you mean "{close}"?' if close else ""))
    return [one for one in tools if not ids or _id(one) in ids]


def _id(tool: ToolCard | BoundTool) -> str:
    return tool.id if isinstance(tool, ToolCard) else tool.spec.id


def _built_in(name: str) -> list[ToolCard]:
    one = BUILT_INS[name]
    return [replace(card, extra=one.extra) for card in read_built_in(one.file, name)]


def _judged(card: ToolCard, there: There, agent: str) -> ToolCard:
    """Return a built-in's card, with its problem where a package is missing that the tool cannot do without."""
    missing = BUILT_INS[card.plugin].missing(card.id.partition(".")[2], there)
    return replace(card, problem=f"{needs(card.plugin, missing)}. Mend with: foundry sync {agent}") if missing else card


def _missing(name: str, judged: list[ToolCard]) -> list[str]:
    """Return what is said of a built-in's tools that lack a package: once for all where it is the same."""
    problems = {card.problem for card in judged}
    if len(judged) > 1 and len(problems) == 1 and "" not in problems:
        return [f'The tools of "{name}" are left out: each {problems.pop()}']
    return [f'The tool "{card.id}" is left out: it {card.problem}' for card in judged if card.problem]


def _packages_of(folder: AgentFolder) -> There:
    """Return what tells, by looking at the disk only, whether the agent's environment has a module; without one, yes."""
    places = list(folder.venv.glob("lib/python*/site-packages"))

    def there(module: str) -> bool:
        parts = module.split(".")
        return not places or any(_is_module(place.joinpath(*parts)) for place in places)

    return there


def _is_module(path: Path) -> bool:
    return path.is_dir() or path.with_suffix(".py").is_file() or any(path.parent.glob(f"{path.name}.*.so"))


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _loaded_built_in(folder: AgentFolder, name: str, ids: set[str], context: ToolContext, problems: list[str]) -> list[BoundTool]:
    """Return a built-in's tools, those left out whose packages are missing, which becomes a problem."""
    cards = _only(_built_in(name), ids, problems)
    judged = [_judged(card, _importable, folder.name) for card in cards]
    wanted = {card.id: card.problem for card in judged}
    problems += _missing(name, judged)
    if all(wanted.values()):
        return []
    try:
        return [tool for tool in _load_built_in(name, context) if wanted.get(tool.spec.id, "no") == ""]
    except (PluginProblem, ImportError) as error:
        problems.append(f'The tools of "{name}" are left out: {error}. Mend with: foundry sync {folder.name}')
        return []


def _load_built_in(name: str, context: ToolContext) -> list[BoundTool]:
    from foundry.plugins.strict import bind, constructor_takes_context

    cls = getattr(importlib.import_module(BUILT_INS[name].module), BUILT_INS[name].cls)
    return bind(cls(context) if constructor_takes_context(cls) else cls(), name, "built-in", context)


def _load_package(folder: AgentFolder, offer: Offer, context: ToolContext) -> list[BoundTool]:
    """Return the tools of a package's plugin: read, then tried in a child, then imported here. Raises PluginProblem."""
    from foundry.agent.standing import standing_of
    from foundry.plugins.check import check_installed
    from foundry.plugins.installed import import_offered, problem_in
    from foundry.plugins.modules import quietly
    from foundry.plugins.strict import bind, constructor_takes_context

    shown = {card.id for card in read_offer(offer)}
    code = offered_code_hash(offer)
    verdict = check_installed(Path(sys.executable), folder, offer, code)
    if not verdict.ok:
        raise PackageProblem(verdict.message, verdict.file, verdict.line)
    cls = import_offered(offer)
    try:
        with quietly():
            subject = cls(context) if constructor_takes_context(cls) else cls()
        tools = bind(subject, offer.name, "package", context)
    except (Exception, SystemExit) as error:
        raise problem_in(offer, error) from None
    ids = [tool.spec.id for tool in tools]
    if hidden := {one for one in ids if one not in shown or ids.count(one) > 1}:
        raise PackageProblem(f"has tools that its source does not show: {', '.join(sorted(hidden))}", offer.top)
    if _LOADED.setdefault((offer.site, offer.target), code) != code or offered_code_hash(offer) != code:
        raise PackageProblem("was changed since it was loaded; start the agent anew", offer.top)
    accepted = standing_of(folder).accepts(offer.name, code)
    return [replace(tool, code=code, accepted=accepted) for tool in tools]


_LOADED: dict[tuple[Path, str], str] = {}  # the code of what this process has imported, which stays as it is until it ends


def _package_left_out(name: str, problem: PluginProblem) -> str:
    return f'The plugin "{name}" is left out: {problem.told()}'


def _own_folder(folder: AgentFolder, name: str, choice: _Choice) -> Path:
    if name in BUILT_INS or name in RESERVED:
        raise PluginProblem(f'"{name}" is the name of a built-in; rename the plugin', name)
    if name in choice.offers:
        rivals = _packages(choice.offers[name])
        raise PluginProblem(f'{rivals} offers a plugin "{name}" too; rename this one or drop the package', name)
    return folder.plugins / name


def _load_own(folder: AgentFolder, name: str, context: ToolContext, choice: _Choice) -> list[BoundTool]:
    """Return the tools of plugins/NAME: read, then tried in a child, then imported here. Raises PluginProblem."""
    from foundry.agent.standing import standing_of
    from foundry.plugins.check import check_plugin
    from foundry.plugins.modules import classes_of, import_plugin, problem_of, quietly
    from foundry.plugins.strict import bind, constructor_takes_context

    read_own(_own_folder(folder, name, choice))
    verdict = check_plugin(Path(sys.executable), folder, name)
    if not verdict.ok:
        raise verdict.problem()
    plugins = folder.plugins.resolve()
    code = plugin_code_hash(plugins / name)
    effects = frozenset(read_manifest(folder.plugins / name).effects)
    tools: list[BoundTool] = []
    try:
        for cls in classes_of(import_plugin(plugins, name)):
            with quietly():
                subject = cls(context) if constructor_takes_context(cls) else cls()
            tools += bind(subject, name, "own", context, effects)
    except (Exception, SystemExit) as error:
        raise problem_of(error, plugins) from None
    if plugin_code_hash(plugins / name) != code:
        raise PluginProblem("was changed while it was loaded; load it again", name)
    accepted = standing_of(folder).accepts(name, code)
    return [replace(tool, code=code, accepted=accepted) for tool in tools]


def _left_out(folder: AgentFolder, name: str, problem: PluginProblem) -> str:
    from foundry.agent.mending import undo_for

    mend = undo_for(folder, name)
    return f'The plugin "{name}" is left out: {problem.told()}' + (f". {mend}" if mend else "")


def _unnamed(folder: AgentFolder, definition: AgentDefinition) -> Iterator[str]:
    """Yield the plugin folders that the config does not name."""
    if not folder.plugins.is_dir():
        return
    for path in sorted(folder.plugins.iterdir()):
        if path.is_dir() and path.name not in definition.plugins and not path.name.startswith((".", "__")):
            yield path.name
