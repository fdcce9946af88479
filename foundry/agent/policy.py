"""The gate's table: what each mode allows, asks or denies, and how an agent's rules and a person's grants bear on it; no I/O.

Each call falls into one or more columns. Each column is decided by itself: by the table, then by the first of the agent's rules
that matches and may have a say there, then by what the person always allows; the strictest column is the call's verdict. Rules
tighten anything and loosen only what the table asks; nothing loosens a call to what Foundry or the system later trusts.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, get_args

from foundry.agent.definition import ApprovalRule
from foundry.agent.standing import Grant

Mode = Literal["plan", "run", "edit", "auto"]
MODES: tuple[Mode, ...] = get_args(Mode)
Verdict = Literal["allow", "ask", "deny"]
Column = Literal["reads", "writes", "runs", "network", "outside", "protected"]
COLUMNS: tuple[Column, ...] = get_args(Column)
_STRICTNESS: Mapping[Verdict, int] = {"allow": 0, "ask": 1, "deny": 2}


def _row(*verdicts: Verdict) -> Mapping[Column, Verdict]:
    return MappingProxyType(dict(zip(COLUMNS, verdicts, strict=True)))


_RUN = _row("allow", "ask", "ask", "ask", "ask", "ask")
TABLE: Mapping[Mode, Mapping[Column, Verdict]] = MappingProxyType(
    {
        "plan": _row("allow", "deny", "deny", "deny", "deny", "deny"),
        "run": _RUN,
        "edit": _RUN,  # the tools that work on the shadow of the agent's code are not the gate's business
        "auto": _row("allow", "allow", "allow", "ask", "ask", "ask"),
    }
)
WORDS: Mapping[Column, str] = {
    "reads": "reads",
    "writes": "writes inside the folder",
    "runs": "runs a program",
    "network": "uses the network",
    "outside": "outside the folder",
    "protected": "protected",
}


@dataclass(frozen=True, slots=True)
class Action:
    """A call as the gate sees it: its tool, the columns of the table it falls into, canonical arguments, paths and recipients.

    Paths are relative to the working folder, with forward slashes, a folder with one at its end; those outside are absolute.
    `scope` is the preview's, `code` the hash of an own plugin's code, `accepted` false where its effects are not known to hold,
    `host` whether the scope names where on the network it goes.
    """

    tool: str
    columns: frozenset[Column]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    paths: tuple[str, ...] = ()
    scope: str = ""
    code: str = ""
    accepted: bool = True
    host: bool = False
    recipients: tuple[str, ...] = ()


By = Literal["mode", "rule", "grant"]


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the table, the rules and the grants say of a call: the verdict, who says so, why, and the rule if one decided."""

    verdict: Verdict
    by: By
    reason: str
    rule: str = ""
    column: Column | None = None


def rule(
    mode: Mode, action: Action, rules: Sequence[ApprovalRule] = (), grants: Sequence[Grant] = (), session: Sequence[Grant] = ()
) -> Ruling:
    """Return what is to happen with a call: the strictest of its columns; `session` are the grants of this run alone."""
    found = rulings(mode, action, rules, grants, session)
    if not found:
        return Ruling("deny", "mode", "It is not known what this call does.")
    return max(found, key=lambda one: (_STRICTNESS[one.verdict], one.by != "mode"))


def rulings(
    mode: Mode, action: Action, rules: Sequence[ApprovalRule] = (), grants: Sequence[Grant] = (), session: Sequence[Grant] = ()
) -> list[Ruling]:
    """Return what is to happen with a call for each of its columns, in the table's order; none for a call that has none."""
    if mode not in TABLE or not action.columns <= set(COLUMNS):
        return []
    return [_ruling(mode, action, column, rules, grants, session) for column in COLUMNS if column in action.columns]


def may_always(action: Action, ruling: Ruling) -> bool:
    """Return whether a person may allow such calls for the rest of a run: not what is protected, unknown or asked by a rule."""
    known = action.accepted and "protected" not in action.columns
    return known and ruling.by == "mode" and ("network" not in action.columns or action.host)


def may_last(action: Action, ruling: Ruling) -> bool:
    """Return whether a person may allow such calls for this agent, whatever the run."""
    return may_always(action, ruling) and "network" not in action.columns


def table_rows() -> list[tuple[str, ...]]:
    """Return the table for people to read: the head, then a row a mode."""
    head = ("mode", *COLUMNS)
    rows = [(mode, *(_shown(row[column], column) for column in COLUMNS)) for mode, row in TABLE.items()]
    return [head, *rows]


def rule_text(one: ApprovalRule) -> str:
    """Return a rule of the configuration in words."""
    said = [f"{one.decide} {one.tool}"]
    said += [f"{name}={glob}" for name, glob in one.arguments.items()]
    said += [f"paths {', '.join(one.paths)}"] if one.paths else []
    said += [f"recipients {', '.join(one.recipients)}"] if one.recipients else []
    said += [f"effect {one.effect}"] if one.effect else []
    return " · ".join(said)


def rule_name(number: int) -> str:
    """Return what the rule at this place, counted from 1, is called wherever it is spoken of."""
    return f"rule {number} of agent.config.json"


def grant_name(grant: Grant) -> str:
    """Return what something always allowed is called wherever it is spoken of."""
    return f"always: {grant.tool}" + (f" for {grant.scope}" if grant.scope else "")


def _shown(verdict: Verdict, column: Column) -> str:
    return "ask each time" if verdict == "ask" and column == "protected" else verdict


# one column -----------------------------------------------------------------------------------------------------------------


def _ruling(
    mode: Mode,
    action: Action,
    column: Column,
    rules: Sequence[ApprovalRule],
    grants: Sequence[Grant],
    session: Sequence[Grant],
) -> Ruling:
    verdict = TABLE[mode][column]
    for number, one in enumerate(rules, 1):
        if not _has_a_say(one, action, column):
            continue
        name = rule_name(number)
        if _STRICTNESS[one.decide] > _STRICTNESS[verdict]:
            return Ruling(one.decide, "rule", f"{name[:1].upper()}{name[1:]} says so: {rule_text(one)}.", name, column)
        if one.decide == "allow" and verdict == "ask":
            return Ruling("allow", "rule", f"{name} allows it.", name, column)
        if verdict == "ask":  # the rule asks too: each time then, whatever was always allowed
            return Ruling("ask", "rule", f"{name} asks each time: {rule_text(one)}.", name, column)
        break
    if verdict == "ask" and (grant := _grant(action, column, grants, session)):
        return Ruling("allow", "grant", "The user always allows it.", grant_name(grant), column)
    return Ruling(verdict, "mode", _why(mode, verdict, column, action), "", column)


def _has_a_say(one: ApprovalRule, action: Action, column: Column) -> bool:
    """Return whether a rule matches the call and may decide this column; an allow that may not loosen it is passed over."""
    if not fnmatchcase(action.tool, one.tool) or (one.effect and one.effect != column):
        return False
    if not all(name in action.arguments and _holds(glob, action.arguments[name]) for name, glob in one.arguments.items()):
        return False
    if one.decide == "allow":
        if column == "protected" or not action.accepted or (column == "outside" and not one.paths):
            return False
        paths = not one.paths or (bool(action.paths) and all(_is_in(path, one.paths) for path in action.paths))
        return paths and (not one.recipients or (bool(action.recipients) and _is_only_to(action.recipients, one.recipients)))
    if one.recipients and not any(_may_be_to(mailbox, one.recipients) for mailbox in action.recipients):
        return False
    return not one.paths or any(_may_be_in(path, one.paths) for path in action.paths)


def _grant(action: Action, column: Column, grants: Sequence[Grant], session: Sequence[Grant]) -> Grant | None:
    if column == "protected" or not action.accepted:
        return None
    lasting = () if column == "network" else grants
    given = (*session, *lasting) if column != "network" or action.host else ()
    matching = (one for one in given if (one.tool, one.scope, one.code) == (action.tool, action.scope, action.code))
    return next(matching, None)


def _why(mode: Mode, verdict: Verdict, column: Column, action: Action) -> str:
    if not action.accepted and verdict != "allow":
        what = "this plugin's code was not accepted, so what it says of its effects does not count"
        return f"Plan mode only reads; {what}." if verdict == "deny" else f"{what[0].upper()}{what[1:]}."
    if column == "protected":
        text = "it touches what Foundry or the system later executes or trusts"
        return f"{mode.capitalize()} mode denies it: {text}." if verdict == "deny" else f"{text[0].upper()}{text[1:]}."
    verb = {"allow": "allows", "ask": "asks first", "deny": "denies"}[verdict]
    return f"{mode.capitalize()} mode {verb}: {WORDS[column]}."


# globs ------------------------------------------------------------------------------------------------------------------------


def _holds(glob: str, value: Any) -> bool:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return fnmatchcase(text, glob)


def _is_in(path: str, globs: Sequence[str]) -> bool:
    return any(_pattern(glob).fullmatch(path.rstrip("/") or ".") for glob in globs)


def _may_be_in(path: str, globs: Sequence[str]) -> bool:
    """Return whether a path is one of the globs', whatever its case, or a folder in which there may be one."""
    plain = _plain(path)
    folded = [_plain(glob) for glob in globs]
    if _is_in(plain, folded):
        return True
    return plain.endswith("/") and any(_could_hold(plain.rstrip("/"), glob) for glob in folded)


def _is_only_to(mailboxes: Sequence[str], globs: Sequence[str]) -> bool:
    """Return whether each mailbox is one of the globs', ASCII letters in upper and lower case being one, as for mail servers."""
    wanted = [_ascii_lower(glob) for glob in globs]
    return all(any(fnmatchcase(_ascii_lower(one), glob) for glob in wanted) for one in mailboxes)


def _may_be_to(mailbox: str, globs: Sequence[str]) -> bool:
    return any(fnmatchcase(_plain(mailbox), _plain(glob)) for glob in globs)


def _ascii_lower(text: str) -> str:
    return "".join(one.lower() if one.isascii() else one for one in text)


def _could_hold(folder: str, glob: str) -> bool:
    inside = [part for part in folder.split("/") if part != "."]
    for mine, wanted in zip(inside, glob.split("/"), strict=False):
        if wanted == "**":
            return True
        if not fnmatchcase(mine, wanted):
            return False
    return len(inside) < len(glob.split("/"))


def _plain(text: str) -> str:
    seen = "".join(one for one in unicodedata.normalize("NFKC", text) if unicodedata.category(one) != "Cf")
    return seen.casefold()


@lru_cache(maxsize=256)
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile("".join(_translated(glob)), re.DOTALL)


def _translated(glob: str) -> Iterator[str]:
    for found in re.finditer(r"\*\*/|/\*\*$|\*\*|\*|\?|\[!?[^]/]+\]|.", glob, re.DOTALL):
        piece = found.group()
        if piece == "**/":
            yield "(?:[^/]+/)*"
        elif piece == "/**":
            yield "(?:/.*)?"
        elif piece == "**":
            yield ".*"
        elif piece == "*":
            yield "[^/]*"
        elif piece == "?":
            yield "[^/]"
        elif piece[0] == "[" and len(piece) > 2:
            yield _one_of(piece)
        else:
            yield re.escape(piece)


def _one_of(piece: str) -> str:
    inside = re.sub(r"([\\\\^[])", r"\\\1", piece[2:-1] if piece[1] == "!" else piece[1:-1])
    made = f"(?!/)[{'^' if piece[1] == '!' else ''}{inside}]"
    try:
        re.compile(made)
    except re.error:  # such as [z-a]: then it is what it says
        return re.escape(piece)
    return made
