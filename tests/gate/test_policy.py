"""The policy: which rules match, and that none of them can loosen what must not be loosened."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.definition import ApprovalRule, parse_definition
from foundry.agent.policy import COLUMNS, MODES, TABLE, Action, may_always, may_last, rule, table_rows
from foundry.agent.standing import Grant
from tests.gate.test_table import HOUSE

STRICT = {"allow": 0, "ask": 1, "deny": 2}
globs = st.sampled_from(["*", "**", "/**", "a/*", "a/**", "**/*.py", "b", "[ab]/x.py", "[z-a]", "[", "?", ".bashrc"])
rules = st.lists(
    st.builds(
        ApprovalRule,
        st.sampled_from(["allow", "ask", "deny"]),
        st.sampled_from(["*", "t.*", "t.f", "u.*"]),
        st.dictionaries(st.sampled_from(["path", "other"]), globs, max_size=1),
        st.sampled_from([None, "reads", "writes", "runs", "network"]),
        st.lists(globs, max_size=2).map(tuple),
        st.lists(st.sampled_from(["*", "*@example.org", "ann@*"]), max_size=2).map(tuple),
    ),
    max_size=5,
)
scopes = st.sampled_from(["", "files in /x", "the host: h"])
actions = st.builds(
    Action,
    st.just("t.f"),
    st.frozensets(st.sampled_from(COLUMNS)),
    st.dictionaries(st.sampled_from(["path", "other"]), st.sampled_from(["a/x.py", "b", 3])),
    st.lists(st.sampled_from(["a/x.py", "b", "a/", "/etc/passwd", ".bashrc"]), max_size=3).map(tuple),
    scopes,
    st.sampled_from(["", "c0de"]),
    st.booleans(),
    st.booleans(),
    st.lists(st.sampled_from(["ann@example.org", "eve@evil.example"]), max_size=2).map(tuple),
)
grants = st.lists(st.builds(Grant, st.just("t.f"), scopes, st.just(""), st.sampled_from(["", "c0de"])), max_size=3)
modes = st.sampled_from(MODES)


def test_the_table_is_the_house_plans() -> None:
    assert {mode: dict(row) for mode, row in TABLE.items()} == HOUSE
    assert len(table_rows()) == 5


@given(modes, actions, rules, grants, grants)
def test_nothing_loosens_what_must_not_be(
    mode: str, action: Action, ruled: list[ApprovalRule], kept: list[Grant], session: list[Grant]
) -> None:
    found = rule(mode, action, ruled, kept, session)  # type: ignore[arg-type]
    worst = max((TABLE[mode][column] for column in action.columns), key=STRICT.__getitem__, default="deny")  # type: ignore[index]
    if worst == "deny":
        assert found.verdict == "deny"
    if "protected" in action.columns or (not action.accepted and worst != "allow"):
        assert found.verdict != "allow"
    if "network" in action.columns and not ruled and not (session and action.host):
        assert found.verdict != "allow"
    if not ruled and not kept and not session:
        assert found.verdict == worst
    if found.verdict == "ask":
        assert not (may_last(action, found) and not may_always(action, found))


@given(modes, actions, rules, st.sampled_from(["ask", "deny"]))
def test_a_first_rule_that_matches_all_is_a_floor(mode: str, action: Action, ruled: list[ApprovalRule], decide: str) -> None:
    found = rule(mode, action, [ApprovalRule(decide), *ruled])  # type: ignore[arg-type]
    assert STRICT[found.verdict] >= STRICT[decide]


@pytest.mark.parametrize(
    ("glob", "path", "allowed"),
    [
        ("*.md", "a.md", True),
        ("*.md", "docs/a.md", False),
        ("**/*.md", "docs/deep/a.md", True),
        ("**/*.md", "a.md", True),
        ("docs/**", "docs/deep/a.md", True),
        ("docs/**", "docs2/a.md", False),
        ("docs/*", "docs/deep/a.md", False),
        ("docs", "docs/", True),
        ("[ab].txt", "a.txt", True),
        ("[!ab].txt", "a.txt", False),
        ("Docs/**", "docs/a.md", False),
        ("a.md", "a.md.exe", False),
        ("a.md", "a.md\n", False),
        ("[z-a]", "[z-a]", True),
    ],
)
def test_an_allow_needs_every_path_to_be_its_own(glob: str, path: str, allowed: bool) -> None:
    write = Action("t.f", frozenset(("writes",)), {}, (path,))
    both = Action("t.f", frozenset(("writes",)), {}, (path, "elsewhere/b"))
    allow = [ApprovalRule("allow", paths=(glob,))]
    assert (rule("run", write, allow).verdict == "allow") == allowed
    assert rule("run", both, allow).verdict == "ask"
    assert rule("run", Action("t.f", frozenset(("writes",))), allow).verdict == "ask"


@pytest.mark.parametrize(
    ("glob", "path", "denied"),
    [
        ("secret/**", "secret/a", True),
        ("secret/**", "SECRET/a", True),
        ("secret/**", "se\u200bcret/a", True),
        ("secret/**", "./", True),
        ("secret/**", "src/", False),
        ("**/*.pem", "src/", True),
        ("src/keys/*", "src/", True),
        ("src/keys/*", "src/keys/", True),
        ("src/keys/*", "src/keys/deep/er/", False),
        ("*.pem", "a.txt", False),
    ],
)
def test_a_deny_needs_one_path_in_whatever_case_or_a_folder_that_may_hold_it(glob: str, path: str, denied: bool) -> None:
    read = Action("t.f", frozenset(("reads",)), {}, ("other.txt", path))
    assert (rule("auto", read, [ApprovalRule("deny", paths=(glob,))]).verdict == "deny") == denied


def test_the_first_rule_that_may_decide_a_column_does() -> None:
    write = Action("t.f", frozenset(("writes", "network")), {"path": "a"})
    ordered = [
        ApprovalRule("allow", "t.*", effect="writes"),
        ApprovalRule("deny", "t.*", {"path": "a"}, effect="writes"),
        ApprovalRule("ask", "t.*"),
    ]
    assert rule("run", write, ordered).rule == "rule 3 of agent.config.json"
    assert rule("run", Action("t.f", frozenset(("writes",)), {"path": "a"}), ordered).verdict == "allow"
    protected = Action("t.f", frozenset(("protected",)), {"path": "a"})
    assert rule("run", protected, [ApprovalRule("allow"), ApprovalRule("deny")]).verdict == "deny"


@pytest.mark.parametrize(
    ("mailboxes", "allowed", "denied"),
    [
        (["ann@example.org"], True, True),
        (["Ann@EXAMPLE.org"], True, True),
        (["ann@example.org", "eve@evil.example"], False, True),
        (["eve@evil.example"], False, False),
        (["ann@example.org.evil.example"], False, False),
        (["ann@ex\u200bample.org"], False, True),
        (["ann@exam\uff50le.org"], False, True),
        ([], False, False),
    ],
)
def test_a_rule_for_recipients_allows_what_goes_to_them_alone_and_denies_what_goes_to_one(
    mailboxes: list[str], allowed: bool, denied: bool
) -> None:
    send = Action("email.send", frozenset(("network",)), recipients=tuple(mailboxes))
    ours = ("*@example.org",)
    assert (rule("run", send, [ApprovalRule("allow", recipients=ours)]).verdict == "allow") == allowed
    assert (rule("run", send, [ApprovalRule("deny", recipients=ours)]).verdict == "deny") == denied


def test_what_a_rule_asks_is_not_covered_by_an_always() -> None:
    write = Action("t.f", frozenset(("writes",)), scope="files in /x")
    grant = [Grant("t.f", "files in /x", "")]
    assert rule("run", write, [], grant).by == "grant"
    asked = rule("run", write, [ApprovalRule("ask")], grant)
    assert (asked.verdict, may_always(write, asked)) == ("ask", False)


def test_a_rule_with_paths_is_read_and_a_misspelt_one_refused() -> None:
    data = {"name": "x", "approvals": [{"decide": "allow", "tool": "a.*", "paths": ["docs/**"], "effect": "writes"}]}
    assert parse_definition(data).approvals == (ApprovalRule("allow", "a.*", paths=("docs/**",), effect="writes"),)
    with pytest.raises(ValueError, match='did you mean "paths"'):
        parse_definition({"name": "x", "approvals": [{"decide": "allow", "path": ["docs/**"]}]})
