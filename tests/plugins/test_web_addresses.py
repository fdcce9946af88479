"""No page of web_page is fetched from inside this machine or its network, however its address is written or reached."""

from __future__ import annotations

import ipaddress
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foundry.plugins.api import ToolContext, ToolError
from foundry.plugins.standard_lib.web_address import is_elsewhere, is_of_this_machine, is_public, target_of
from foundry.plugins.standard_lib.web_connection import Limits, Web
from foundry.plugins.standard_lib.web_page import WebPage

from .web_world import LOOPBACK, Site, connections, done, is_loopback, redirect, resolver, response, site

# PORT stands for a listener's at 127.0.0.1; each of them is an inner address, a name of one, or hides one.
SPELLINGS = [
    "http://127.0.0.1:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://0x7f000001:PORT/",
    "http://0x7f.0.0.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://127.0.0.01:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.0.0.001:PORT/",
    "http://127.255.255.254:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://[::1]:PORT/",
    "http://[::]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[2001:0:7f00:1::1]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[fe80::1%lo]:PORT/",
    "http://[::1%251]:PORT/",
    "http://localhost:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://localhost.localdomain:PORT/",
    "http://a.localhost:PORT/",
    "http://ip6-localhost:PORT/",
    "http://１２７.０.０.１:PORT/",
    "http://127。0。0。1:PORT/",
    "http://①②⑦.⓪.⓪.①:PORT/",
    "http://ⓛocalhost:PORT/",
    "http://loc\u00adalhost:PORT/",
    "http://%6c%6f%63%61%6c%68%6f%73%74:PORT/",
    "http://127.0.0.1%2f@example.org:PORT/",
    "http://example.org@127.0.0.1:PORT/",
    "http://example.org:80@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@example.org/",
    "http://example.org\\@127.0.0.1:PORT/",
    "http:\\\\127.0.0.1:PORT\\",
    "http:/127.0.0.1:PORT/",
    "http:127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "http://127.0.\n0.1:PORT/",
    "http://127.0.0.1\t:PORT/",
    "http://127.0.0.1:PORT#@example.org/",
    "http://127.0.0.1:PORT?@example.org/",
    "http://[::1]@example.org:PORT/",
    "http://127.0.0.1 :PORT/",
    "http://127.0.0.1:PORT:80/",
    "http://127.0.0.1:0PORT/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://metadata.google.internal/computeMetadata/v1/",
    "http://100.100.100.200/latest/meta-data/",
    "http://168.63.129.16/machine",
    "http://10.0.0.1/",
    "http://172.16.0.1/",
    "http://192.168.1.1/",
    "http://100.64.0.1/",
    "http://[fc00::1]/",
    "http://[fec0::1]/",
    "http://224.0.0.1/",
    "http://255.255.255.255/",
    "http://192.0.2.1/",
    "http://[ff02::1]/",
    "http://router.lan/",
    "http://printer.local/",
    "http://intranet/",
    "file:///etc/passwd",
    "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/",
    "jar:http://127.0.0.1:PORT/!/",
    "unix:///var/run/docker.sock",
]

# What a public name may resolve to: each is refused, alone and beside a public address.
INNER_ANSWERS = [
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.31.255.255", "192.168.0.10", "169.254.169.254", "100.64.1.1"),
    *("100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.251", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254"),
    *(
        "ff02::1",
        "2002:7f00:1::",
        "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
    ),
    *("64:ff9b:1::a00:1", "2001:db8::1", "100::1", "fec0::1", "5f00::1", "3fff::1"),
]


@pytest.fixture
def inner() -> Iterator[Site]:
    """A page inside that nobody may see."""
    with site({"/": response("<p>The secret of the inner page.</p>")}) as made:
        yield made


def tool(folder: Path, **given: Any) -> WebPage:
    """The tool as an agent has it, but for what is given."""
    return WebPage(ToolContext(folder), Web(Limits(seconds=5), **given))


def test_no_spelling_of_an_inner_address_is_connected_to(inner: Site, tmp_path: Path) -> None:
    said = {}
    asked: list[str] = []

    def resolve(host: str, port: int, **named: Any) -> Any:
        asked.append(host)
        return socket.getaddrinfo(host, port, **named)

    with connections() as made:
        for one in SPELLINGS:
            said[one] = done(tool(tmp_path, resolve=resolve).fetch, one.replace("PORT", str(inner.port)))

    assert len(set(SPELLINGS)) == len(SPELLINGS) == 80
    assert asked == []
    assert [one for one, text in said.items() if not text.startswith("error: ")] == []
    assert (made, inner.accepted) == ([], 0)


def test_the_listener_and_the_count_do_count(inner: Site, tmp_path: Path) -> None:
    open_to_all = tool(tmp_path, resolve=resolver([LOOPBACK]), allowed=is_loopback)
    with connections() as made:
        assert "The secret" in done(open_to_all.fetch, inner.url())

    assert (made, inner.accepted) == ([(LOOPBACK, inner.port)], 1)


@pytest.mark.parametrize("address", INNER_ANSWERS)
def test_a_name_that_resolves_to_an_inner_address_is_not_connected_to(address: str, inner: Site, tmp_path: Path) -> None:
    url = inner.url(host="127-0-0-1.nip.example")
    with connections() as made:
        alone = done(tool(tmp_path, resolve=resolver([address])).fetch, url)
        among = done(tool(tmp_path, resolve=resolver(["93.184.215.14", address])).fetch, url)

    assert "leads inside" in alone
    assert "leads inside" in among
    assert (made, inner.accepted) == ([], 0)


def test_a_plan_refuses_without_asking_the_network(tmp_path: Path) -> None:
    asked = resolver(["93.184.215.14"])
    with pytest.raises(ToolError, match="leads inside"):
        tool(tmp_path, resolve=asked).fetch("http://10.0.0.1/")
    plan = tool(tmp_path, resolve=asked).fetch("http://example.org/")

    assert plan.preview.hosts == ("example.org", "www.example.org")
    assert asked.asked == []  # type: ignore[attr-defined]


def test_an_answer_that_changes_after_the_look_is_not_asked_for_again(inner: Site, tmp_path: Path) -> None:
    """First a good address, ever after the inner one: the connection goes to what was looked at, and the name is asked once."""
    rebinding = resolver(["127.0.0.2"], [LOOPBACK])
    reader = tool(tmp_path, resolve=rebinding, allowed=lambda address: address == "127.0.0.2")
    with connections() as made:
        said = done(reader.fetch, inner.url(host="rebind.example"))

    assert "cannot be reached" in said
    assert {where[0] for where in made} == {"127.0.0.2"}
    assert (len(rebinding.asked), inner.accepted) == (1, 0)  # type: ignore[attr-defined]


def test_each_redirect_is_looked_at_anew(tmp_path: Path) -> None:
    """The same name resolves to the inner address on the second look: the redirect to it ends there."""
    with site({"/": redirect("/two"), "/two": response("<p>never</p>")}) as server:
        rebinding = resolver([LOOPBACK], ["10.0.0.1"])
        reader = tool(tmp_path, resolve=rebinding, allowed=is_loopback)
        with connections() as made:
            said = done(reader.fetch, server.url(host="rebind.example"))

    assert "leads inside" in said
    assert len(made) == 1


def test_no_redirect_leads_to_an_inner_address(tmp_path: Path, inner: Site) -> None:
    """A site on the public network, played by 127.0.0.1 for its one name, sends to each spelling in turn."""
    names = {"site.example": LOOPBACK}
    spellings = [one.replace("PORT", str(inner.port)) for one in SPELLINGS if one.isprintable()]
    pages = {f"/{number}": redirect(one) for number, one in enumerate(spellings)}

    def resolve(host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "no such host")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (names[host], port))]

    with site({one: raw for one, raw in pages.items()}) as server:
        reader = tool(tmp_path, resolve=resolve, allowed=is_loopback)
        with connections() as made:
            said = [done(reader.fetch, server.url(path)) for path in pages]

    assert [one for one in said if not one.startswith("error: ")] == []
    assert [where for where in made if where != (LOOPBACK, server.port)] == []
    assert inner.accepted == 0
    assert server.accepted == len(pages)


def test_the_next_address_is_taken_when_the_first_is_dead(inner: Site, tmp_path: Path) -> None:
    reader = tool(tmp_path, resolve=resolver(["127.0.0.2", LOOPBACK]), allowed=lambda address: address in {"127.0.0.2", LOOPBACK})

    assert "The secret" in done(reader.fetch, inner.url())


def test_a_name_without_an_answer_is_said(tmp_path: Path) -> None:
    def unknown(host: str, port: int, **_: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    def silent(host: str, port: int, **_: Any) -> Any:
        time.sleep(1)
        return []

    assert done(tool(tmp_path, resolve=unknown).fetch, "https://nowhere.example/") == (
        "error: The name nowhere.example cannot be resolved: there is no such host, or this machine is offline."
    )
    assert done(tool(tmp_path, resolve=resolver([])).fetch, "https://nowhere.example/").endswith("has no address.")
    hasty = WebPage(ToolContext(tmp_path), Web(Limits(connect=0.2), silent))
    assert "was not resolved within" in done(hasty.fetch, "https://slow.example/")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(
            ("8.8.8.8", True),
            ("93.184.215.14", True),
            ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", True),
            ("not an address", False),
        ),
        *(("64:ff9b::808:808", True), ("::ffff:8.8.8.8", False), ("2002:808:808::1", False), ("1.1.1.1", True), ("", False)),
    ],
)
def test_what_counts_as_public(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_an_own_address_is_not_elsewhere_even_if_it_is_public() -> None:
    assert is_elsewhere("8.8.8.8")
    assert not is_elsewhere("8.8.8.8", own=lambda address: address == "8.8.8.8")
    assert (is_of_this_machine(LOOPBACK), is_of_this_machine("8.8.8.8")) == (True, False)


@given(st.integers(0, 2**32 - 1))
def test_every_v4_address_that_python_calls_inner_is_refused(number: int) -> None:
    address = ipaddress.IPv4Address(number)
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not is_public(str(address))
        assert not is_public(f"::ffff:{address}")
        assert not is_public(str(ipaddress.IPv6Address((0x64FF9B << 96) + number)))


@given(st.integers(0, 2**128 - 1) | st.integers(0, 2**64), st.sampled_from([0, 0xFE80 << 112, 0xFC00 << 112, 0x2002 << 112]))
def test_every_v6_address_that_python_calls_inner_is_refused(number: int, start: int) -> None:
    address = ipaddress.IPv6Address(number | start)
    if not address.is_global or address.is_multicast or address.sixtofour or address.teredo or address.ipv4_mapped:
        assert not is_public(str(address))


@given(st.text(max_size=60) | st.from_regex(r"https?://[\w.:@\[\]%\\/?#-]{0,40}", fullmatch=True))
def test_any_text_is_a_plain_target_or_refused(text: str) -> None:
    try:
        found = target_of(text)
    except ToolError:
        return
    assert found.url.isascii()
    assert target_of(found.url) == found
    assert not set(found.host) & set("@%\\/?# ")
    assert found.is_address == (found.host.replace(".", "").isdigit() or ":" in found.host)


@pytest.mark.parametrize(
    ("url", "means"),
    [
        ("HTTP://Example.ORG", "http://example.org/"),
        ("https://example.org:443/a?b=c#d", "https://example.org/a?b=c"),
        ("http://example.org:8080?x", "http://example.org:8080/?x"),
        ("https://bücher.example/größe?q=ä%20b", "https://xn--bcher-kva.example/gr%C3%B6%C3%9Fe?q=%C3%A4%20b"),
        ("https://example.org./", "https://example.org/"),
        ("https://[2606:2800:021f::1]/", "https://[2606:2800:21f::1]/"),
        (" https://example.org/ ", "https://example.org/"),
        ("https://ＥＸＡＭＰＬＥ.org/", "https://example.org/"),
    ],
)
def test_what_a_url_means(url: str, means: str) -> None:
    assert target_of(url).url == means


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://straße.example/", "read in two ways"),
        ("https://example.org:22/", "Port 22"),
        ("https://example.org:99999/", "Port 99999"),
        ("https://[2606:2800:21f::1%25eth0]/", "no address that can be fetched"),
        ("https://example.org\\.other.example/", "U\\+005C"),
        ("https://example.org/a\\b", "U\\+005C"),
        ("https://example.org/a b", "U\\+0020"),
        ("https://example.org/\u202egnp.exe", "U\\+202E"),
        ("https://" + "a" * 2000, "longer than 2000"),
        ("https://user:pass@example.org/", "user name"),
        ("javascript:alert(1)", "begin with http"),
        ("https://exa_mple/", "no public host"),
        ("https://-a.example/", "no public host"),
        ("https://a..example/", "no host's name"),
    ],
)
def test_why_a_url_is_refused(url: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        target_of(url)
