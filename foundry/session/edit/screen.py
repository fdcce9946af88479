"""The one screen of a proposal: everything that would change, then all of it, file by file, another edit, or no."""

from __future__ import annotations

from pathlib import PurePosixPath

from foundry.console import Block, Console, Diff, spelled
from foundry.session.edit.proposal import Proposal, Verdict, blocks
from foundry.session.terminal import Asker


class Screen:
    """Shows a proposal and brings what the person says; what covers calls, a mode or an "always", never covers this."""

    def __init__(self, console: Console, asker: Asker) -> None:
        self._console = console
        self._asker = asker

    async def __call__(self, proposal: Proposal) -> Verdict:
        """Return what the person says; Enter, the end of input, Ctrl+C and no terminal are a no."""
        answers = {"y": "all", "n": "no", "c": "comment"}
        if len(proposal.files) > 1:
            answers["f"] = "file by file"
        answers["e"] = "edit a file"
        said = await self._asker.choose("proposal", blocks(proposal), answers, "Accept it?")
        if said == "y":
            return Verdict("accept", tuple(one.name for one in proposal.files))
        if said == "f":
            return await self._file_by_file(proposal)
        if said == "e":
            return await self._edited(proposal)
        if said == "c":
            return Verdict("reject", comment=await self._asker.line("Say to the model:"))
        return Verdict("reject")

    async def _file_by_file(self, proposal: Proposal) -> Verdict:
        taken = []
        with self._asker.together():
            for file in proposal.files:
                shown: list[Block] = [file]
                if await self._asker.choose(file.name, shown, {"y": "take it", "n": "leave it"}, "This file?") == "y":
                    taken.append(file.name)
            if not taken or self._asker.refused:
                return Verdict("reject")
        return Verdict("accept", tuple(taken))

    async def _edited(self, proposal: Proposal) -> Verdict:
        """Return the text of one changed file as the person leaves it in their editor, to be checked and shown anew."""
        file = await self._which(proposal)
        if file is None:
            return Verdict("edit")
        try:
            text = (file.after or b"").decode()
        except UnicodeDecodeError:
            self._console.warn(f"{file.name} is no UTF-8 text.")
            return Verdict("edit")
        edited = await self._asker.edited(text, PurePosixPath(file.name).suffix or ".txt")
        return Verdict("edit") if edited in (None, text) else Verdict("edit", (file.name,), text=edited or "")

    async def _which(self, proposal: Proposal) -> Diff | None:
        files = [file for file in proposal.files if file.after is not None]
        if len(files) < 2:
            return files[0] if files else None
        numbers = {str(number): file for number, file in enumerate(files, 1)}
        listed: list[Block] = [f"{number}  {spelled(file.name)}" for number, file in numbers.items()]
        said = await self._asker.choose("which file", listed, {number: "" for number in numbers}, "Edit:")
        return numbers.get(said)
