"""How often the embedded model answers a question with the right tool: `python -P -m tests.benchmarks.tool_calls [tuning|held]`.

A case counts when the first call is of the tool and has the arguments that the set names (one left out counts as its default)
and the answer holds a fact that only the result has. The held set was never tuned on. Each case is one `foundry run`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from tests.benchmarks.measure import Figure, environment

FOUNDRY = [sys.executable, "-P", "-m", "foundry.foundry_cli"]
MOST_MISSES = {"tuning": 1, "held": 4}
TOOLS = "read_write_code.read_file,read_write_code.list_files,grep_codebase,clock"
DEFAULTS: Mapping[str, Any] = {"path": ".", "pattern": "*", "glob": "*", "start": 1, "end": 0, "timezone": ""}


@dataclass(frozen=True)
class Score:
    """How one case went: its prompt, whether call and answer were right, and what came instead."""

    prompt: str
    call: bool
    answer: bool
    seconds: float
    told: str

    @property
    def good(self) -> bool:
        return self.call and self.answer

    def __str__(self) -> str:
        marks = f"{'ok  ' if self.good else 'MISS'} call {'+' if self.call else '-'} answer {'+' if self.answer else '-'}"
        return f"  {marks} {self.seconds:5.1f} s  {self.prompt}" + ("" if self.good else f"\n         {self.told}")


def figures() -> Iterator[Figure]:
    """Yield, for each set, how many of its prompts missed; the misses are printed."""
    for name, most in MOST_MISSES.items():
        scores = list(scored(name))
        for miss in (one for one in scores if not one.good):
            print(miss, flush=True)
        misses = sum(not one.good for one in scores)
        seconds = sum(one.seconds for one in scores) / len(scores)
        yield Figure(f"misses of {len(scores)} single-tool prompts, {name} set", misses, most, f"{seconds:.1f} s a prompt")


def scored(name: str, model: str = "") -> Iterator[Score]:
    """Run each case of the set through `foundry run` on the embedded model (`model`, or the one this machine would take)."""
    told = json.loads(Path(__file__).with_name(f"prompts_{name}.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory() as scratch:
        env = environment(FOUNDRY_HOME=str(Path(scratch, "home")), **({"FOUNDRY_LOCAL_MODEL": model} if model else {}))
        chosen = f"local:{model or _default_model()}"
        world = Path(scratch, "world")
        for file, text in told["files"].items():
            (world / file).parent.mkdir(parents=True, exist_ok=True)
            (world / file).write_text(text, "utf-8")
        _foundry(env, "create", "Bench", "--no-input", "--tools", TOOLS, "--model", chosen)
        for case in told["cases"]:
            yield _one(env, world, case)


def _default_model() -> str:
    from foundry.models.weights import needed
    from foundry.settings import load_settings

    return needed(load_settings(None)).name


def _one(env: Mapping[str, str], world: Path, case: Mapping[str, Any]) -> Score:
    begun = datetime.now().astimezone()
    started = time.perf_counter()
    said = _foundry(env, "run", "Bench", "-p", case["prompt"], "--folder", str(world), "--output", "json")
    seconds = time.perf_counter() - started
    calls = said.get("tool_calls") or []
    answer = said.get("answer") or ""
    call = bool(calls) and right_call(calls[0], case)
    shown = "; ".join(f"{one['tool']} {json.dumps(_arguments(one))}" for one in calls) or "no call"
    return Score(case["prompt"], call, right_answer(answer, case["answer"], begun), seconds, f"{shown} -> {answer!r}"[:400])


def _foundry(env: Mapping[str, str], *argv: str) -> dict[str, Any]:
    done = subprocess.run([*FOUNDRY, *argv], env=dict(env), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode not in (0, 6):
        raise RuntimeError(f"foundry {argv[0]} ended with {done.returncode}: {done.stderr[-500:]}{done.stdout[-500:]}")
    found: dict[str, Any] = json.loads(done.stdout)["data"] if done.stdout.startswith("{") else {}
    return found


def right_call(call: Mapping[str, Any], case: Mapping[str, Any]) -> bool:
    """Return whether a call is of the case's tool with its arguments."""
    given = _arguments(call)
    if call["tool"] != case["tool"] or set(given) - set(DEFAULTS):
        return False
    expected = case["arguments"]
    return all(_fits(given.get(key, DEFAULTS[key]), expected.get(key, DEFAULTS[key])) for key in {*given, *expected})


def _arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    given = call["arguments"]
    try:
        read = json.loads(given or "{}") if isinstance(given, str) else given
    except ValueError:
        return {"not JSON": given}
    return read if isinstance(read, dict) else {"not an object": read}


def _fits(given: Any, expected: Any) -> bool:
    if isinstance(expected, list):
        return any(_fits(given, one) for one in expected)
    if isinstance(expected, dict):
        return isinstance(given, str) and expected["contains"].lower() in given.lower()
    return bool(_plain(given) == _plain(expected))


def _plain(value: Any) -> Any:
    """A path without what does not change it."""
    return (value.strip().removeprefix("./").rstrip("/") or ".") if isinstance(value, str) and value else value


def right_answer(answer: str, wanted: list[Any], begun: datetime) -> bool:
    """Return whether `answer` holds one of `wanted`: a text, texts that must all be there, or a time as {FORMAT ZONE}."""
    said = answer.lower()

    def there(text: str) -> bool:
        return any(one.lower() in said for one in _moments(text, begun))

    return any(there(one) if isinstance(one, str) else all(there(part) for part in one) for one in wanted)


def _moments(text: str, begun: datetime) -> list[str]:
    found = re.fullmatch(r"\{(.*?)(?: (\w+/\w+))?\}", text)
    if not found:
        return [text]
    zone = ZoneInfo(found[2]) if found[2] else None
    return [(begun + timedelta(minutes=late)).astimezone(zone).strftime(found[1]) for late in range(3)]


def main() -> int:
    broken = 0
    model = next((one for one in sys.argv[1:] if one not in MOST_MISSES), "")
    for name in [one for one in sys.argv[1:] if one in MOST_MISSES] or MOST_MISSES:
        print(f"{name} set", flush=True)
        scores = []
        for one in scored(name, model):
            scores.append(one)
            print(one, flush=True)
        good = sum(one.good for one in scores)
        print(f"{good} of {len(scores)}, {sum(one.seconds for one in scores) / len(scores):.1f} s a prompt", flush=True)
        broken += len(scores) - good > MOST_MISSES[name]
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
