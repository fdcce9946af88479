"""What one statement may take of time and room, on a file and on a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """What one statement may take, and how long it takes to give it up."""

    seconds: int = 10  # of the statement itself
    largest_tried: int = 64 * 1024 * 1024  # bytes of a file that is copied to tell how many rows would be changed
    worker_grace: float = 2.0  # seconds more, then the process that has the file open is ended
    connecting: int = 10  # seconds until a server must have let us in
    server_grace: float = 5.0  # seconds more, then a server that has gone silent is left
    killing: float = 3.0  # seconds to end the statement at a server that was left
