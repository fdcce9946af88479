"""Searching with DuckDuckGo as ddgs really asks it, through a proxy on loopback that plays DuckDuckGo's hosts."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.secrets import Redactor
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.web_duckduckgo import DuckDuckGo, Question, SlowDown
from foundry.plugins.standard_lib.web_search import Pace, WebSearch
from foundry.plugins.strict import bind
from foundry.session.approvals import Answer, Approvals
from foundry.session.approvals import Question as Asked
from foundry.session.limits import Limits
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.session.conftest import Desk, Room, call

from .conftest import Workshop
from .web_search_world import DuckDuckGosHosts, World, found, news
from .web_world import LOOPBACK, Says, certificates, done, response


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = certificates(tmp_path, "html.duckduckgo.com", "duckduckgo.com")
    server = DuckDuckGosHosts(made)
    yield World(server, DuckDuckGo(f"http://{LOOPBACK}:{server.port}", str(made.authority), 3), tmp_path)
    server.close()


# what is found ------------------------------------------------------------------------------------------------------------------


def test_results_are_numbered_with_title_url_and_snippet(world: World) -> None:
    world.server.answers["/html/"] = found(
        ("Danube", "https://example.org/danube?a=b", "The <b>Danube</b> is a river."),
        ("Ad", "https://duckduckgo.com/y.js?ad_domain=shop.example", "Buy rivers"),
        (
            "Rhine",
            f"//duckduckgo.com/l/?uddg={quote('https://example.net/rhine?x=1&y=2', safe='')}&rut=00ff",
            "Another &amp; one",
        ),
    )
    plan = world.tool().search("rivers of  europe")

    assert plan.do() == (
        "(titles and snippets were written by strangers, not by the user)\n"
        "1. Danube\n   https://example.org/danube?a=b\n   The Danube is a river.\n"
        "2. Rhine\n   https://example.net/rhine?x=1&y=2\n   Another & one"
    )
    assert plan.preview.hosts == ("html.duckduckgo.com",)
    assert plan.preview.summary == "Search the web for: rivers of europe"
    assert world.server.hosts == ["html.duckduckgo.com:443"]
    assert world.form() == {"q": ["rivers of europe"], "b": [""], "l": ["wt-wt"]}


def test_region_and_time_are_sent(world: World) -> None:
    world.server.answers["/html/"] = found(("a", "https://example.org/", "b"))
    plan = world.tool().search("rivers", region="DE-de", time="week")
    plan.do()

    assert world.form() == {"q": ["rivers"], "b": [""], "l": ["de-de"], "df": ["w"]}
    assert plan.preview.summary == "Search the web for: rivers, region de-de, of the last week"


def test_news_come_with_date_and_source(world: World) -> None:
    item = {
        "date": 1_700_000_000,
        "title": "Flood",
        "excerpt": "High <b>water</b>",
        "url": "https://example.org/flood",
        "source": "Post",
    }
    world.server.answers |= {"/": response('<script>vqd="4-123";</script>'), "/news.js": news(item)}
    plan = world.tool().search("flood", kind="news", time="day")

    assert str(plan.do()).endswith("1. Flood\n   https://example.org/flood\n   2023-11-14T22:13:20+00:00, Post: High water")
    assert plan.preview.hosts == ("duckduckgo.com",)
    assert set(world.server.hosts) == {"duckduckgo.com:443"}
    assert (world.query()["vqd"], world.query()["df"], world.query()["l"]) == (["4-123"], ["d"], ["wt-wt"])


def test_no_more_than_asked_for_and_no_more_than_fits(world: World) -> None:
    world.server.answers["/html/"] = found(*((f"T{n}", f"https://example.org/{n}", "words " * 200) for n in range(30)))

    assert done(world.tool().search, "x", most=3).count("https://") == 3
    short = done(world.tool(limit=1500).search, "x", most=20)
    assert len(short) <= 1500
    assert short.endswith("(the rest does not fit)")


def test_nothing_found_is_said(world: World) -> None:
    world.server.answers["/html/"] = found()

    assert done(world.tool().search, "qwxyz") == "DuckDuckGo found nothing for 'qwxyz'. Try other or fewer words."


def test_results_of_strangers_are_only_text(world: World) -> None:
    """Markup, controls, invisible characters, links that are none or lead inside."""
    bad = (
        "javascript:alert(1)",
        "file:///etc/passwd",
        "http://127.0.0.1/",
        "http://[::1]/",
        "data:text/html,x",
        "http://u@example.org/",
    )
    inner = (
        "http://2130706433/",
        "https://localhost/x",
        "https://example.org/" + "x" * 600,
        "",
        "//example.org/y",
        "ftp://example.org/",
    )
    world.server.answers["/html/"] = found(
        *((f"bad {n}", url, "x") for n, url in enumerate((*bad, *inner))),
        ("\x1b[31mT\u202e\u200b" + "t" * 500, "https://example.org/ö?\u202e", "x"),
        ("Ignore\nall\x07 <script>", "https://example.org/ö", "&lt;b&gt;\u202e 1. \U000e0041" + "s" * 900),
        ("again", "https://example.org/ö", "the same"),
    )
    text = done(world.tool().search, "x", most=20)
    lines = text.split("\n")

    assert len(lines) == 4
    assert lines[1] == "1. Ignore all"
    assert lines[2] == "   https://example.org/%C3%B6"
    assert len(lines[3]) <= 403
    assert text.replace("\n", "").isprintable()


# what goes wrong ----------------------------------------------------------------------------------------------------------------

ROBOT = '<html><body><div class="anomaly-modal__title">Select all squares containing a duck</div></body></html>'


@pytest.mark.parametrize(
    "refusal",
    [response(ROBOT, "202 Accepted"), response(ROBOT), response(status="429 Too Many"), response(status="403 Forbidden")],
)
def test_a_refusal_is_waited_out(refusal: bytes, world: World) -> None:
    world.server.answers["/html/"] = [refusal, refusal, found(("a", "https://example.org/", "b"))]

    assert "1. a" in done(world.tool().search, "x")
    assert [one for one in world.slept if one] == [3.0, 8.0]
    assert world.said == [f"html.duckduckgo.com asks for patience: waiting {wait} s." for wait in (3, 8)]


def test_after_three_refusals_it_is_left_alone(world: World) -> None:
    world.server.answers["/html/"] = response(ROBOT, "202 Accepted")
    tool = world.tool()

    assert done(tool.search, "x") == (
        "error: html.duckduckgo.com refused 3 times, as it is asked too often. Search again in 60 s."
    )
    assert "asked for fewer searches. Wait 60 s" in done(tool.search, "y")
    assert len(world.server.asked) == 3


@pytest.mark.parametrize(
    ("pages", "kind", "said"),
    [
        ({"/html/": response(status="500 Broken")}, "text", "html.duckduckgo.com answered with status 500"),
        ({"/html/": response(status="302 Found", location="https://evil.example/")}, "text", "answered with status 302"),
        ({"/html/": response("\0\0\0")}, "text", "found nothing"),
        ({"/": response("no key here")}, "news", "duckduckgo.com answered with what is no page of results"),
        ({"/": response('vqd="1"'), "/news.js": response("no json")}, "news", "answered with what is no page of results"),
        ({"/": response('vqd="1"'), "/news.js": response('{"results": [1, {"title": 5}]}')}, "news", "no page of results"),
        ({"/": response('vqd="1"'), "/news.js": response('{"results": [{"title": {"a": 1}, "url": ["x"]}]}')}, "news", ""),
    ],
)
def test_an_answer_that_is_none_is_said(pages: dict[str, bytes | Says | list[bytes]], kind: Any, said: str, world: World) -> None:
    world.server.answers |= pages
    text = done(world.tool().search, "x", kind=kind)

    assert said in text
    assert "\n" not in text
    assert {one.partition(":")[0] for one in world.server.hosts} <= {"duckduckgo.com", "html.duckduckgo.com"}


@pytest.mark.slow
def test_a_host_that_says_nothing_or_never_ends_is_left(world: World) -> None:
    def endless(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        until = time.monotonic() + 8
        while time.monotonic() < until and not world.server.stopped.is_set():
            connection.sendall(b"<p>")
            time.sleep(0.05)

    def silent(connection: socket.socket, _: bytes) -> None:
        connection.recv(1)

    for says in (silent, endless):
        world.server.answers["/html/"] = says
        start = time.monotonic()
        text = done(world.tool().search, "x")

        assert text.startswith("error: ")
        assert "html.duckduckgo.com" in text
        assert time.monotonic() - start < 6


def test_offline_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as gone:
        port = gone.getsockname()[1]
    tool = WebSearch(ToolContext(tmp_path), DuckDuckGo(f"http://{LOOPBACK}:{port}"))

    assert done(tool.search, "x") == (
        "error: There is no connection to html.duckduckgo.com: this machine seems to be offline. Search again when it is online."
    )


def test_the_proxy_of_the_environment_is_used(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.server.answers["/html/"] = found(("a", "https://example.org/", "b"))
    monkeypatch.setenv("HTTPS_PROXY", f"http://{LOOPBACK}:{world.server.port}")
    monkeypatch.setenv("DDGS_PROXY", f"http://{LOOPBACK}:1")
    engine = DuckDuckGo(verify=str(world.folder / "ca.pem"))

    assert "1. a" in done(WebSearch(ToolContext(world.folder), engine).search, "x")
    assert world.server.hosts == ["html.duckduckgo.com:443"]


def test_a_host_with_a_strange_certificate_is_not_asked(world: World) -> None:
    engine = DuckDuckGo(f"http://{LOOPBACK}:{world.server.port}", seconds=3)

    assert done(WebSearch(ToolContext(world.folder), engine).search, "x").startswith("error: ")
    assert world.server.asked == []


# how often it asks --------------------------------------------------------------------------------------------------------------


def test_the_same_search_is_asked_once(world: World) -> None:
    world.server.answers["/html/"] = found(*((f"T{n}", f"https://example.org/{n}", "s") for n in range(5)))
    tool = world.tool()
    texts = [done(tool.search, "rivers", most=most) for most in (2, 5, 2)]
    done(tool.search, "rivers", time="day")

    assert [one.count("https://") for one in texts] == [2, 5, 2]
    assert len(world.server.asked) == 2


def test_searches_keep_their_distance_whatever_comes_at_once(world: World) -> None:
    world.server.answers["/html/"] = found(("a", "https://example.org/", "b"))
    tool = WebSearch(ToolContext(world.folder), world.engine, Pace(between=0.4))
    threads = [threading.Thread(target=done, args=(tool.search, f"query {n}")) for n in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert len(world.server.times) == 4
    gaps = [after - before for before, after in zip(world.server.times, world.server.times[1:], strict=False)]
    assert min(gaps) >= 0.4


# arguments ----------------------------------------------------------------------------------------------------------------------


class Nothing:
    """An engine that counts."""

    def __init__(self) -> None:
        self.asked: list[Question] = []

    def ask(self, question: Question) -> list[dict[str, Any]]:
        self.asked.append(question)
        return []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"query": " \n"}, "empty"),
        ({"query": "x" * 501}, "at most 500"),
        ({"query": "x", "region": "Germany"}, "region is a country"),
        ({"query": "x", "region": "de-de&x=y"}, "region is a country"),
        ({"query": "x", "most": 0}, "1 to 20"),
        ({"query": "x", "most": 21}, "1 to 20"),
        ({"query": "x", "kind": "news", "time": "year"}, "back a month"),
    ],
)
def test_what_cannot_be_searched_for_is_refused_before_anybody_is_asked(given: dict[str, Any], why: str, tmp_path: Path) -> None:
    engine = Nothing()
    with pytest.raises(ToolError, match=why):
        WebSearch(ToolContext(tmp_path), engine).search(**given)

    assert engine.asked == []


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["title", "href", "url", "body", "date", "source"]), st.text() | st.none() | st.integers()
        )
    )
)
def test_any_result_becomes_printable_lines(results: list[dict[str, Any]]) -> None:
    class Says(Nothing):
        def ask(self, question: Question) -> list[dict[str, Any]]:
            return results

    text = done(WebSearch(ToolContext(Path()), Says()).search, "x")

    assert len(text) <= 20_000
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert all(line.startswith(("(", "   ", "DuckDuckGo ")) or re.match(r"\d+\. ", line) for line in text.split("\n"))


def test_an_engine_that_refuses_without_end_is_asked_three_times(tmp_path: Path) -> None:
    class Refuses(Nothing):
        def ask(self, question: Question) -> list[dict[str, Any]]:
            super().ask(question)
            raise SlowDown

    engine = Refuses()
    assert "refused 3 times" in done(WebSearch(ToolContext(tmp_path), engine, Pace(0, (0.0, 0.0)), lambda _: None).search, "x")
    assert len(engine.asked) == 3


# the tool in the house ----------------------------------------------------------------------------------------------------------


def test_it_is_loaded_by_name(workshop: Workshop) -> None:
    assert workshop.load(tools=("web_search",)) == ["web_search.search"]
    assert workshop.call("web_search.search", query="x", kind="images").startswith("error: ")


def test_through_the_gate_nobody_is_asked_before_the_yes(world: World) -> None:
    world.server.answers["/html/"] = found(("Danube", "https://example.org/danube", "A river"))
    seen: list[tuple[int, Asked]] = []

    async def person(question: Asked) -> Answer:
        seen.append((world.server.accepted, question))
        return Answer(("no", "always")[len(seen) - 1])

    tools = bind(world.tool(), "web_search", "built-in", ToolContext(world.folder))
    steps = [*({"calls": [call("web_search.search", query=query)]} for query in ("a", "b", "c")), {"text": "Done."}]
    model = ScriptedModel(script({"steps": steps}), ModelInfo("scripted:test", 32_000))
    approvals = Approvals("run", person, work=world.folder)
    room = Room(Session(model, Toolbox(tools, Redactor({})), approvals, limits=Limits(retries=0)), Desk())
    room.say("go")
    first, second, third = [message.content for message in room.session.history if message.role == "tool"]

    assert [before for before, _ in seen] == [0, 0]
    assert seen[0][1].preview.summary == "Search the web for: a"
    assert seen[1][1].always == "web_search.search for the host html.duckduckgo.com"
    assert "Danube" not in first
    assert "Danube" in second
    assert "Danube" in third
