"""What the .gitignore files of a working folder keep out of lists and searches, decided as git decides it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from foundry.plugins.api import ToolContext, ToolError

_NAME = ".gitignore"
_LARGEST = 1024 * 1024
_TOKEN = re.compile(r"(\*+)|(\?)|\[([!^]?)(\]?(?:\\.|\[:[a-z]+:\]|[^\]\\])*)\]|\\(.)|([^\\])", re.S)
_CLASSES = {
    **{"alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z", "space": r"\s"},
    **{"xdigit": "0-9a-fA-F", "punct": r"!-/:-@\[-`{-~", "blank": r" \t"},
}
_ANY, _NOTHING = re.compile(".*", re.S), re.compile("(?!)")


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A line of a .gitignore: what each name on the path must be like, None for any number of folders."""

    names: tuple[re.Pattern[str] | None, ...]
    takes_back: bool
    folders_only: bool

    def speaks_of(self, path: list[str], is_folder: bool) -> bool:
        """Return whether it matches the path itself; a "**" that took too few folders takes one more and tries again."""
        if self.folders_only and not is_folder:
            return False
        if len(self.names) == 2 and self.names[0] is None and self.names[1] is not None:  # a name anywhere: most lines are that
            return self.names[1].fullmatch(path[-1]) is not None
        at = place = 0
        again: tuple[int, int] | None = None
        while place < len(path):
            one = self.names[at] if at < len(self.names) else _NOTHING
            if one is None:
                again = (at + 1, place)
                at += 1
            elif one.fullmatch(path[place]):
                at, place = at + 1, place + 1
            elif again is not None:
                again = (again[0], again[1] + 1)
                at, place = again
            else:
                return False
        return at == len(self.names)


class _Level(NamedTuple):
    """The lines of one .gitignore and the folder it is in; a path they speak of has a name like `last`."""

    folder: str
    patterns: tuple[_Pattern, ...]
    last: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Ignored:
    """The .gitignore files in force in one folder, each with the folder it is in: the last line of them that fits decides."""

    context: ToolContext
    levels: tuple[_Level, ...] = ()

    @classmethod
    def at(cls, context: ToolContext, top: Path) -> Ignored:
        """Return what is in force in `top`, a real path; nothing where `top` is itself ignored: whoever names it wants it."""
        root = context.folder.resolve()
        here = cls(context).inside("")
        name = ""
        for part in top.relative_to(root).parts:
            name += part
            if here.leaves_out(name, is_folder=True):
                return cls(context)
            name += "/"
            here = here.inside(name)
        return here

    def inside(self, folder: str) -> Ignored:
        """Return what is in force in a folder right below this one, given relative to the working folder as in "src/"."""
        try:
            with self.context.open(self.context.folder.resolve() / folder / _NAME) as file:
                raw = file.read(_LARGEST + 1)
        except (OSError, ToolError):
            return self
        found = tuple(_patterns(raw)) if len(raw) <= _LARGEST else ()
        return Ignored(self.context, (*self.levels, _Level(folder, found, _last_of_any(found)))) if found else self

    def leaves_out(self, path: str, is_folder: bool) -> bool:
        """Return whether what has this path, relative to the working folder and in a folder not ignored, is ignored."""
        name = path[path.rfind("/") + 1 :]
        for level in reversed(self.levels):
            if level.last.fullmatch(name) is None:
                continue
            inside = path.removeprefix(level.folder).split("/")
            for one in reversed(level.patterns):
                if one.speaks_of(inside, is_folder):
                    return not one.takes_back
        return False


def _patterns(raw: bytes) -> Iterator[_Pattern]:
    """Yield the patterns of a .gitignore; lines that are none are passed over, as git passes over them."""
    for line in raw.decode("utf-8-sig", "surrogateescape").split("\n"):
        # Blanks at the end count only where they are escaped.
        text = re.sub(r"(?<!\\) +\Z", "", line.removesuffix("\r"))
        takes_back = text.startswith("!")
        pattern = text[takes_back:].removesuffix("/")
        if not pattern or text.startswith("#"):
            continue
        parts = pattern.removeprefix("/").split("/")
        try:
            names = [None if part == "**" and len(parts) > 1 else re.compile(_translated(part), re.S) for part in parts]
        except (re.error, OverflowError):
            continue
        if "/" not in pattern:
            names.insert(0, None)
        if names[-1] is None:  # all that is in a folder, not the folder
            names.append(_ANY)
        yield _Pattern(tuple(names), takes_back, text.endswith("/"))


def _last_of_any(patterns: tuple[_Pattern, ...]) -> re.Pattern[str]:
    """Return what a name must be like for any of the patterns to speak of a path that ends in it."""
    last = {one.names[-1].pattern for one in patterns if one.names[-1] is not None}
    return re.compile("|".join(f"(?:{one})" for one in sorted(last)), re.S)


def _translated(part: str) -> str:
    """Return what stands between two slashes of a pattern as a regular expression that takes no longer for a hostile one."""
    fixed = [""]
    at = 0
    while at < len(part):
        found = _TOKEN.match(part, at)
        if found is None:  # a lone backslash at the end
            return "(?!)"
        stars, one, negated, inside, escaped, plain = found.groups()
        if stars:
            fixed.append("")
        else:
            fixed[-1] += "." if one else _set(negated, inside) if inside else re.escape(escaped or plain)
        at = found.end()
    if len(fixed) == 1:
        return fixed[0]
    # Between two stars the first place that fits is as good as any other, so none is tried twice.
    return fixed[0] + "".join(f"(?>.*?{one})" for one in fixed[1:-1]) + ".*" + fixed[-1]


def _set(negated: str, inside: str) -> str:
    spelled = re.sub(r"\[:([a-z]+):\]|\\(.)|([\\\[\]^&~|])", _member, inside, flags=re.S)
    return f"[{'^' if negated else ''}{spelled}]"


def _member(found: re.Match[str]) -> str:
    return _CLASSES.get(found[1], "") if found[1] else re.escape(found[2] or found[3])
