"""The time: date, hour and weekday, here or in another time zone."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from foundry.files import nearest
from foundry.plugins.api import ToolError, effects, kernel_function


class Clock:
    """Tells the time."""

    @kernel_function(description="Current date, time and weekday.")
    @effects()
    def now(self, timezone: Annotated[str, "Such as Europe/Berlin; empty: local"] = "") -> str:
        """Return the time on one line with its offset from UTC. Raises ToolError for an unknown zone, naming the nearest."""
        asked = timezone.strip()
        time = datetime.now(_zone(asked)) if asked else datetime.now().astimezone()
        offset = time.strftime("%z")
        place = time.tzinfo.key if isinstance(time.tzinfo, ZoneInfo) else time.tzname()
        return f"{time:%A, %Y-%m-%d %H:%M:%S} UTC{offset[:3]}:{offset[3:]} ({place})"


def _zone(name: str) -> ZoneInfo:
    known = {zone.lower(): zone for zone in available_timezones()} or {"utc": "UTC"}
    asked = name.lower().replace(" ", "_")
    cities = {zone.rsplit("/", 1)[-1]: zone for zone in sorted(known, reverse=True)}
    try:
        return ZoneInfo(known.get(asked) or known.get(cities.get(asked, ""), name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        close = nearest(asked, known) or cities.get(nearest(asked, cities), "")
        hint = f"Did you mean {known[close]}?" if close else "Use a name such as Europe/Berlin or UTC."
        raise ToolError(f"No time zone is called {name!r}. {hint}") from None
