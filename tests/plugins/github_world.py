"""A stand-in for GitHub's REST API on loopback, for issues and pull requests, after its published schema (2022-11-28).

It answers with the fields of the schemas `issue`, `issue-comment`, `pull-request`, `pull-request-simple` and `diff-entry`,
pages by Link headers, and refuses with 422 what the schemas of the request bodies do not allow.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "github_pat_11ABCDEFG0123456789"
# The request bodies: each property with its type and whether it is required; nothing else is allowed here, unlike at GitHub.
_BODIES: Mapping[str, Mapping[str, tuple[type, bool]]] = {
    "issues": {"title": (str, True), "body": (str, False), "labels": (list, False)},
    "comments": {"body": (str, True)},
    "pulls": {"title": (str, True), "head": (str, True), "base": (str, True), "body": (str, False), "draft": (bool, False)},
}


@dataclass
class Seen:
    """A request as the server got it."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: Any


@dataclass
class Hub:
    """What the server holds of the repository octo/hello, and how it behaves."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    issues: dict[int, dict[str, Any]] = field(default_factory=dict)
    pulls: dict[int, dict[str, Any]] = field(default_factory=dict)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    files: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    branches: set[str] = field(default_factory=lambda: {"main", "fix"})
    prefix: str = ""
    instead: Callable[[Any], bool] | None = None  # answers in the API's place where it returns True

    def user(self, login: str) -> dict[str, Any]:
        return {"login": login, "id": 1, "url": f"{self.url}/users/{login}", "type": "User", "site_admin": False}

    def issue(self, title: str, body: str | None = "", state: str = "open", by: str | None = "ada", **more: Any) -> int:
        number = len(self.issues) + 1
        at = f"{self.url}/repos/octo/hello/issues/{number}"
        self.comments[number] = []
        self.issues[number] = {
            "id": number,
            "node_id": "I_1",
            "url": at,
            "repository_url": f"{self.url}/repos/octo/hello",
            "comments_url": f"{at}/comments",
            "html_url": f"https://github.example.org/octo/hello/issues/{number}",
            "number": number,
            "state": state,
            "title": title,
            "body": body,
            "user": self.user(by) if by else None,
            "labels": [],
            "assignee": None,
            "assignees": [],
            "milestone": None,
            "locked": False,
            "comments": 0,
            "closed_at": None,
            "created_at": "2026-01-02T03:04:05Z",
            "updated_at": "2026-01-02T03:04:05Z",
            "author_association": "NONE",
            **more,
        }
        return number

    def label(self, number: int, name: str) -> None:
        label = {"id": 1, "url": f"{self.url}/l", "name": name, "color": "f29513", "default": False, "description": None}
        self.issues[number]["labels"].append(label)

    def comment(self, number: int, body: str, by: str = "bob") -> dict[str, Any]:
        made = {
            "id": len(self.comments[number]) + 1,
            "url": f"{self.url}/repos/octo/hello/issues/comments/1",
            "html_url": f"https://github.example.org/octo/hello/issues/{number}#issuecomment-1",
            "issue_url": self.issues[number]["url"],
            "body": body,
            "user": self.user(by),
            "created_at": "2026-01-03T00:00:00Z",
            "updated_at": "2026-01-03T00:00:00Z",
            "author_association": "NONE",
        }
        self.comments[number].append(made)
        self.issues[number]["comments"] += 1
        return made

    def pull(self, title: str, head: str = "fix", base: str = "main", body: str = "", draft: bool = False) -> int:
        number = self.issue(title, body)
        at = f"{self.url}/repos/octo/hello/pulls/{number}"
        self.issues[number]["html_url"] = f"https://github.example.org/octo/hello/pull/{number}"
        self.issues[number]["pull_request"] = {"url": at, "html_url": at, "diff_url": at, "patch_url": at, "merged_at": None}
        ends = {
            end: {
                "label": f"octo:{ref}",
                "ref": ref,
                "sha": "6dcb09b5b57875f334f61aebed695e2e4193db5e",
                "user": self.user("octo"),
                "repo": None,
            }
            for end, ref in (("head", head), ("base", base))
        }
        self.files[number] = []
        same = (
            "id",
            "node_id",
            "number",
            "state",
            "title",
            "body",
            "user",
            "labels",
            "created_at",
            "updated_at",
            "locked",
            "comments",
        )
        self.pulls[number] = {
            **{name: self.issues[number][name] for name in same},
            **ends,
            "url": at,
            "html_url": f"https://github.example.org/octo/hello/pull/{number}",
            "issue_url": self.issues[number]["url"],
            "draft": draft,
            "merged": False,
            "merged_at": None,
            "mergeable": True,
            "additions": 0,
            "deletions": 0,
            "changed_files": 0,
            "commits": 1,
        }
        return number

    def file(self, number: int, name: str, patch: str) -> None:
        entry = {
            "sha": "bbcd538c",
            "filename": name,
            "status": "modified",
            "additions": 1,
            "deletions": 1,
            "changes": 2,
            "patch": patch,
        }
        self.files[number].append(entry)
        self.pulls[number]["changed_files"] += 1


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    timeout = 5

    def log_message(self, format: str, *arguments: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(None)

    def do_POST(self) -> None:
        self._serve(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0)))))

    def _serve(self, body: Any) -> None:
        hub, parts = self.hub, urlsplit(self.path)
        query = parse_qs(parts.query)
        hub.seen.append(Seen(self.command, parts.path, query, dict(self.headers.items()), body))
        if hub.instead and hub.instead(self):
            return None
        if self.headers.get("Authorization") not in (f"token {TOKEN}", f"Bearer {TOKEN}"):
            return self.answer(401, {"message": "Bad credentials", "documentation_url": "https://docs.github.com/rest"})
        if not self.headers.get("User-Agent"):
            return self.answer(403, {"message": "Missing or invalid User Agent string."})
        route = parts.path.removeprefix(hub.prefix).strip("/").split("/")
        if route[:3] != ["repos", "octo", "hello"]:
            return self.answer(404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"})
        if self.command == "POST":
            return self._create(route[3:], body)
        return self._get(route[3:], query)

    def _get(self, route: list[str], query: dict[str, list[str]]) -> None:
        hub = self.hub
        known = {"issues": hub.issues, "pulls": hub.pulls}.get(route[0] if route else "", {})
        number = int(route[1]) if len(route) > 1 and route[1].isdigit() else 0
        if len(route) == 1 and known:
            state = query.get("state", ["open"])[0]
            return self._paged([one for _, one in sorted(known.items(), reverse=True) if state in ("all", one["state"])], query)
        if number in known and len(route) == 2:
            return self.answer(200, known[number])
        inner = {("issues", "comments"): hub.comments, ("pulls", "files"): hub.files}.get((route[0], route[-1]), {})
        if number in inner and len(route) == 3:
            return self._paged(inner[number], query)
        if route[0] in ("issues", "pulls") and len(route) == 1:
            return self.answer(200, [])
        return self.answer(404, {"message": "Not Found"})

    def _paged(self, found: list[Any], query: dict[str, list[str]]) -> None:
        size, page = int(query.get("per_page", ["30"])[0]), int(query.get("page", ["1"])[0])
        assert 1 <= size <= 100
        link = {}
        if len(found) > page * size:
            rest = "&".join(f"{name}={value[0]}" for name, value in query.items() if name != "page")
            path = urlsplit(self.path).path.removeprefix(self.hub.prefix)
            link = {"Link": f'<{self.hub.url}{path}?{rest}&page={page + 1}>; rel="next"'}
        self.answer(200, found[(page - 1) * size : page * size], link)

    def _create(self, route: list[str], body: Any) -> None:
        hub, kind = self.hub, route[-1]
        problems = [{"resource": kind, "field": name, "code": "unknown"} for name in set(body) - set(_BODIES[kind])]
        for name, (wanted, required) in _BODIES[kind].items():
            if name in body and not isinstance(body[name], wanted):
                problems.append({"resource": kind, "field": name, "code": "invalid"})
            elif required and not body.get(name):
                problems.append({"resource": kind, "field": name, "code": "missing_field"})
        if kind == "pulls" and not problems and not {body["head"], body["base"]} <= hub.branches:
            problems.append({"resource": "PullRequest", "field": "head", "code": "invalid"})
        if problems:
            return self.answer(422, {"message": "Validation Failed", "errors": problems})
        if kind == "issues":
            return self.answer(201, hub.issues[hub.issue(body["title"], body.get("body"))])
        if kind == "pulls":
            return self.answer(201, hub.pulls[hub.pull(body["title"], body["head"], body["base"], body["body"], body["draft"])])
        if int(route[1]) not in hub.issues:
            return self.answer(404, {"message": "Not Found"})
        return self.answer(201, hub.comment(int(route[1]), body["body"], "me"))

    def answer(self, status: int, data: Any, headers: Mapping[str, str] | None = None) -> None:
        raw = data if isinstance(data, bytes) else json.dumps(data).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json; charset=utf-8", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


@contextmanager
def hub_server(prefix: str = "") -> Iterator[Hub]:
    """Serve a Hub on loopback, below `prefix` as GitHub Enterprise does."""
    hub = Hub(prefix=prefix)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = False
    hub.url = f"http://127.0.0.1:{server.server_address[1]}{prefix}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
