"""The verbs: what a person, the server or the Foundry's own agent can have done to agents, one verb a file.

A verb is a typed function with a docstring: `home` first, options by keyword, `progress` to say its steps; what only a person can
answer comes in as a callable. It returns a frozen dataclass whose `shown()` says how it reads and whose fields are the JSON.
Verbs never import the session, click, Semantic Kernel or a provider's client: what runs an agent is the agent's own Python.
"""
