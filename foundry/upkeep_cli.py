"""The command line's faces of the verbs that keep agents and this machine in order; foundry_cli loads them."""

from __future__ import annotations

import click

from foundry import words
from foundry.agent.folder import Home
from foundry.console import Console
from foundry.errors import UsageError
from foundry.faces import agent, cli, face


@cli.command()
@agent
@face
def sync(console: Console, home: Home, name: str) -> None:
    """Rebuild or repair an agent's environment from its lock."""
    from foundry.plugins.foundry_core.sync_agent import sync_agent

    console.result(sync_agent(home, name, settings=words.settings_of(console, home), progress=console))


@cli.command()
@agent
@click.argument("action", type=click.Choice(["show", "set", "unset", "check"]), default="show")
@click.argument("key", default="", shell_complete=words.variable_names)
@face
def env(console: Console, home: Home, name: str, action: str, key: str) -> None:
    """Show what an agent's .env needs and has; set KEY from a hidden prompt or standard input; unset KEY; check."""
    from foundry.plugins.foundry_core import agent_env

    if (action in {"set", "unset"}) != bool(key):
        raise UsageError(f"foundry env NAME {action} takes {'a KEY' if not key else 'no KEY'}", "foundry env --help")
    settings = words.settings_of(console, home)
    if action == "set":
        value = words.secret(console, key, agent_env.env_why(home, name, key), f"foundry env {name} set {key}")
        console.result(agent_env.env_set(home, name, key, value))
    elif action == "unset":
        console.result(agent_env.env_unset(home, name, key))
    elif action == "check":
        console.result(agent_env.env_check(home, name, settings=settings))
    else:
        console.result(agent_env.env_show(home, name, settings=settings))


@cli.command()
@click.argument("name", required=False, shell_complete=words.agent_names)
@face
def doctor(console: Console, home: Home, name: str | None) -> int:
    """Check this machine, the providers and the agents; each finding names the command that mends it."""
    from foundry.plugins.foundry_core.validate_environment import validate_environment

    health = validate_environment(home, name, settings=words.settings_of(console, home))
    console.result(health)
    return 0 if health.ready else 4


@cli.command()
@click.argument("name", required=False, shell_complete=words.agent_names)
@face
def tools(console: Console, home: Home, name: str | None) -> None:
    """List the tools there are, or those of one agent, without importing them."""
    from foundry.plugins.foundry_core.list_tools import list_tools

    console.result(list_tools(home, name))


@cli.command()
@click.argument("action", type=click.Choice(["list", "pull", "stop"]), default="list")
@click.argument("model_name", default="local", metavar="[MODEL]")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before a large download.")
@face
def model(console: Console, home: Home, action: str, model_name: str, yes: bool) -> None:
    """List the models at hand; pull the embedded one (or ollama:NAME); stop the embedded one."""
    settings = words.settings_of(console, home)
    if action == "pull":
        from foundry.plugins.foundry_core.pull_model import pull_model

        consent = console.yes if console.can_ask() and not yes else None
        console.result(pull_model(home, model_name, settings=settings, progress=console, consent=consent))
    elif action == "stop":
        from foundry.plugins.foundry_core.stop_model import stop_model

        console.result(stop_model(home))
    else:
        from foundry.plugins.foundry_core.list_models import list_models

        console.result(list_models(home, settings=settings))


@cli.command()
@face
def settings(console: Console, home: Home) -> None:
    """Show every setting with its value and where it comes from."""
    from foundry.plugins.foundry_core.show_settings import show_settings

    console.result(show_settings(words.settings_of(console, home)))


@cli.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell; put it where the shell's start file loads it.

    \b
    bash, in ~/.bashrc:   eval "$(foundry completion bash)"
    zsh, in ~/.zshrc:     autoload -Uz compinit && compinit
                          eval "$(foundry completion zsh)"
    fish, in ~/.config/fish/config.fish:
                          foundry completion fish | source
    """
    from foundry.completion import script

    Console().text(script(shell))
