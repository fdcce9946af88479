"""What a shell asks on Tab, and what it is told: three short scripts, one answer in lines of kind, word and meaning.

A script hands the line up to the cursor over in _FOUNDRY_COMPLETE, as text: no word of it is run, and should something else than
Foundry be called, that gets no arguments to act on. The answer names words of plain characters only, so that a shell has nothing
to quote or obey in them; files are listed by the shell itself. Nobody who presses Tab wants to read of an error, or wait long.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

_PATIENCE = 2.0  # seconds
_PLAIN = re.compile(r"[A-Za-z0-9_.,:@/+-]+")

# Readline replaces only what stands behind the last of its word breaks (= : @): `kept` is what stands before.
_BASH = r"""_foundry_completion() {
    local program=PROGRAM line=${COMP_LINE:0:COMP_POINT} option= kept kind word help name
    [[ -x $program ]] || program=foundry
    kept=${line%"$2"}
    kept=${kept##*[[:space:]]}
    kept=${kept//[\"\'\\]/}
    [[ $kept$2 == -*=* ]] && option=$kept$2 && option=${option%%=*}=
    COMPREPLY=()
    while IFS=$'\t' read -r kind word help; do
        case $kind in
        plain) word=$option$word && COMPREPLY+=("${word:${#kept}}") ;;
        file) compopt -o default ;;
        dir) compopt -o dirnames ;;
        at)
            while IFS= read -r name; do
                [[ -e $name && $name != *[[:cntrl:]]* ]] || continue
                [[ -d $name ]] && name+=/ && compopt -o nospace
                [[ ${line%"$2"} == *[\"\'] ]] || printf -v name %q "$name"
                name=$option@$name && COMPREPLY+=("${name:${#kept}}")
            done <<< "$(compgen -f -- "$word")" ;;
        esac
    done <<< "$(_FOUNDRY_COMPLETE=$line "$program" 2>/dev/null)"
}

complete -F _foundry_completion foundry
"""

_ZSH = r"""#compdef foundry

_foundry_completion() {
    local program=PROGRAM line="${(j: :)words[1,CURRENT-1]} $QIPREFIX$PREFIX" kind word help paths
    local -a found
    [[ -x $program ]] || program=foundry
    while IFS=$'\t' read -r kind word help; do
        case $kind in
        plain) found+=("${word//:/\\:}${help:+:$help}") ;;
        file|dir|at) paths=$kind ;;
        esac
    done <<< "$(_FOUNDRY_COMPLETE=$line $program 2>/dev/null)"
    [[ $PREFIX == -*=* ]] && compset -P 1 '*='
    case $paths in
    file) _files ;;
    dir) _path_files -/ ;;
    at) compset -P @ && _files ;;
    *) (( $#found )) && _describe -V foundry found -M 'm:{a-zA-Z}={A-Za-z}' ;;
    esac
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _foundry_completion "$@"
else
    compdef _foundry_completion foundry
fi
"""

_FISH = r"""function _foundry_completion
    set -l program PROGRAM
    test -x $program; or set program foundry
    set -l option (string match --regex -- '^-[^=]+=' (commandline -ct))
    set -l line (commandline -cp | string collect)
    env _FOUNDRY_COMPLETE="$line" $program 2>/dev/null | while read --delimiter \t kind word help
        switch $kind
            case plain
                printf '%s\t%s\n' "$option$word" "$help"
            case file
                printf '%s\n' "$option"(__fish_complete_path "$word")
            case dir
                printf '%s\n' "$option"(__fish_complete_directories "$word" "")
            case at
                printf '%s\n' "$option@"(__fish_complete_path "$word")
        end
    end
end

complete --command foundry --no-files --arguments '(_foundry_completion)'
"""
_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str) -> str:
    """Return the script of a shell; it asks the very program that printed it, or if that is gone the `foundry` on the PATH."""
    program = shutil.which(sys.argv[0])
    return _SCRIPTS[shell].replace("PROGRAM", shlex.quote(str(Path(program).absolute()) if program else "foundry"))


def answer(cli: click.Command) -> None:
    """Print what may stand where the line in _FOUNDRY_COMPLETE ends: nothing where that cannot be told, or not in time."""
    signal.signal(signal.SIGALRM, _too_late)
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE)
    lines: list[str] = []
    with suppress(Exception), redirect_stdout(io.StringIO()):
        lines = list(_lines(cli, os.environ["_FOUNDRY_COMPLETE"]))
    signal.setitimer(signal.ITIMER_REAL, 0)
    sys.stdout.writelines(lines)


def _lines(cli: click.Command, line: str) -> Iterator[str]:
    # A character that no line holds closes the last word: it is there even where nothing of it is typed yet.
    *before, last = split_arg_string(f"{line}\0")
    for item in ShellComplete(cli, {}, "foundry", "").get_completions(before[1:], last.removesuffix("\0")):
        if _sayable(item):
            yield "\t".join([item.type, item.value, " ".join((item.help or "").split())]) + "\n"


def _sayable(item: CompletionItem[str]) -> bool:
    return bool(_PLAIN.fullmatch(item.value)) if item.type == "plain" else item.value.isprintable()


def _too_late(*_: object) -> None:
    raise TimeoutError
