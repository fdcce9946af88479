"""Rows and tables as text for a model: lined up where that is readable, else a JSON object a line; never more than fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from foundry.plugins.results import fitting
from foundry.text import counted, json_text, visible, width_of

_WIDEST_CELL = 60
_WIDEST_ROW = 180
_LONGEST_VALUE = 2_000


def shown_rows(answer: dict[str, Any], limit: int) -> str:
    """Return the rows of an answer below their columns' names, as many as fit in `limit` characters, and what is left out."""
    columns = _distinct([str(one) for one in answer["columns"]])
    rows = [[_plain(one) for one in row] for row in answer["rows"]]
    if not columns:
        return "The statement returns no rows."
    if not rows:
        return f"No rows. Columns: {', '.join(map(visible, columns))}"
    lines = _lined_up(columns, rows)
    lines = lines if lines is not None else [json_text(dict(zip(columns, row, strict=True))) for row in rows]
    head = len(lines) - len(rows)
    taken = fitting(lines, limit - 120)
    shown = max(len(taken) - head, 0)
    if not shown:
        return f"The first row is {len(lines[head]):,} characters long, too many to show. Select fewer columns, or use substr."
    left = answer["more"] or shown < len(rows)
    said = f"({counted(shown, 'row')}{'; there are more: use WHERE, LIMIT and OFFSET' if left else ''})"
    return "\n".join([*taken, said])


def shown_tables(answer: dict[str, Any], limit: int, counted: int) -> str:
    """Return a line for each table: what it is called, how many rows it has where that was counted, its columns."""
    lines = []
    for one in answer["tables"]:
        rows = "" if one["rows"] is None else f", {'more than ' * (one['rows'] > counted)}{min(one['rows'], counted):,} rows"
        columns = [f"{name} {kind}".strip() for name, kind in one["columns"] or ()]
        said = ", ".join(columns) if one["columns"] is not None else "its columns cannot be read"
        lines.append(_one_line(f"{one['kind']} {one['name']}{rows}: {said}"))
    if not lines:
        return "The database has no tables."
    taken = fitting((line[: limit - 100] for line in lines), limit - 100)
    if answer["more"] or len(taken) < len(lines):
        taken.append(f"(the first {len(taken)} tables; there are more)")
    return "\n".join(taken)


def _lined_up(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str] | None:
    """Return the head and the rows in columns; None where a value is too long or of several lines for that."""
    cells = [[_one_line(one) for one in columns], *([_cell(one) for one in row] for row in rows)]
    if any("\n" in one for row in rows for one in row if isinstance(one, str)):
        return None
    widths = [max(width_of(row[at]) for row in cells) for at in range(len(columns))]
    if max(widths) > _WIDEST_CELL or sum(widths) + 3 * len(widths) > _WIDEST_ROW:
        return None
    numbers = [all(isinstance(row[at], int | float) or row[at] is None for row in rows) for at in range(len(columns))]
    lines = [" | ".join(_padded(row, widths, numbers)).rstrip() for row in cells]
    return [lines[0], "-+-".join("-" * one for one in widths), *lines[1:]]


def _padded(row: Sequence[str], widths: Sequence[int], numbers: Sequence[bool]) -> Iterator[str]:
    for text, width, number in zip(row, widths, numbers, strict=True):
        blanks = " " * (width - width_of(text))
        yield blanks + text if number else text + blanks


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    return _one_line(str(value).lower() if isinstance(value, bool) else str(value))


def _plain(value: Any) -> Any:
    """Return a value as JSON has one; bytes as their size, dates and the like as their text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return f"({len(value):,} bytes)"
    text = value if isinstance(value, str) else str(value)
    return (
        text
        if len(text) <= _LONGEST_VALUE + 100
        else f"{text[:_LONGEST_VALUE]}… ({len(text) - _LONGEST_VALUE:,} more characters)"
    )


def _distinct(columns: Sequence[str]) -> list[str]:
    """Return the names with a number behind those that were there already."""
    found: dict[str, None] = {}
    for one in columns:
        name, number = one, 2
        while name in found:
            name, number = f"{one}_{number}", number + 1
        found[name] = None
    return list(found)


def _one_line(text: str) -> str:
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")
