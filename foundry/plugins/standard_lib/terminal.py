"""Commands, run in the jail: the working folder may be written, there is no network, and nothing outlives the session."""

from __future__ import annotations

from typing import Annotated

from foundry.plugins.api import Plan, Preview, ToolContext, ToolError, effects, kernel_function, planned
from foundry.plugins.standard_lib.jailed_folder import JailedFolder
from foundry.plugins.standard_lib.terminal_jobs import Job, jobs_of
from foundry.plugins.standard_lib.terminal_output import Output, both, how_it_ended, told
from foundry.plugins.standard_lib.text_files import check_whole

_LONGEST_COMMAND = 20_000
_LONGEST_RUN = 3600.0
_LONGEST_JOB = 24 * 3600.0


class Terminal:
    """Runs commands in the working folder."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context

    @kernel_function(description="Run a shell command in the working folder, such as: python script.py. No network.")
    @effects("runs")
    @planned
    def run(
        self,
        command: Annotated[str, "One line for /bin/sh"],
        timeout: Annotated[float, "Seconds it may take"] = 60.0,
    ) -> Plan:
        """Plan to run a command; doing it returns its output and how it ended. Raises ToolError for what cannot be run."""
        if not 0 < timeout <= _LONGEST_RUN:
            raise ToolError(f"timeout is more than 0 and at most {_LONGEST_RUN:g} seconds.")
        folder = self._checked(command)

        def do() -> str:
            from foundry.sandbox.cell import Bounds

            output = Output(self.context)
            bounds = Bounds(seconds=timeout, cpu=int(timeout) + 1)
            try:
                ended = folder.run(["/bin/sh", "-c", command], bounds, on_output=output.write)
            finally:
                output.end()
            one = ended.jailed
            note = how_it_ended(one.code, one.ended, ended.away, one.level, one.seconds)
            return told(both(output), note, self.context.limit)

        return Plan(self._preview("run", command, folder), do)

    @kernel_function(description="Start a command that runs in the background while you go on, such as a long build. No network.")
    @effects("runs")
    @planned
    def start(self, command: Annotated[str, "One line for /bin/sh"]) -> Plan:
        """Plan to start a job; doing it returns its number. Raises ToolError for what cannot be run, or too many jobs."""
        folder = self._checked(command)
        jobs = jobs_of(self.context.run)
        jobs.check_room()

        def do() -> str:
            from foundry.sandbox.cell import Bounds

            folder.check()
            bounds = Bounds(seconds=_LONGEST_JOB, cpu=int(_LONGEST_JOB), look=0.2)

            def work(job: Job) -> str:
                ended = folder.run(
                    ["/bin/sh", "-c", command],
                    bounds,
                    on_output=job.output.write,
                    on_started=job.started.set,
                    stop=job.stop,
                )
                one = ended.jailed
                how = "stopped" if one.ended == "interrupted" else one.ended
                return how_it_ended(one.code, how, ended.away, one.level, one.seconds)

            return self._said(jobs.start(command, Output(self.context, shown=False), work))

        return Plan(self._preview("start in the background", command, folder), do)

    @kernel_function(description="Look at background jobs: all of them, or what one has written since you last looked.")
    @effects("reads")
    def jobs(self, number: Annotated[int, "The job's number; 0 lists all"] = 0) -> str:
        """Return the list of jobs, or one's state and new output. Raises ToolError for a number that no job has."""
        jobs = jobs_of(self.context.run)
        return self._said(jobs.find(number)) if number else jobs.listed()

    # It ends only what the person let begin, so nobody is asked.
    @kernel_function(description="Stop a background job.")
    @effects("reads")
    def stop(self, number: Annotated[int, "The job's number"]) -> str:
        """End a job and return its last output. Raises ToolError for a number that no job has."""
        job = jobs_of(self.context.run).find(number)
        job.end()
        return self._said(job)

    def _said(self, job: Job) -> str:
        state = job.state()  # before its output: what comes between is read next time
        return told(job.output.news(), state, self.context.limit)

    def _checked(self, command: str) -> JailedFolder:
        if not command.strip():
            raise ToolError("The command is empty.")
        if len(command) > _LONGEST_COMMAND or "\0" in command:
            raise ToolError(f"A command has at most {_LONGEST_COMMAND} characters and no NUL. Put it in a file and run that.")
        check_whole("command", command)
        return JailedFolder(self.context)

    @staticmethod
    def _preview(what: str, command: str, folder: JailedFolder) -> Preview:
        scope = f"the command: {command}" if what == "run" else f"the background command: {command}"
        return Preview(f"{what}: {command}", command=command, folder=str(folder.path), scope=scope)
