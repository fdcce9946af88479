"""What a server says of its tools, made into tools of ours: names, bounds, the hash they are accepted by, results as text."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from foundry.agent.mcp_servers import McpServer
from foundry.console import Block, Facts, spelled
from foundry.messages import ToolSpec
from foundry.plugins.api import Plan, Preview, ToolError
from foundry.plugins.results import cut
from foundry.plugins.strict import BoundTool
from foundry.session.mcp.schemas import BadSchema, checked, flattened, for_model
from foundry.text import named, visible

MOST_TOOLS = 200
_LONGEST_NAME, _LONGEST_DESCRIPTION = 128, 1_000
_LONGEST_WIRE_NAME = 64
_NAMED_PROBLEMS = 5
Send = Callable[["ServerTool", dict[str, Any]], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class ServerTool:
    """One tool of a server: `name` is the server's, `id` ours, `code` the hash of all that it says of the tool."""

    server: str
    name: str
    id: str
    description: str
    schema: Mapping[str, Any]
    says: str
    code: str

    def shown(self) -> list[Block]:
        """Return all that the model would be told of it, and what the server claims."""
        parameters = self.schema["properties"]
        told = json.dumps(parameters, ensure_ascii=False, indent=2) if parameters else "none"
        pairs = [("tool", self.id), ("the server's name", named(self.name)), ("says", spelled(self.description))]
        pairs += [("claims", self.says), ("parameters", spelled(told))]
        return [Facts([(name, value) for name, value in pairs if value])]


@dataclass(frozen=True, slots=True)
class Offered:
    """What a server offers: the tools that can be used, and what is to be said of the others."""

    tools: tuple[ServerTool, ...] = ()
    problems: tuple[str, ...] = ()


def understood(server: str, given: Iterable[Mapping[str, Any]]) -> Offered:
    """Return the tools in a server's answer, each a JSON object of it; what is hostile or doubled is left out and named."""
    listed = [dict(one) for one in given]
    names = Counter(str(one.get("name")) for one in listed)
    ids = Counter(_id(server, str(name)) for name in names)
    tools: list[ServerTool] = []
    problems: list[str] = []
    for one in listed[:MOST_TOOLS]:
        name = one.get("name")
        if not isinstance(name, str) or not name or len(name) > _LONGEST_NAME:
            problems.append(f"a tool of it has no usable name ({str(name)[:40]!r})")
        elif names[name] > 1:
            problems.append(f"{name!r} is offered twice")
        else:
            try:
                tools.append(_tool(server, one, name, alone=ids[_id(server, name)] == 1))
            except BadSchema as problem:
                problems.append(f"{name!r}: {problem}")
    if len(listed) > MOST_TOOLS:
        problems.insert(0, f"it offers {len(listed):,} tools, of which the first {MOST_TOOLS} count")
    problems = list(dict.fromkeys(problems))
    if len(problems) > _NAMED_PROBLEMS:
        problems = [*problems[:_NAMED_PROBLEMS], f"and {len(problems) - _NAMED_PROBLEMS} more"]
    return Offered(tuple(tools), tuple(visible(one) for one in problems))


def bound(server: McpServer, tool: ServerTool, send: Send) -> BoundTool:
    """Return the tool as the gate takes it; `send` calls it on the server. What the server says of its effects does not count."""
    where = f"at {server.url}" if server.url else f"the command {server.command}"
    scope = f"the tool {named(tool.name)} of the MCP server {server.name} ({named(where)})"
    summary = f"Calls the tool {named(tool.name)} of the MCP server {server.name} ({named(where)}) with these arguments."

    async def plan(arguments: dict[str, Any]) -> Plan:
        hosts = (server.host,) if server.url else ()
        return Plan(Preview(summary, hosts=hosts, scope=scope), _elsewhere)

    async def call(arguments: dict[str, Any], _: Plan | None = None) -> str:
        return await send(tool, arguments)  # all that its plan says is in the arguments

    return BoundTool(
        spec=ToolSpec(tool.id, tool.description, for_model(tool.schema)),
        origin="mcp",
        effects=frozenset(("network",) if server.url else ("network", "runs")),
        call=call,
        check=lambda arguments: checked(tool.schema, arguments),
        plan=plan,
        code=tool.code,
    )


def flat_result(result: Mapping[str, Any], limit: int) -> str:
    """Return a call's result as text of at most `limit` characters. Raises ToolError for one that says it is an error."""
    told = [_part(one) for one in result.get("content") or () if isinstance(one, Mapping)]
    has_text = any(one.get("type") == "text" for one in result.get("content") or () if isinstance(one, Mapping))
    structured = result.get("structuredContent")
    if structured is not None and not has_text:
        told.append(json.dumps(structured, ensure_ascii=False))
    text = cut("\n".join(told).encode("utf-8", "replace").decode() or "(nothing)", limit)
    if result.get("isError"):
        raise ToolError(text)
    return text


def _elsewhere() -> str:
    raise ToolError("A server's tool is called, not done here.")


def _part(part: Mapping[str, Any]) -> str:
    kind = part.get("type")
    if kind == "text":
        return str(part.get("text", ""))
    if kind in ("image", "audio"):
        return f"({kind}, {str(part.get('mimeType', 'of no type'))[:80]}, {_size(part.get('data'))}, not shown)"
    if kind == "resource_link":
        return f"(link to a resource: {str(part.get('uri', ''))[:500]} {str(part.get('name', ''))[:200]})"
    if kind == "resource" and isinstance(resource := part.get("resource"), Mapping):
        uri = str(resource.get("uri", ""))[:500]
        if isinstance(resource.get("text"), str):
            return f"(resource {uri})\n{resource['text']}"
        return f"(resource {uri}, {str(resource.get('mimeType', 'of no type'))[:80]}, {_size(resource.get('blob'))}, not shown)"
    return f"(a part of the kind {str(kind)[:40]!r}, not shown)"


def _size(data: Any) -> str:
    """Return how many bytes base64 text stands for."""
    text = data if isinstance(data, str) else ""
    return f"{len(text.rstrip('=')) * 3 // 4:,} bytes"


def _tool(server: str, given: Mapping[str, Any], name: str, *, alone: bool) -> ServerTool:
    schema = flattened(given.get("inputSchema") or {"type": "object"})
    tool_id = _id(server, name)
    if not alone:  # whichever of them comes first: each is called by its whole name
        tool_id = f"{tool_id[: _LONGEST_WIRE_NAME - 7]}_{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:6]}"
    said = str(given.get("description") or given.get("title") or "")
    described = " ".join(visible(said[: 4 * _LONGEST_DESCRIPTION]).split())[:_LONGEST_DESCRIPTION]
    hints = given.get("annotations")
    says = [key for key, value in hints.items() if value is True][:8] if isinstance(hints, Mapping) else []
    told = {key: given.get(key) for key in ("name", "title", "description", "inputSchema", "outputSchema", "annotations")}
    code = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
    claims = f"{spelled(', '.join(str(one)[:40] for one in says))}, which nobody has checked" if says else ""
    return ServerTool(server, name, tool_id, described or f"{visible(name)}.", schema, claims, code)


def _id(server: str, name: str) -> str:
    """Return the id a tool has by its name: what no id can hold is an underscore, what is too long is cut."""
    plain = re.sub(r"[^A-Za-z0-9_]+", "_", name[:_LONGEST_NAME]) or "_"
    if plain[0].isdigit():
        plain = f"_{plain}"
    return f"{server}.{plain}"[:_LONGEST_WIRE_NAME]
