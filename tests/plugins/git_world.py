"""Repositories and remotes as tests of git make them: on the disk, and over loopback HTTP behind a token."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from foundry.plugins.api import Plan, Preview, ToolContext, ToolError, Variables
from foundry.plugins.standard_lib.git import Git
from foundry.plugins.standard_lib.git_changes import Limits
from foundry.plugins.strict import BoundTool, bind
from tests.plugins.given import Given

TOKEN = "ghp_Kx7v9QmT2bLzR4nW8dYs"
_PLAIN = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    **{
        f"GIT_{who}_{what}": f"Setup{mail}"
        for who in ("AUTHOR", "COMMITTER")
        for what, mail in (("NAME", ""), ("EMAIL", "@x.org"))
    },
}


def git(folder: Path, *arguments: str, **more: str) -> str:
    """Run git as a person who prepares the world."""
    ended = subprocess.run(["git", *arguments], cwd=folder, env={**_PLAIN, **more}, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.strip()


def repository(folder: Path, **files: str) -> Path:
    """Make a repository with one commit, on main."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, **(files or {"a.txt": "one\n"}))
    return folder


def commit(folder: Path, message: str = "first", **files: str) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A", "-f")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


def bare(folder: Path, of: Path) -> Path:
    git(of, "clone", "-q", "--bare", str(of), str(folder))
    return folder


AUTHOR = {"GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org"}


@dataclass
class Tools:
    """The git tools of a working folder; `previews` are what was shown, one a planned call."""

    folder: Path
    variables: Variables = field(default_factory=lambda: Given(**AUTHOR))
    limit: int = 20_000
    closed: tuple[Path, ...] = ()
    limits: Limits | None = None

    def __post_init__(self) -> None:
        context = ToolContext(self.folder, limit=self.limit, variables=self.variables, closed=self.closed)
        self.previews: list[Preview] = []
        self.tools: dict[str, BoundTool] = {
            one.spec.id.partition(".")[2]: one for one in bind(Git(context, self.limits), "git", "built-in", context)
        }

    def plan(self, tool: str, **arguments: Any) -> Plan:
        planning = self.tools[tool].plan
        assert planning
        plan = asyncio.run(_awaited(planning, arguments))
        assert isinstance(plan, Plan)
        self.previews.append(plan.preview)
        return plan

    def call(self, tool: str, **arguments: Any) -> str:
        """Call a tool as after a yes, and return its result; an error's text with "error: " before it."""
        bound = self.tools[tool]
        try:
            return str(asyncio.run(_awaited(bound.call, arguments, *([self.plan(tool, **arguments)] if bound.plan else []))))
        except ToolError as error:
            return f"error: {error}"


async def _awaited(call: Any, *arguments: Any) -> Any:
    return await call(*arguments)


class _Server(ThreadingHTTPServer):
    root: Path
    token: str
    user: str = "x-access-token"
    seen: list[tuple[str, str]]
    redirect: str = ""
    on_request: Any = None
    status: int = 0


class _Handler(BaseHTTPRequestHandler):
    """Git's own http-backend behind Basic authentication."""

    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().strip() or b"0", 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._serve(body)

    def _serve(self, body: bytes) -> None:
        server, path = self.server, self.path
        given = self.headers.get("Authorization", "")
        server.seen.append((f"{self.command} {path}", given))
        if server.on_request:
            server.on_request(self)
        wanted = "Basic " + base64.b64encode(f"{server.user}:{server.token}".encode()).decode()
        if server.redirect:
            self._answer(301, {"Location": server.redirect + path}, b"")
        elif server.status:
            self._answer(server.status, {}, b"")
        elif server.token and given != wanted:
            self._answer(401, {"WWW-Authenticate": 'Basic realm="git"'}, b"")
        else:
            self._backend(path, body)

    def _backend(self, path: str, body: bytes) -> None:
        route, _, query = path.partition("?")
        env = {
            **_PLAIN,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REQUEST_METHOD": self.command,
            "PATH_INFO": route,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_USER": "tester",
        }
        out = subprocess.run(["git", "http-backend"], env=env, input=body, capture_output=True, check=False).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        status = int(headers.pop("Status", "200 OK").split()[0])
        self._answer(status, headers, rest)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def http_server(root: Path, token: str = TOKEN) -> Iterator[_Server]:
    """Serve the repositories below `root` to whoever has the token; `seen` are the requests with what they authorized with."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.root, server.token, server.seen, server.daemon_threads = root, token, [], False
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def url(server: _Server, name: str) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/{name}"
