"""A proxy on loopback that plays DuckDuckGo's hosts, so that ddgs asks and reads as it does in earnest."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from foundry.plugins.api import ToolContext
from foundry.plugins.standard_lib.web_duckduckgo import DuckDuckGo
from foundry.plugins.standard_lib.web_search import Pace, WebSearch

from .web_world import Certificates, Says, Site, response

RESULT = """<div class="result results_links results_links_deep web-result"><div class="links_main links_deep result__body">
<h2 class="result__title"><a rel="nofollow" class="result__a" href="{href}">{title}</a></h2>
<div class="result__extras"><div class="result__extras__url"><a class="result__url" href="{href}"> example.org </a></div></div>
<a class="result__snippet" href="{href}">{snippet}</a></div></div>"""


def found(*results: tuple[str, str, str]) -> bytes:
    """DuckDuckGo's page without scripts, with these results: title, URL, snippet, the last as HTML."""
    body = "".join(RESULT.format(title=escape(title), href=escape(url), snippet=snippet) for title, url, snippet in results)
    return response(f'<html><body><div id="links" class="results">{body}</div></body></html>')


def news(*results: dict[str, Any]) -> bytes:
    return response(json.dumps({"results": list(results)}), content_type="application/x-javascript")


class DuckDuckGosHosts(Site):
    """A proxy that lets nobody out: it plays every host it is asked for, with a certificate of the test's authority."""

    def __init__(self, made: Certificates) -> None:
        self._inside = made.server()
        self.answers: dict[str, bytes | Says | list[bytes]] = {}
        self.hosts: list[str] = []
        self.times: list[float] = []
        super().__init__({})

    def answer(self, connection: socket.socket) -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            asked += (more := connection.recv(65536))
            if not more:
                return
        self.hosts.append(asked.split(b" ")[1].decode())
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with self._inside.wrap_socket(connection, server_side=True) as inside:
            self._one(inside)

    def _one(self, inside: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += (more := inside.recv(65536))
            if not more:
                return
        self.times.append(time.monotonic())
        self.asked.append(request.decode())
        path = request.split(b" ")[1].decode().partition("?")[0]
        said = self.answers.get(path, response(status="404 Not Found"))
        if isinstance(said, list):
            said = said.pop(0) if len(said) > 1 else said[0]
        if callable(said):
            said(inside, request)
        else:
            inside.sendall(said.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))


@dataclass
class World:
    """A tool that searches by ddgs through the hosts above; `slept` is how long it waited, `said` what it told the person."""

    server: DuckDuckGosHosts
    engine: DuckDuckGo
    folder: Path
    slept: list[float] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def tool(self, limit: int = 20_000) -> WebSearch:
        context = ToolContext(self.folder, limit=limit, emit=self.said.append)
        return WebSearch(context, self.engine, Pace(between=0.0), self.slept.append)

    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.server.asked[-1].partition("\r\n\r\n")[2], keep_blank_values=True)

    def query(self) -> dict[str, list[str]]:
        return parse_qs(self.server.asked[-1].split(" ")[1].partition("?")[2], keep_blank_values=True)
