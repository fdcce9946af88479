"""Bring a model here: the embedded one's weights, or one of Ollama's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from foundry.agent.folder import Home
from foundry.console import Block, Progress, Silent, one_line
from foundry.errors import FoundryError, NotReadyError, UsageError
from foundry.settings import Settings, load_settings

Consent = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Pulled:
    """The model that is here now; `new` is false when it was here before."""

    model: str
    where: str
    new: bool

    def shown(self) -> Sequence[Block]:
        return [f"{self.model} is ready ({self.where})." if self.new else f"{self.model} was here already ({self.where})."]


def pull_model(
    home: Home,
    name: str = "local",
    *,
    settings: Settings | None = None,
    progress: Progress | None = None,
    consent: Consent | None = None,
) -> Pulled:
    """Bring the model `local`, `local:NAME` or `ollama:NAME`; one that was begun goes on where it stopped.

    `consent` is asked with the size before a large download; None means it was given. Raises UsageError for a name that is
    none of these, NotReadyError when it is refused or cannot be reached, FoundryError when it fails or the disk is full.
    """
    settings = settings or load_settings(home.path)
    progress = progress or Silent()
    kind, _, rest = name.strip().partition(":")
    if kind == "local":
        return _pull_embedded(rest, settings, progress, consent)
    if kind == "ollama" and rest:
        return _pull_ollama(rest, settings, progress, consent)
    raise UsageError(
        f"{name!r} is no model that can be pulled", "There are local, local:coder-1.5b, local:coder-0.5b, ollama:NAME."
    )


def _pull_embedded(name: str, settings: Settings, progress: Progress, consent: Consent | None) -> Pulled:
    from foundry.models import weights

    wanted = weights.named_weights(name) if name else weights.needed(settings)
    before = weights.cached(wanted)
    path = weights.fetch(wanted, settings, progress, consent)
    return Pulled(f"local:{wanted.name}", str(path), before is None)


def _pull_ollama(name: str, settings: Settings, progress: Progress, consent: Consent | None) -> Pulled:
    """Let the running Ollama pull `name`, saying how far it is; it keeps what it has when the command is stopped."""
    from foundry.models import ollama

    host: str = settings["ollama_host"]
    here = ollama.installed(host)
    if here is None:
        raise NotReadyError(f"no Ollama answers at {host}", "Start it (ollama serve), or set OLLAMA_HOST.")
    full = name if ":" in name else f"{name}:latest"
    known = full in here
    if settings["offline"] and not known:
        raise NotReadyError(f"{name} is not in Ollama and offline is set", "Unset FOUNDRY_OFFLINE and try again.")
    if consent and not known and not consent(f"Let Ollama download {name}? Its size is told as soon as Ollama knows it."):
        raise NotReadyError(f"{name} was not downloaded", "Run the command again when you want it.")
    _follow(ollama.address(host), name, progress)
    return Pulled(f"ollama:{name}", f"Ollama at {host}", not known)


def _follow(address: str, name: str, progress: Progress) -> None:
    import httpx
    from ollama import Client, ResponseError

    layers: dict[str, tuple[int, int]] = {}
    told = ""
    try:
        # The socket may be silent while Ollama checks a large file.
        for one in Client(address, timeout=httpx.Timeout(300, connect=5)).pull(name, stream=True):
            if one.digest and one.total:
                layers[one.digest] = (min(one.completed or 0, one.total), one.total)
                done, total = (sum(column) for column in zip(*layers.values(), strict=True))
                progress.amount(f"Ollama downloads {name}", done, total)
            elif one.status and one.status != told:
                told = one.status
                progress.step(f"Ollama: {one_line(told, 120)}")
    except ResponseError as error:
        raise FoundryError(
            f"Ollama could not pull {name}: {one_line(error.error, 200)}", "Look at the name: https://ollama.com/search"
        ) from None
    except (httpx.HTTPError, ConnectionError) as error:
        raise NotReadyError(
            f"Ollama broke off while it pulled {name}: {one_line(str(error), 150)}", "Run the command again: it goes on."
        ) from None
