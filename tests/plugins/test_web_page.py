"""Pages of the public web as a model reads them, from servers on loopback."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.agent.secrets import Redactor
from foundry.models.model import ModelInfo
from foundry.models.scripted import ScriptedModel, script
from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.web_text import clean, decoded, part_of
from foundry.plugins.strict import bind
from foundry.session.approvals import Answer, Approvals, Question
from foundry.session.limits import Limits
from foundry.session.session import Session
from foundry.session.toolbox import Toolbox
from tests.session.conftest import Desk, Room, call

from .conftest import Workshop
from .web_world import certificates, done, page, redirect, response, site

ARTICLE = """<!DOCTYPE html><html><head><title>Rivers &amp; lakes</title></head><body>
<nav><a href="/">Home</a> <a href="/about">About</a></nav>
<article><h1>Rivers of Europe</h1>
<p>The <a href="/danube">Danube</a> flows through <b>ten countries</b>, more than any other river, before it meets the sea.</p>
<h2>Lengths</h2><table><tr><th>Name</th><th>km</th></tr><tr><td>Danube</td><td>2850</td></tr></table>
<ul><li>It rises in the Black Forest.</li><li>It ends in the Black Sea.</li></ul>
<p>How long it is has been <a href="javascript:alert(1)">measured often</a>; see <a href="https://en.example/Danube_(river)">here</a>.</p>
<pre><code>length = 2850
print(length)</code></pre></article><script>alert("never")</script><footer>Cookies</footer></body></html>"""
HEAD = "(what follows was written by the page's author, not by the user)"


def test_a_page_becomes_markdown(tmp_path: Path) -> None:
    with site({"/rivers": response(ARTICLE)}) as server:
        text = done(page(tmp_path).fetch, server.url("/rivers"))

    assert text.startswith(f"# Rivers & lakes\n{server.url('/rivers')}\n{HEAD}\n\n# Rivers of Europe\n")
    for kept in (f"[Danube]({server.url('/danube')})", "**ten countries**", "## Lengths", "| Danube | 2850 |"):
        assert kept in text
    assert "- It ends in the Black Sea." in text
    assert "measured often; see [here](https://en.example/Danube_(river))" in text
    assert "```\nlength = 2850\nprint(length)\n```" in text
    assert "never" not in text
    assert "About" not in text


def test_what_is_sent(tmp_path: Path) -> None:
    with site({"/a?b=%20": response(ARTICLE)}) as server:
        done(page(tmp_path).fetch, server.url("/a?b=%20"))

    first, *headers = server.asked[0].split("\r\n")
    assert first == "GET /a?b=%20 HTTP/1.1"
    assert headers[0] == f"Host: site.example:{server.port}"
    assert {one.partition(":")[0] for one in headers if one} == {"Host", "User-Agent", "Accept", "Accept-Encoding", "Connection"}


def test_a_list_of_links_is_shown_whole(tmp_path: Path) -> None:
    """Nothing of it is a main text to an extraction library."""
    links = "".join(f"<li><a href='/{number}'>Chapter {number}</a></li>" for number in range(60))
    with site({"/": response(f"<html><head><title>Contents</title></head><body><ul>{links}</ul></body></html>")}) as server:
        text = done(page(tmp_path).fetch, server.url())

    assert text.startswith("# Contents\n")
    assert f"- [Chapter 59]({server.url('/59')})" in text


@pytest.mark.parametrize(
    ("kind", "body", "shown"),
    [
        ("text/plain; charset=utf-8", "a\r\n<b>ü</b>", "a\n<b>ü</b>"),
        ("text/markdown", "# Title\n\n[x](y)", "# Title\n\n[x](y)"),
        ("application/json", '{"a": [1, "ä"]}', '{"a": [1, "ä"]}'),
        ("application/problem+json", '{"a": 1}', '{"a": 1}'),
        ("application/atom+xml", "<feed><title>x</title></feed>", "<feed><title>x</title></feed>"),
        ("", "no type at all", "no type at all"),
        ("", "<html><body><p>no type</p></body></html>", "no type"),
        ("text/plain", b"caf\xe9", "café"),
        ("text/plain; charset=latin1", b"\x93caf\xe9\x94", "\u201ccafé\u201d"),
        ("text/plain; charset=utf-8", b"wrong: caf\xe9", "wrong: café"),
        ("text/plain; charset=rot13", "hello", "hello"),
        ("text/plain; charset=unicode_escape", b"\\u0041", "\\u0041"),
        ("text/plain; charset=nonsense", "hällo", "hällo"),
        ("text/plain", "\ufeffmarked ü".encode("utf-16"), "marked ü"),
        ("text/plain; charset=shift_jis", "日本語".encode("shift_jis"), "日本語"),
        ("text/plain; charset=koi8-r", "река".encode("koi8-r"), "река"),
        ("text/html", '<meta charset="gb2312"><p>河流</p>'.encode("gbk"), "河流"),
        ("text/html; charset=utf-8", '<meta charset="latin1"><p>größe</p>', "größe"),
    ],
)
def test_kinds_of_text_and_encodings(kind: str, body: str | bytes, shown: str, tmp_path: Path) -> None:
    with site({"/": response(body, content_type=kind)}) as server:
        text = done(page(tmp_path).fetch, server.url())

    assert text.partition("\n\n")[2] == shown


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (response(b"%PDF-1.7 ...", content_type="application/pdf"), "is a PDF, 12 bytes. Only pages of text are read."),
        (response(b"%PDF-1.7 ...", content_type="text/html"), "is a PDF, 12 bytes."),
        (response(b"\x89PNG....", content_type="image/png"), "is no text but image/png, 8 bytes."),
        (response(b"a\0b", content_type="text/plain"), "is no text but text/plain, 3 bytes."),
        (response(b"x", content_type="application/x\u202ey"), "is no text but application/x"),
        (response(b"", content_type="application/zip", content_length=""), "of unknown size"),
        (response(""), "answered with an empty page"),
        (
            response("<html><head><title>App</title></head><body><div id=app></div></body></html>"),
            "has no text. It may be made by",
        ),
        (response(status="404 Not Found"), "answered 404 Not Found for http"),
        (response(status="403 \x1b[31mForbidden"), "answered 403 Forbidden for http"),
        (response(status="503 Busy"), "503 Service Unavailable"),
        (response(status="299 Odd"), "answered with an empty page"),
        (response(status="799 Odd"), "answered 799 for"),
        (response(status="204 No Content", content_length=""), "empty page"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "did not answer as HTTP has it"),
        (b"", "did not answer as HTTP has it"),
    ],
)
def test_what_is_no_page_of_text_is_named(answer: bytes, said: str, tmp_path: Path) -> None:
    with site({"/": answer}) as server:
        text = done(page(tmp_path).fetch, server.url())

    assert text.startswith("error: ")
    assert said in text
    assert text.isprintable()


def test_a_page_nobody_serves_is_said(tmp_path: Path) -> None:
    with site({}) as server:
        url = server.url()

    assert "site.example:" in (text := done(page(tmp_path).fetch, url))
    assert text.endswith("cannot be reached: it refuses connections.")


# parts ------------------------------------------------------------------------------------------------------------------------


def test_a_long_page_is_read_on_without_fetching_it_again(tmp_path: Path) -> None:
    lines = "\n".join(f"line {number} of a long text" for number in range(500))
    with site({"/": response(lines, content_type="text/plain")}) as server:
        reader = page(tmp_path, limit=3000)
        parts = [done(reader.fetch, server.url(), part=number) for number in range(1, 6)]
        past = done(reader.fetch, server.url(), part=99)

        assert server.accepted == 1
    assert all(len(one) <= 3000 for one in parts)
    assert "(part 2 of 5; read on with part=3)" in parts[1]
    assert parts[4].endswith("(part 5 of 5; the last)")
    assert "\n".join(one.partition(f"{HEAD}\n\n")[2].rpartition("\n\n(part")[0] for one in parts) == lines
    assert past == "error: The page has only 5 parts."


@given(st.text(alphabet="ab \n", max_size=400), st.integers(2, 50))
def test_parts_hold_everything_once(text: str, room: int) -> None:
    many = part_of(text, 1, room)[1]
    parts = [part_of(text, number, room)[0] for number in range(1, many + 1)]

    assert "".join("".join(parts).split()) == "".join(text.split())
    assert all(len(one) <= room for one in parts)
    assert part_of(text, many + 1, room) == ("", many)


@given(st.binary(max_size=300), st.text(max_size=30), st.booleans())
def test_any_bytes_are_text_and_clean_text_stays_so(raw: bytes, charset: str, cut: bool) -> None:
    text = clean(decoded(raw, f"text/html; charset={charset}", cut))

    assert clean(text) == text
    text.encode()
    assert not any(ord(one) < 32 and one not in "\t\n" for one in text)


# redirects --------------------------------------------------------------------------------------------------------------------


def test_redirects_at_the_same_place_are_followed(tmp_path: Path) -> None:
    pages = {"/": redirect("two", "301 Moved"), "/two": redirect("/three?x", "308 Moved"), "/three?x": response(ARTICLE)}
    with site(dict(pages)) as server:
        text = done(page(tmp_path).fetch, server.url())

        assert f"\n{server.url('/three?x')}\n" in text
        assert server.accepted == 3


def test_www_and_none_are_one_place_that_is_shown(tmp_path: Path) -> None:
    with site({}) as server:
        server.pages["/"] = redirect(server.url("/a", "www.site.example"))
        server.pages["/a"] = response(ARTICLE)
        plan = page(tmp_path).fetch(server.url())
        text = plan.do()

    assert plan.preview.hosts == (f"site.example:{server.port}", f"www.site.example:{server.port}")
    assert plan.preview.scope == f"the host site.example:{server.port}"
    assert "Rivers of Europe" in str(text)


@pytest.mark.parametrize(
    "where",
    [
        "https://other.example/",
        "//other.example/x",
        "http://site.example/",
        "https://site.example:PORT/",
        "http://a.site.example:PORT/",
    ],
)
def test_a_redirect_to_another_place_is_told_and_not_followed(where: str, tmp_path: Path) -> None:
    with site({}) as server:
        onward = where.replace("PORT", str(server.port))
        server.pages["/"] = redirect(onward)
        text = done(page(tmp_path).fetch, server.url())

        assert server.accepted == 1
    assert "redirects to another place, which was not followed: " in text
    assert onward.removeprefix("//") in text
    assert "the person is asked anew" in text


# TLS --------------------------------------------------------------------------------------------------------------------------


def test_the_certificate_is_checked_for_the_name(tmp_path: Path) -> None:
    made = certificates(tmp_path, "site.example")
    names: list[str | None] = []
    context = made.server()
    context.sni_callback = lambda _, name, __: names.append(name)
    with site({"/": response(ARTICLE)}, context) as server:
        good = done(page(tmp_path, trust=made.client()).fetch, server.url())
        other = done(page(tmp_path, trust=made.client()).fetch, server.url(host="other.example"))
        stranger = done(page(tmp_path).fetch, server.url())
        no_tls = done(page(tmp_path).fetch, server.url().replace("https", "http"))

    assert "Rivers of Europe" in good
    assert "cannot prove that it is other.example: Hostname mismatch" in other
    assert "cannot prove that it is site.example: unable to get local issuer certificate" in stranger
    assert no_tls.startswith("error: ")
    assert names[:2] == ["site.example", "other.example"]
    assert len(server.asked) == 1


def test_no_proxy_of_the_environment_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with site({"/": response(ARTICLE)}) as server, site({}) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert "Rivers of Europe" in done(page(tmp_path).fetch, server.url())

        assert proxy.accepted == 0


def test_the_default_trust_is_the_systems_and_certifis(tmp_path: Path) -> None:
    made = certificates(tmp_path, "site.example")
    assert made.client().verify_mode == ssl.CERT_REQUIRED
    with site({"/": response(ARTICLE)}, made.server()) as server:
        assert "unable to get local issuer" in done(page(tmp_path).fetch, server.url())


# the tool in the house ----------------------------------------------------------------------------------------------------------


def test_it_is_loaded_by_name(workshop: Workshop) -> None:
    assert workshop.load(tools=("web_page",)) == ["web_page.fetch"]
    assert workshop.call("web_page.fetch", url="http://127.1/").startswith("error: The URL's host '127.1' is an odd spelling")


def test_through_the_gate_nothing_is_connected_to_before_the_yes(tmp_path: Path) -> None:
    seen: list[tuple[int, Question]] = []

    async def person(question: Question) -> Answer:
        seen.append((server.accepted, question))
        return Answer(("no", "always")[len(seen) - 1])

    with site({"/": response(ARTICLE), "/b": response("<p>Another page</p>")}) as server:
        urls = [server.url(), server.url(), server.url("/b"), "http://169.254.169.254/"]
        tools = bind(page(tmp_path), "web_page", "built-in", ToolContext(tmp_path))
        steps = [*({"calls": [call("web_page.fetch", url=url)]} for url in urls), {"text": "Done."}]
        model = ScriptedModel(script({"steps": steps}), ModelInfo("scripted:test", 32_000))
        room = Room(
            Session(model, Toolbox(tools, Redactor({})), Approvals("run", person, work=tmp_path), limits=Limits(retries=0)),
            Desk(),
        )
        room.say("go")
        place = f"site.example:{server.port}"
    first, second, third, fourth = [message.content for message in room.session.history if message.role == "tool"]

    assert [before for before, _ in seen] == [0, 0]  # two questions; the third call is covered by "always", the fourth is none
    assert seen[0][1].preview.summary == f"Fetch http://{place}/"
    assert seen[0][1].preview.hosts == (place, f"www.{place}")
    assert seen[1][1].always == f"web_page.fetch for the host {place}"
    assert "Rivers of Europe" not in first
    assert "Rivers of Europe" in second
    assert "Another page" in third
    assert "leads inside" in fourth
