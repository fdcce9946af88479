"""MCP: other programs' tools for an agent, and an agent's tools for other programs.

Client: `Servers` (servers.py) is all the MCP servers of one session, in a thread and an event loop of their own, so that nothing
a server does or leaves undone reaches the chat; `Connection` (connection.py) is one of them, its streams bounded by streams.py;
tools.py and schemas.py make of what a server says tools that the gate takes like any other; asking.py shows a person what is new.
What was accepted is kept by agent/mcp_servers.py. Logins over HTTP (OAuth): access.py gives a run the tokens that
agent/mcp_logins.py keeps and renews them; login.py, with the SDK's provider bounded (provider.py) and the browser's way back
(loopback.py), makes one, which browser.py shows a person first. Server: `serve` (serving.py) offers an agent to editors and
other agents.

The package `mcp` is imported in this room only, and in that thread or by `serve`: it takes most of a second.
"""
