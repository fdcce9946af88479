"""Stands for a Python with the engine: what is started as the embedded model's server answers without weights.

Run as `PYTHON fake_engine.py ARGS`: for the server's module it serves by the server's own rules with an engine of a few lines;
everything else it hands to the real Python. Weights that start with "fail" do not load.
"""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from foundry.models import local_server


def engine(config: local_server.ServerConfig) -> tuple[str, Any]:
    if Path(config.weights).read_bytes()[:4] == b"fail":
        raise RuntimeError("the weights make no sense")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            good = self.headers["Authorization"] == f"Bearer {config.key}"
            self.send_response(200 if good else 401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}", server


if __name__ == "__main__":
    given = sys.argv[1:]
    if "foundry.models.local_server" in given:
        sys.exit(local_server.main(given[-1:], engine))
    os.execv(sys.executable, [sys.executable, *given])
