"""An OpenAI-compatible server that plays a script, on loopback, as fast as it can; the format is foundry/models/scripted.py's.

In tests: `with model_server([step, ...]) as server:` and `server.url`, `server.requests`.
By hand: python -P -m tests.model_server SCRIPT [PORT].
"""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from foundry.models.scripted import Script, Step, argument_text, load_script, script, tokens


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]


@dataclass
class Server:
    """A running server: `requests` grows, `script` may be replaced between requests, `clean_cut` ends cut answers politely."""

    url: str
    script: Script
    clean_cut: bool = False
    requests: list[Request] = field(default_factory=list)
    disconnects: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [one.body for one in self.requests if one.path.endswith("/chat/completions")]

    def play(self, *steps: Mapping[str, Any]) -> None:
        """Answer with these steps from now on."""
        self.script = script({"steps": steps})


@contextlib.contextmanager
def model_server(
    steps: Sequence[Mapping[str, Any]] | Script, *, loop: bool = False, clean_cut: bool = False, port: int = 0
) -> Iterator[Server]:
    """Serve the steps until the block ends."""
    played = steps if isinstance(steps, Script) else script({"steps": steps, "loop": loop})
    http = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_address[1]}/v1", played, clean_cut)
    http.scripted = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._seen({})
        if self.path.endswith("/models"):
            self._json(200, {"object": "list", "data": [{"id": "scripted", "object": "model", "created": 0, "owned_by": "test"}]})
        else:
            self._json(404, {"error": {"message": "no such path"}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        server = self._seen(body)
        if not self.path.endswith("/chat/completions"):
            self._json(404, {"error": {"message": "no such path"}})
            return
        history = [(str(one.get("role")), _said(one.get("content"))) for one in body.get("messages", [])]
        try:
            with server.lock:
                step = server.script.next(history)
        except IndexError as error:
            self._json(400, {"error": {"message": str(error), "type": "script_ended"}})
            return
        if step.error is not None:
            self._error(step.error)
        elif body.get("stream"):
            self._stream(server, step, body)
        else:
            self._json(200, whole(step, body))

    def _seen(self, body: dict[str, Any]) -> Server:
        server: Server = self.server.scripted  # type: ignore[attr-defined]
        server.requests.append(Request(self.path, {key.lower(): value for key, value in self.headers.items()}, body))
        return server

    def _error(self, error: Mapping[str, Any]) -> None:
        extra = {"Retry-After": str(error["retry_after"])} if "retry_after" in error else {}
        said = {
            "error": {
                "message": error.get("message", "scripted"),
                "type": error.get("type", "scripted"),
                "code": error.get("code"),
            }
        }
        self._json(int(error.get("status", 500)), said, extra)

    def _json(self, status: int, data: Any, headers: Mapping[str, str] | None = None) -> None:
        raw = json.dumps(data).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", "Content-Length": str(len(raw)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(raw)

    def _stream(self, server: Server, step: Step, body: Mapping[str, Any]) -> None:
        chunked = not server.clean_cut
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked") if chunked else self.send_header("Connection", "close")
        self.end_headers()
        try:
            self._write_all(step, body, chunked)
        except (BrokenPipeError, ConnectionResetError):
            server.disconnects += 1
            self.close_connection = True
        if not chunked or step.cut is not None:
            self.close_connection = True

    def _write_all(self, step: Step, body: Mapping[str, Any], chunked: bool) -> None:
        left = step.cut
        if not (step.delay or step.write or left is not None):
            self.wfile.write(_framed(b"".join(events(step, body)), chunked) + (b"0\r\n\r\n" if chunked else b""))
            return
        for event in events(step, body):
            if step.delay:
                time.sleep(step.delay)
            for at in range(0, len(event), step.write or len(event)):
                piece = event[at : at + (step.write or len(event))][: left if left is not None else None]
                if piece:
                    self.wfile.write(_framed(piece, chunked))
                    self.wfile.flush()
                left = None if left is None else left - len(piece)
                if left is not None and left <= 0:
                    return
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        """Nothing on the terminal."""


def events(step: Step, body: Mapping[str, Any]) -> Iterator[bytes]:
    """Yield the server-sent events of a step, as providers send them."""
    if step.progress and body.get("return_progress"):
        for done in (0, step.progress):
            yield _event(
                {"role": "assistant", "content": None}, prompt_progress={"total": step.progress, "cache": 0, "processed": done}
            )
    yield _event({"role": "assistant", "content": ""})
    for delta in step.deltas():
        yield _event({"content": delta})
    if step.fail:
        yield b"data: " + json.dumps({"error": step.fail}).encode() + b"\n\n"
        return
    for index, call in enumerate(step.calls):
        given = {"index": index, "id": call.get("id", f"call_{index}_{tokens(body.get('model', ''))}"), "type": "function"}
        yield _event({"tool_calls": [{**given, "function": {"name": call["name"].replace(".", "-", 1), "arguments": ""}}]})
        text = argument_text(call)
        size = step.chunk or 8
        for at in range(0, len(text), size):
            yield _event({"tool_calls": [{"index": index, "function": {"arguments": text[at : at + size]}}]})
    if step.reason:
        yield _event({}, step.reason)
    if step.usage and (body.get("stream_options") or {}).get("include_usage"):
        yield _event(None, usage=_usage(step, body))
    if step.done:
        yield b"data: [DONE]\n\n"


def whole(step: Step, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step as the answer to a request that does not stream."""
    message: dict[str, Any] = {"role": "assistant", "content": step.text or None}
    if step.calls:
        message["tool_calls"] = [
            {
                "id": call.get("id", f"call_{i}"),
                "type": "function",
                "function": {"name": call["name"].replace(".", "-", 1), "arguments": argument_text(call)},
            }
            for i, call in enumerate(step.calls)
        ]
    choice = {"index": 0, "message": message, "finish_reason": step.reason or None}
    usage = {"usage": _usage(step, body)} if step.usage else {}
    return {"id": "scripted", "object": "chat.completion", "created": 0, "model": "scripted", "choices": [choice], **usage}


def _event(delta: dict[str, Any] | None, finish: str | None = None, **more: Any) -> bytes:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    data = {"id": "scripted", "object": "chat.completion.chunk", "created": 0, "model": "scripted", "choices": choices, **more}
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def _usage(step: Step, body: Mapping[str, Any]) -> dict[str, int]:
    read, written = tokens(json.dumps(body.get("messages", []))), tokens(step.text) + 8 * len(step.calls)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _said(content: Any) -> str:
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return content if isinstance(content, str) else ""


def _framed(piece: bytes, chunked: bool) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece


if __name__ == "__main__":
    with model_server(load_script(Path(sys.argv[1])), port=int(sys.argv[2]) if len(sys.argv) > 2 else 0) as running:
        print(running.url, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
