"""What an agent does, live, inside its own venv: one turn (session), the gate (approvals), the tools (toolbox), the faces.

Doors: `start.main` (an agent's main.py), `Session.turn` (events). Imports: plugins.loader, models, agent, console and below;
never click, never a verb: the CLI starts this room as another process.
"""
