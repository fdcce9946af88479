"""GitHub's issues and pull requests against a stand-in of its API on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from foundry.plugins.api import Preview, ToolContext, ToolError
from foundry.plugins.standard_lib.github import GitHub
from foundry.plugins.standard_lib.github_api import Limits, api
from foundry.plugins.strict import bind
from tests.plugins.github_world import TOKEN, Hub, hub_server
from tests.plugins.given import Given


class Tools:
    """The github tools of an agent whose GitHub Enterprise is a Hub."""

    def __init__(self, hub: Hub, limit: int = 20_000, limits: Limits | None = None, **variables: str) -> None:
        self.hub = hub
        given = Given(**{"GITHUB_TOKEN": TOKEN, "GITHUB_BASE_URL": hub.url, **variables})
        context = ToolContext(Path("/nonexistent"), limit=limit, variables=given)
        bound = bind(GitHub(context, limits), "github", "built-in", context)
        self.tools = {one.spec.id.partition(".")[2]: one for one in bound}
        self.previews: list[Preview] = []

    def call(self, tool: str, **arguments: Any) -> str:
        arguments = {"repository": "octo/hello", **arguments}
        try:
            return asyncio.run(self._call(tool, arguments))
        except ToolError as error:
            return f"error: {error}"

    async def _call(self, tool: str, arguments: dict[str, Any]) -> str:
        bound = self.tools[tool]
        assert bound.plan
        plan = await bound.plan(arguments)
        self.previews.append(plan.preview)
        return await bound.call(arguments, plan)


@pytest.fixture
def hub() -> Iterator[Hub]:
    with hub_server("/api/v3") as made:
        yield made


def test_issues_are_listed_without_pull_requests(hub: Hub) -> None:
    hub.issue("It breaks")
    hub.label(1, "bug")
    hub.pull("Mend it")
    hub.issue("Old", state="closed")
    tools = Tools(hub)

    assert tools.call("issues").splitlines()[1:] == ["#1 open 2026-01-02 ada: It breaks [bug]"]
    assert [line.split()[0] for line in tools.call("issues", state="all").splitlines()[1:]] == ["#3", "#1"]
    assert tools.call("pulls").splitlines()[1:] == ["#2 open 2026-01-02 ada: Mend it (octo:fix into main)"]
    host = hub.url.removeprefix("http://").removesuffix("/api/v3")
    assert tools.previews[0].hosts == (host,)
    assert tools.previews[0].scope == f"the host {host}"
    assert all(one.path.startswith("/api/v3/repos/octo/hello/") for one in hub.seen)


def test_long_lists_are_fetched_page_by_page(hub: Hub) -> None:
    for number in range(100):
        hub.issue(f"issue {number}")
    for number in range(60):
        hub.pull(f"pull {number}")
    assert len(Tools(hub).call("issues", most=100).splitlines()) == 101
    assert [one.query.get("page") for one in hub.seen] == [None, ["2"]]
    assert len(Tools(hub).call("pulls", most=5).splitlines()) == 6
    assert hub.seen[-1].query["per_page"] == ["5"]


def test_an_issue_and_a_pull_request_are_read_whole(hub: Hub) -> None:
    hub.issue("It breaks", "When I press\nthe button.", by=None)
    hub.comment(1, "Same here.")
    number = hub.pull("Mend it", body="Fixes #1")
    hub.file(number, "a.py", "@@ -1 +1 @@\n-x\n+y")
    tools = Tools(hub)

    said = tools.call("read", number=1)
    assert said.startswith("Issue #1 open: It breaks\nby somebody who is gone, 2026-01-02\n")
    assert "When I press\nthe button." in said
    assert "--- bob, 2026-01-03:\nSame here." in said
    said = tools.call("read", number=2)
    assert "Pull request #2 open: Mend it" in said
    assert "octo:fix into main" in said
    assert "modified a.py +1 -1\n@@ -1 +1 @@\n-x\n+y" in said


def test_comments_issues_and_pull_requests_are_written_once_each(hub: Hub) -> None:
    tools = Tools(hub)

    assert tools.call("open_issue", title="New", text="Text") == (
        "Opened octo/hello#1: https://github.example.org/octo/hello/issues/1"
    )
    assert tools.call("comment", number=1, text="Thanks").startswith("Commented: https://github.example.org/octo/hello/issues/1#")
    assert tools.call("open_pull", title="Mend", text="It", head="fix", draft=True).startswith("Opened octo/hello#2: ")
    assert [(one.method, one.body) for one in hub.seen] == [
        ("POST", {"title": "New", "body": "Text"}),
        ("POST", {"body": "Thanks"}),
        ("POST", {"title": "Mend", "body": "It", "head": "fix", "base": "main", "draft": True}),
    ]
    assert hub.pulls[2]["draft"] is True
    assert tools.previews[1].summary.startswith("Comment on octo/hello#1 on 127.0.0.1:")
    assert tools.previews[1].scope.startswith("octo/hello on the host 127.0.0.1:")


def test_planning_sends_nothing(hub: Hub) -> None:
    tools = Tools(hub)
    for name, arguments in (("comment", {"number": 1, "text": "x"}), ("issues", {}), ("open_issue", {"title": "t", "text": "x"})):
        asyncio.run(tools.tools[name].plan({"repository": "octo/hello", **arguments}))  # type: ignore[misc, arg-type]
    assert hub.seen == []


def test_texts_of_others_are_bounded_and_cannot_act_on_a_screen(hub: Hub) -> None:
    hub.issue("evil\x1b]52;c;x\x07\u202etitle\nsecond line", "body\x1b[2J" + "x" * 100_000)
    for number in range(40):
        hub.comment(1, f"{number}" + "y" * 10_000)
    tools = Tools(hub, limit=10_000)

    for said in (tools.call("issues"), tools.call("read", number=1)):
        assert len(said) <= 10_000
        assert not set(said) & {"\x1b", "\x07", "\u202e"}
    assert len(tools.call("issues").splitlines()) == 2
    assert "the rest is left out" in tools.call("read", number=1)


@pytest.mark.parametrize(
    ("status", "data", "headers", "why"),
    [
        (401, {"message": "Bad credentials"}, {}, "does not accept GITHUB_TOKEN"),
        (
            403,
            {"message": "Resource not accessible by personal access token"},
            {},
            "has no right to that on octo/hello: Resource not",
        ),
        (
            403,
            {"message": "API rate limit exceeded for user ID 1."},
            {"X-RateLimit-Reset": "9999999999"},
            "allows no more requests",
        ),
        (429, {"message": "slow down"}, {"Retry-After": "60"}, "for 60 seconds"),
        (403, {"message": "You have exceeded a secondary rate limit."}, {"Retry-After": "7"}, "for 7 seconds"),
        (404, {"message": "Not Found"}, {}, "There is no such thing in octo/hello"),
        (410, {"message": "Issues are disabled for this repo"}, {}, "There is no such thing in octo/hello"),
        (422, {"message": "Validation Failed", "errors": [{"field": "title", "code": "missing"}]}, {}, "title: missing"),
        (500, {"message": "oops"}, {}, "has a fault of its own (500)"),
        (503, b"<html>down</html>", {}, "has a fault of its own (503)"),
        (200, b"<html>a portal</html>", {}, "error: "),
        (200, b"[1, 2]", {}, "error: "),
        (200, b"", {}, "error: "),
    ],
)
def test_what_github_refuses_is_said_once_and_clearly(
    hub: Hub, status: int, data: Any, headers: dict[str, str], why: str
) -> None:
    def refuse(handler: Any) -> bool:
        handler.answer(status, data, headers)
        return True

    hub.instead = refuse
    for name, arguments in (("comment", {"number": 1, "text": "x"}), ("read", {"number": 1})):
        hub.seen.clear()
        said = Tools(hub).call(name, **arguments)
        assert why in said
        assert said.startswith("error: ")
        assert TOKEN not in said
        assert len(hub.seen) == 1


def test_a_redirect_is_not_followed_elsewhere(hub: Hub) -> None:
    with hub_server("/api/v3") as other:

        def lead_away(handler: Any) -> bool:
            handler.answer(301, {}, {"Location": f"{other.url}/repos/octo/hello/issues"})
            return True

        hub.instead = lead_away
        for name, arguments in (("issues", {}), ("open_issue", {"title": "t", "text": "x"})):
            assert Tools(hub).call(name, **arguments).startswith("error: ")
        hub.instead = lambda handler: bool(
            handler.answer(200, [], {"Link": f'<{other.url}/repos/octo/hello/issues?page=2>; rel="next"'}) or True
        )
        Tools(hub).call("issues")
        assert other.seen == []


def test_a_server_that_goes_round_in_circles_is_left(hub: Hub) -> None:
    hub.instead = lambda handler: bool(handler.answer(301, {}, {"Location": f"{hub.url}/x{len(hub.seen)}"}) or True)
    assert "too many requests" in Tools(hub).call("issues")
    assert len(hub.seen) <= 12
    hub.seen.clear()
    hub.instead = lambda handler: bool(handler.answer(202, {}) or True)
    assert "is not ready with that yet" in Tools(hub).call("issues")
    assert len(hub.seen) == 1


def test_a_server_that_drips_or_floods_is_left(hub: Hub) -> None:
    ends: list[float] = []

    def drip(handler: Any) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        try:
            for _ in range(200):
                handler.wfile.write(b" ")
                time.sleep(0.05)
        except OSError:
            ends.append(time.monotonic())
        return True

    hub.instead = drip
    start = time.monotonic()
    assert "too much or too slowly" in Tools(hub, limits=Limits(seconds=1.0)).call("issues")
    assert time.monotonic() - start < 4
    hub.instead = lambda handler: bool(handler.answer(200, b"x" * 5000) or True)
    assert "too much or too slowly" in Tools(hub, limits=Limits(size=1000)).call("issues")


def test_nobody_there() -> None:
    with hub_server() as hub:
        tools = Tools(hub)
    assert tools.call("issues").endswith("cannot be reached. Is the machine offline?")
    assert "look before you try again" in tools.call("comment", number=1, text="x")


@pytest.mark.parametrize(
    "arguments",
    [
        {"repository": "octo"},
        {"repository": "octo/.."},
        {"repository": "octo/hello/issues"},
        {"repository": "octo/he?llo"},
        {"repository": "../x"},
        {"number": 0},
        {"number": -1},
        {"text": " "},
        {"text": "x" * 70_000},
        {"text": f"my token is {TOKEN}"},
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_shown(hub: Hub, arguments: dict[str, Any]) -> None:
    tools = Tools(hub)
    said = tools.call("comment", **{"number": 1, "text": "x", **arguments})
    assert said.startswith("error: ")
    assert tools.previews == []
    assert TOKEN not in said
    for one in ({"title": "two\nlines"}, {"title": ""}, {"head": "-x"}, {"head": "a b"}, {"base": "x:y:z"}):
        assert tools.call("open_pull", **{"title": "t", "text": "x", "head": "fix", **one}).startswith("error: ")
    assert hub.seen == []


@pytest.mark.parametrize(
    "base",
    [
        "http://example.org",
        "ftp://x",
        "https://u:p@x",
        "https://x/?a",
        "x",
        "https://",
        "http://127.0.0.1.evil.org",
        "https://x:99999",
    ],
)
def test_base_addresses_that_are_not_used(base: str) -> None:
    with pytest.raises(ToolError, match="GITHUB_BASE_URL"):
        api(Given(GITHUB_TOKEN=TOKEN, GITHUB_BASE_URL=base))


def test_where_it_goes_and_without_a_token() -> None:
    assert api(Given(GITHUB_TOKEN=TOKEN)).host == "api.github.com"
    assert api(Given(GITHUB_TOKEN=TOKEN, GITHUB_BASE_URL="https://git.example.org/api/v3/")).host == "git.example.org"
    with pytest.raises(ToolError, match="There is no GITHUB_TOKEN"):
        api(Given())
