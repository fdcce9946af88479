"""Agent Foundry: create, run and build local AI agents; this package is the light CLI and the runtime its agents load."""
