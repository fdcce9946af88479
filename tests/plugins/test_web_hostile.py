"""Pages and servers that mean harm: each ends within web_page's limits, in clear words, and nothing of it acts."""

from __future__ import annotations

import contextlib
import gzip
import re
import socket
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from .web_world import Says, certificates, done, page, redirect, response, site

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
SIZE = 100_000


def endless(start: bytes, piece: bytes, pause: float = 0.0) -> Says:
    """A server that says the same for ever, until nobody listens."""

    def say(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            connection.sendall(piece)
            time.sleep(pause)

    return say


def silent(start: bytes) -> Says:
    """A server that says this, then nothing more, until nobody listens."""

    def say(connection: socket.socket, _: bytes) -> None:
        connection.sendall(start)
        connection.recv(1)

    return say


@contextlib.contextmanager
def within(most: float) -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < most


# servers ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("says", "why"),
    [
        pytest.param(endless(PLAIN + b"X: ", b"x", 0.1), "was not finished within 2 s", id="a header by letters"),
        pytest.param(endless(PLAIN + b"\r\n", b"x", 0.1), "was not finished within 2 s", id="a body by letters"),
        pytest.param(endless(CHUNKED, b"1\r\nx\r\n", 0.1), "was not finished within 2 s", id="small chunks"),
        pytest.param(silent(b""), "did not answer in time", id="silence"),
        pytest.param(silent(PLAIN + b"Content-Length: 1000\r\n\r\nx"), "did not answer in time", id="a body that stops"),
        pytest.param(endless(b"HTTP/1.1 ", b"200 ", 0.1), "was not finished within 2 s", id="a status without end"),
    ],
)
def test_a_slow_server_is_left(says: Says, why: str, tmp_path: Path) -> None:
    with site({"/": says}) as server, within(4):
        text = done(page(tmp_path, seconds=2, read=1).fetch, server.url())

    assert text.startswith("error: site.example:")
    assert why in text


def test_a_handshake_that_never_ends_is_left(tmp_path: Path) -> None:
    with site({}) as server, within(4):  # it speaks no TLS: it waits for the end of what it takes for a request
        text = done(page(tmp_path, seconds=2, read=1).fetch, server.url().replace("http:", "https:"))

    assert "did not answer in time" in text


@pytest.mark.parametrize(
    ("says", "why"),
    [
        pytest.param(endless(PLAIN, b"X: " + b"y" * 1000 + b"\r\n"), "did not answer as HTTP has it", id="headers"),
        pytest.param(endless(PLAIN + b"X: ", b"y" * 1000), "did not answer as HTTP has it", id="one header"),
        pytest.param(endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" * 100), "sent more than", id="early hints"),
        pytest.param(endless(b"", b"x" * 1000), "did not answer as HTTP has it", id="noise"),
        pytest.param(endless(CHUNKED, (b"1;" + b"x" * 900 + b"\r\na\r\n") * 20), "first", id="chunks with long extensions"),
        pytest.param(endless(CHUNKED, b"f" * 1000), "did not answer as HTTP has it", id="a chunk of any length"),
        pytest.param(endless(CHUNKED, b"1\r\na\r\n" * 100), "only its first", id="chunks of one letter"),
        pytest.param(endless(CHUNKED, b"ffff\r\n" + b"a" * 65535 + b"\r\n"), "only its first 100,000 bytes", id="a body"),
        pytest.param(endless(PLAIN + b"\r\n", b"a" * 1000), "only its first 100,000 bytes", id="a body without length"),
    ],
)
def test_a_flood_is_cut(says: Says, why: str, tmp_path: Path) -> None:
    with site({"/": says}) as server, within(25):
        text = done(page(tmp_path, size=SIZE).fetch, server.url())

    assert why in text
    assert len(text) < 20_000


def gzipped(raw: bytes) -> bytes:
    return gzip.compress(raw, 9, mtime=0)  # tests are named after it, in each process alike


def bomb(size: int, coding: str) -> bytes:
    raw = b"a" * size
    if coding == "gzip":
        return gzipped(raw)
    pack = zlib.compressobj(9, zlib.DEFLATED, 15 if coding == "deflate" else -15)
    return pack.compress(raw) + pack.flush()


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
def test_a_bomb_is_unpacked_to_the_limit_only(coding: str, tmp_path: Path) -> None:
    """100 MB in 100 kB."""
    said = response(bomb(100_000_000, coding), content_type="text/plain", content_encoding=coding.split()[-1])
    with site({"/": said}) as server, within(10):
        tracemalloc.start()
        text = done(page(tmp_path).fetch, server.url())
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert "(only its first 5,000,000 bytes were read)" in text
    assert most < 50_000_000


@pytest.mark.parametrize(
    ("body", "coding", "said"),
    [
        (gzipped(b"packed"), "gzip", "packed"),
        (gzipped(b"in ") + gzipped(b"two"), "x-gzip", "in two"),
        (gzipped(b"padded") + b"\0\0\0", "gzip", "padded"),
        (bomb(5, "deflate"), "deflate", "aaaaa"),
        (bomb(5, "raw deflate"), "deflate", "aaaaa"),
        (gzipped(b"half of it, cut off")[:-9], "gzip", "half of it"),
        (
            gzipped(gzipped(b"a" * 100_000)),
            "gzip, gzip",
            "error: The page is packed with 'gzip, gzip', which was not",
        ),
        (b"x" * 100, "br", "error: The page is packed with 'br', which was not asked for"),
        (b"x" * 100, "zstd", "error: The page is packed with 'zstd', which was not asked for"),
        (b"not packed", "gzip", "error: The page is packed with gzip and damaged"),
    ],
)
def test_packings(body: bytes, coding: str, said: str, tmp_path: Path) -> None:
    with site({"/": response(body, content_type="text/plain", content_encoding=coding)}) as server:
        text = done(page(tmp_path).fetch, server.url())

    assert (text if said.startswith("error: ") else text.partition("\n\n")[2]).startswith(said)


@pytest.mark.parametrize(
    ("pages", "why", "asked"),
    [
        ({"/": redirect("/")}, "redirects in a circle", 1),
        ({"/": redirect("/a"), "/a": redirect("/b"), "/b": redirect("/")}, "redirects in a circle", 3),
        ({"/" if n == 0 else f"/{n}": redirect(f"/{n + 1}") for n in range(50)}, "redirects more than 5 times", 6),
        ({"/": redirect("http://10.0.0.1/admin")}, "redirects to what is not fetched: 10.0.0.1 leads inside", 1),
        ({"/": redirect("http://[::1/")}, "redirects to what is not fetched", 1),
        ({"/": redirect("javascript:alert(1)")}, "redirects to what is not fetched", 1),
        ({"/": redirect("data:text/html,x")}, "redirects to what is not fetched", 1),
        ({"/": redirect("file:///etc/passwd")}, "redirects to what is not fetched", 1),
        ({"/": redirect("https://evil.example/" + "x" * 1900)}, "…", 1),
        ({"/": redirect("https://evil.example/\u202etxt.exe")}, "redirects to what is not fetched", 1),
        ({"/": redirect("https://good.example@evil.example/")}, "redirects to what is not fetched", 1),
    ],
)
def test_redirects_that_lead_nowhere(pages: dict[str, bytes | Says], why: str, asked: int, tmp_path: Path) -> None:
    with site(pages) as server:
        text = done(page(tmp_path).fetch, server.url())

        assert (server.accepted, why in text) == (asked, True), text
    assert len(text) < 1000
    assert text.replace("\n", "").isprintable()


# pages --------------------------------------------------------------------------------------------------------------------------

WORDS = "These are words that a person can read, and there are enough of them to make a paragraph of the text. "


def test_what_no_reader_sees_is_not_shown_to_the_model(tmp_path: Path) -> None:
    hidden = [
        "<div hidden>SECRET</div>",
        "<p style='DISPLAY : none'>SECRET</p>",
        '<span style="color:red;visibility:hidden">SECRET</span>',
        "<p style='font-size:0px'>SECRET</p>",
        "<p style='opacity:0'>SECRET</p>",
        "<p aria-hidden=true>SECRET</p>",
        "<!-- SECRET -->",
        "<script>SECRET</script>",
        "<style>SECRET</style>",
        "<template><p>SECRET</p></template>",
        "<noscript>SECRET</noscript>",
        "<p>ok" + "".join(chr(0xE0000 + ord(one)) for one in "SECRET") + "</p>",
    ]
    body = "".join(f"<p>{WORDS}</p>{one}" for one in hidden)
    with site(
        {"/": response(f"<html><body><article>{body}</article></body></html>"), "/plain": response("".join(hidden))}
    ) as server:
        for path in ("/", "/plain"):
            text = done(page(tmp_path).fetch, server.url(path))

            assert "SECRET" not in text
            assert not re.search("[\U000e0000-\U000e0fff]", text)
            assert "ok" in text


@pytest.mark.parametrize("kind", ["text/html", "text/plain", "application/json"])
def test_nothing_acts_on_the_terminal(kind: str, tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]52;c;eA==\x07 a\x9bb \u202e\u2066 \u200bz\ufeff \x00 \x7f\r\n b\x0bc\u2028d &#27;[31m &#x9b;x &#8238;"
    with site({"/": response(f"<p>{WORDS}{evil}</p>", content_type=f"{kind}; charset=utf-8")}) as server:
        text = done(page(tmp_path).fetch, server.url())

    if kind == "text/html":
        assert "words that a person" in text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u2028\u202e\u2066\ufeff]", text)


def test_links_lead_to_the_web_only(tmp_path: Path) -> None:
    bad = (
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "vbscript:x",
        "JaVaScRiPt:x",
        " javascript:x",
        "java\nscript:x",
    )
    body = "".join(f'<p>{WORDS}<a href="{one}">this</a> <img src="http://a.example/?stolen" alt="see"></p>' for one in bad)
    for start in ("<article>", "<form>"):
        with site({"/": response(f"<html><body>{start}{body}</body></html>")}) as server:
            text = done(page(tmp_path).fetch, server.url())

        assert "this" in text
        assert not re.search(r"(?i)\]\(\s*(?!https?://|mailto:)", text)
        assert "stolen" not in text


N = 4_900_000
PARSED: dict[str, str] = {
    "200,000 deep": "<div>" * 200_000 + "the end",
    "100,000 tables deep": "<table><tr><td>" * 100_000 + "the end",
    "1,200,000 paragraphs": "<p>x" * 1_200_000,
    "1,000,000 bold": "<b>" * 1_000_000 + "x",
    "300,000 attributes": "<p " + " ".join(f"a{number}=1" for number in range(300_000)) + ">text</p>",
    "only <": "<" * N,
    "only comments": "<!--" * (N // 4),
    "only CDATA": "<![CDATA[" * 500_000,
    "only references": "&#x41;" * (N // 6),
    "only links": "<p><a href='/x'>y</a>" * 200_000,
    "open links": "<a href=x>" * 400_000,
    "only brackets": "<p>" + "[a](" * (N // 4) + "</p>",
    "a title": "<title>" + "x" * N,
    "one word": "<p>" + "a" * N,
    "a style": "<p style='" + "display:" * 500_000 + "'>x</p>",
    "entities": '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><html><body><p>&b;&b;</p></body></html>',
    "an article": "<html><body><article>" + f"<p>{WORDS}</p>" * 40_000 + "</article></body></html>",
}


AT_EACH_TEST = {"200,000 deep", "1,000,000 bold", "only <", "an article"}


@pytest.mark.slow
@pytest.mark.parametrize("what", [pytest.param(one, marks=() if one in AT_EACH_TEST else pytest.mark.prove) for one in PARSED])
def test_a_page_made_to_hang_a_parser_only_costs_its_time(what: str, tmp_path: Path) -> None:
    with site({"/": response(PARSED[what])}) as server, within(12):
        text = done(page(tmp_path, parsing=2).fetch, server.url())

    assert len(text) <= 20_000
    assert text.startswith(("http://site.example", "error: The page"))


@pytest.mark.slow
def test_a_page_that_no_parser_can_finish_is_said(tmp_path: Path) -> None:
    with site({"/": response("<!--" * (N // 4))}) as server, within(8):
        text = done(page(tmp_path, parsing=1).fetch, server.url())

    assert text.endswith("is made so that it cannot be read within 1 s.")


def test_a_packed_page_over_tls_is_held_to_the_same_limits(tmp_path: Path) -> None:
    made = certificates(tmp_path, "site.example")
    said = response(bomb(50_000_000, "gzip"), content_type="text/plain", content_encoding="gzip")
    with site({"/": said}, made.server()) as server:
        text = done(page(tmp_path, trust=made.client(), size=SIZE).fetch, server.url())

    assert "(only its first 100,000 bytes were read)" in text
