"""Plugins that packages of an agent's environment offer by the entry point `foundry.plugins`, read without an import."""

from __future__ import annotations

import ast
import csv
import hashlib
import importlib
import re
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from foundry.errors import FoundryError
from foundry.files import BadFileError, read_bytes
from foundry.plugins.cards import PluginProblem, ToolCard, cards_of, check_name, parse

GROUP = "foundry.plugins"
_TARGET = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
_MOST_TEXT = 4 * 1024 * 1024
_MOST_STEPS = 8  # from module to module, on the way to where a class is written
_MOST_BASES = 50


class PackageProblem(PluginProblem):
    """A package's plugin cannot be used; `file` is relative to the environment's site-packages."""

    root = "site-packages"


@dataclass(frozen=True, slots=True)
class Offer:
    """A plugin that a package offers: its name, its class as `module:Class`, the package's dist-info."""

    name: str
    target: str
    info: Path

    @property
    def site(self) -> Path:
        """The site-packages that the package lies in."""
        return self.info.parent

    @property
    def package(self) -> str:
        """The package with its version, such as "weather-tools 1.0"."""
        name, _, version = self.info.name.removesuffix(".dist-info").rpartition("-")
        return f"{name.replace('_', '-')} {version}"

    @property
    def module(self) -> str:
        return self.target.partition(":")[0]

    @property
    def cls(self) -> str:
        return self.target.partition(":")[2]

    @property
    def top(self) -> str:
        """The package or module at the top, which all of the plugin's own code lies in."""
        return self.module.partition(".")[0]


def offers_in(venv: Path) -> dict[str, tuple[Offer, ...]]:
    """Return what the environment's packages offer, by plugin name; a file that cannot be read offers nothing."""
    found: dict[str, tuple[Offer, ...]] = {}
    for file in sorted(venv.glob("lib/python*/site-packages/*.dist-info/entry_points.txt")):
        for name, target in _entries(file):
            found[name] = (*found.get(name, ()), Offer(name, target, file.parent))
    return found


def the_one(offers: Sequence[Offer]) -> Offer:
    """Return the only offer of a name. Raises PackageProblem for a name that two offer or no plugin can have."""
    first = offers[0]
    if len(offers) > 1:
        both = " and ".join(one.package for one in offers)
        raise PackageProblem(f'{both} both offer a plugin "{first.name}"; keep one of them in "dependencies"')
    if not _TARGET.fullmatch(first.target):
        raise PackageProblem(f'the entry point of {first.package} is "{first.target}"; it must be module:Class')
    try:
        check_name(first.name)
    except PluginProblem as problem:
        raise PackageProblem(f"{first.package} offers it, but {problem.message}") from None
    return first


def read_offer(offer: Offer) -> list[ToolCard]:
    """Return the cards of a package's plugin, read from source. Raises PackageProblem with file and line."""
    path, node = _written(offer)
    methods = _methods(offer.site, path, node)
    whole = ast.ClassDef(node.name, bases=[], keywords=[], body=list(methods.values()), decorator_list=[])
    cards = cards_of(whole, offer.name, "package")
    if not cards:
        raise PackageProblem(f"{node.name} has no method marked @kernel_function", _where(path, offer.site), node.lineno)
    names = [card.id for card in cards]
    if twice := next((one for one in names if names.count(one) > 1), ""):
        raise PackageProblem(f"two methods are the tool {twice}", _where(path, offer.site), node.lineno)
    return cards


def offered_code_hash(offer: Offer) -> str:
    """Return the hash of the package's files, as `files_of` finds them. Raises PackageProblem."""
    told = hashlib.sha256(f"{offer.target}\n".encode())
    try:
        for path in files_of(offer):
            told.update(f"{_where(path, offer.site)}\0{_content(path)}\n".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise PackageProblem(f"cannot be read: {error.strerror}", offer.top) from None
    except BadFileError as error:
        raise PackageProblem(error.message) from None
    return told.hexdigest()


def import_offered(offer: Offer) -> type:
    """Import the package here and return the plugin's class. Raises PackageProblem with file and line."""
    from foundry.plugins.modules import quietly

    path, node = _written(offer)
    before = set(sys.modules)
    try:
        with quietly():
            found = getattr(importlib.import_module(offer.module), offer.cls)
    except BaseException as error:
        for name in set(sys.modules) - before:
            if name.partition(".")[0] == offer.top:
                del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise problem_in(offer, error) from None
    source = getattr(sys.modules.get(getattr(found, "__module__", "")), "__file__", None) or ""
    if not isinstance(found, type) or Path(source).resolve() != path.resolve():
        raise PackageProblem(f"{node.name} is not the class that its source shows", _where(path, offer.site), node.lineno)
    return found


def source_of(offer: Offer) -> tuple[str, int]:
    """Return where the plugin's class is written: the file relative to site-packages and the line. Raises PackageProblem."""
    path, node = _written(offer)
    return _where(path, offer.site), node.lineno


def problem_in(offer: Offer, error: BaseException) -> PackageProblem:
    """Return an exception of a package's code as a problem, with the last place of it that lies in the package."""
    from foundry.plugins.modules import problem_of

    site = offer.site.resolve()
    found = problem_of(error, site)
    file, line = (found.file, found.line) if isinstance(error, SyntaxError | PluginProblem) else ("", 0)
    for frame in traceback.extract_tb(error.__traceback__):
        with suppress(ValueError):
            name = Path(frame.filename).resolve().relative_to(site).as_posix()
            if name.partition("/")[0].removesuffix(".py") == offer.top:
                file, line = (file, line) if isinstance(error, SyntaxError) and file else (name, frame.lineno or 0)
    return PackageProblem(found.message, file, line, found.hint)


# the installed files ----------------------------------------------------------------------------------------------------


def _entries(file: Path) -> Iterator[tuple[str, str]]:
    """Yield name and target of the entry points of our group."""
    section = ""
    try:
        lines = read_bytes(file, _MOST_TEXT).decode().splitlines()
    except (FoundryError, UnicodeDecodeError):
        return
    for line in (one.strip() for one in lines):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == GROUP and "=" in line and not line.startswith(("#", ";")):
            name, _, target = line.partition("=")
            yield name.strip(), re.sub(r"\s+|\[.*$", "", target)


def files_of(offer: Offer) -> list[Path]:
    """Return the package's code, sorted: what its RECORD says was installed and what lies in its folder, but compiled copies.

    Raises OSError, BadFileError and PackageProblem.
    """
    record = offer.info / "RECORD"
    lines = read_bytes(record, _MOST_TEXT * 16).decode("utf-8", "replace").splitlines() if record.is_file() else []
    try:
        named = {row[0] for row in csv.reader(lines) if row}
    except csv.Error as error:
        raise PackageProblem(f"its RECORD cannot be read: {error}", _where(record, offer.site)) from None
    top = offer.site / offer.top
    there = {_where(path, offer.site) for path in top.rglob("*") if path.is_symlink() or not path.is_dir()}
    there |= {_where(path, offer.site) for path in offer.site.glob(f"{offer.top}.*") if path.suffix in (".py", ".so", ".pyd")}
    kept = {one for one in named if not one.startswith(("/", f"{offer.info.name}/")) and ".." not in one.split("/")}
    code = {one for one in {*kept, *there} if "__pycache__" not in one.split("/") and not one.endswith(".pyc")}
    return [offer.site / one for one in sorted(code)]


def _content(path: Path) -> str:
    leads = f"link {path.readlink()} " if path.is_symlink() else ""
    if not path.is_file():
        return f"{leads}no file"
    with path.open("rb") as file:
        return leads + hashlib.file_digest(file, "sha256").hexdigest()


def _where(path: Path, site: Path) -> str:
    return path.relative_to(site).as_posix()


# the source ---------------------------------------------------------------------------------------------------------------


def _written(offer: Offer) -> tuple[Path, ast.ClassDef]:
    """Return the plugin's class and the file that it is written in. Raises PackageProblem with file and line."""
    try:
        return _class(offer.site, offer.module, offer.cls)
    except PluginProblem as problem:
        raise PackageProblem(problem.message, problem.file, problem.line) from None
    except OSError as error:
        raise PackageProblem(f"cannot be read: {error.strerror}", offer.top) from None


def _source(site: Path, module: str) -> Path:
    place = site.joinpath(*module.split("."))
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return path
    raise PackageProblem(f"there is no Python source of the module {module}")


def _class(site: Path, module: str, name: str, steps: int = _MOST_STEPS) -> tuple[Path, ast.ClassDef]:
    """Return where the class of that name in a module is written. Raises PluginProblem."""
    path = _source(site, module)
    tree = parse(path, site)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            return path, node
    for node in tree.body:
        alias = _imported(node, name)
        if isinstance(node, ast.ImportFrom) and alias and steps:
            there = _module(node, module, path)
            if there.partition(".")[0] != module.partition(".")[0]:
                what = f"takes {name} from {there}, which is not its own; name that package in the entry point"
                raise PackageProblem(what, _where(path, site), node.lineno)
            return _class(site, there, alias, steps - 1)
    raise PackageProblem(f"has no class {name}", _where(path, site), 1)


def _imported(node: ast.stmt, name: str) -> str:
    """Return what an import calls `name`, as it is called where it comes from."""
    if not isinstance(node, ast.ImportFrom):
        return ""
    return next((one.name for one in node.names if (one.asname or one.name) == name), "")


def _module(node: ast.ImportFrom, module: str, path: Path) -> str:
    """Return the full name of the module that an import in `module` takes from."""
    if not node.level:
        return node.module or ""
    parts = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    base = parts[: len(parts) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _methods(
    site: Path, path: Path, node: ast.ClassDef, known: dict[tuple[Path, str], dict[str, ast.stmt]] | None = None
) -> dict[str, ast.stmt]:
    """Return the methods of a class by name, those of the package's own base classes first, as Python finds them.

    `known` are the classes looked at, each once. Raises PackageProblem for too many.
    """
    known = {} if known is None else known
    if (path, node.name) in known:
        return known[path, node.name]
    if len(known) >= _MOST_BASES:
        raise PackageProblem(f"has more than {_MOST_BASES} base classes", _where(path, site), node.lineno)
    known[path, node.name] = {}
    found: dict[str, ast.stmt] = {}
    module = ".".join(path.relative_to(site).with_suffix("").parts).removesuffix(".__init__")
    for base in dict.fromkeys(one.id for one in reversed(node.bases) if isinstance(one, ast.Name)):
        try:
            there = _class(site, module, base)
        except (PluginProblem, OSError):
            continue
        found |= _methods(site, *there, known)
    found |= {one.name: one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    known[path, node.name] = found
    return found
