"""Git repositories of the working folder: read, changed and exchanged with their remotes; nothing a repository brings is run."""

from __future__ import annotations

from typing import Annotated

from foundry.plugins.api import Plan, ToolContext, effects, kernel_function, planned
from foundry.plugins.standard_lib import git_changes, git_read, git_sync
from foundry.plugins.standard_lib.git_changes import Limits
from foundry.plugins.standard_lib.git_repository import opened

Where = Annotated[str, "The repository's folder"]


class Git:
    """Works in git repositories. A repository's own configuration, hooks, filters and drivers have no effect."""

    def __init__(self, context: ToolContext, limits: Limits | None = None) -> None:
        self.context = context
        self._limits = limits or Limits()

    @kernel_function(description="What is changed, staged or new in a git repository, and its branch.")
    @effects("reads")
    def status(self, folder: Where = ".") -> str:
        """Return the branch and a line a file. Raises ToolError where there is no repository."""
        with opened(self.context, folder) as repo:
            return git_read.status(repo)

    @kernel_function(description="Differences of tracked files, as a patch.")
    @effects("reads")
    def diff(
        self,
        path: Annotated[str, "Only this; empty: all"] = "",
        staged: Annotated[bool, "What the next commit would hold"] = False,
        since: Annotated[str, "A commit or branch to compare with"] = "",
        folder: Where = ".",
    ) -> str:
        """Return a summary and the patch, as much as fits. Raises ToolError."""
        with opened(self.context, folder) as repo:
            return git_read.diff(repo, path, staged, since)

    @kernel_function(description="The newest commits: id, day, author, subject.")
    @effects("reads")
    def log(
        self,
        most: int = 20,
        path: Annotated[str, "Only commits that change this"] = "",
        branch: Annotated[str, "Empty: the current one"] = "",
        folder: Where = ".",
    ) -> str:
        """Return one line a commit, newest first. Raises ToolError."""
        with opened(self.context, folder) as repo:
            return git_read.log(repo, most, path, branch)

    @kernel_function(description="One commit: its message and what it changed.")
    @effects("reads")
    def show(self, commit: Annotated[str, "Id or branch"] = "HEAD", folder: Where = ".") -> str:
        """Return author, date, message and patch, as much as fits. Raises ToolError."""
        with opened(self.context, folder) as repo:
            return git_read.show(repo, commit)

    @kernel_function(description="The branches of a git repository; * is checked out.")
    @effects("reads")
    def branches(self, folder: Where = ".") -> str:
        """Return one line a branch, also those known of remotes. Raises ToolError."""
        with opened(self.context, folder) as repo:
            return git_read.branches(repo)

    @kernel_function(description="Check out another branch, or make a new one here.")
    @effects("writes")
    @planned
    def branch(self, name: str, new: Annotated[bool, "Make it"] = False, folder: Where = ".") -> Plan:
        """Return the plan of a branch checked out, with the files that change. Raises ToolError."""
        return git_changes.switch(self.context, folder, name, new, self._limits)

    @kernel_function(description="Stage files for the next commit.")
    @effects("writes")
    @planned
    def add(self, paths: Annotated[list[str], "Files or folders in the repository"], folder: Where = ".") -> Plan:
        """Return the plan of files staged. Raises ToolError for protected files and for secrets in them."""
        return git_changes.add(self.context, folder, paths)

    @kernel_function(description="Commit what is staged.")
    @effects("writes")
    @planned
    def commit(self, message: str, paths: Annotated[list[str] | None, "Staged too before"] = None, folder: Where = ".") -> Plan:
        """Return the plan of a commit, with each file before and after. Raises ToolError."""
        return git_changes.commit(self.context, folder, message, paths or [])

    @kernel_function(description="Clone a repository into a new folder.")
    @effects("network", "writes")
    @planned
    def clone(self, url: Annotated[str, "https://…, or a folder"], to: Annotated[str, "The new folder"] = "") -> Plan:
        """Return the plan of a clone. Raises ToolError for an address that is not used."""
        return git_sync.clone(self.context, url, to, self._limits)

    @kernel_function(description="Get the remote's new commits of the current branch; never merges.")
    @effects("network", "writes")
    @planned
    def pull(self, folder: Where = ".") -> Plan:
        """Return the plan of a pull. Raises ToolError."""
        return git_sync.pull(self.context, folder, self._limits)

    @kernel_function(description="Send the current branch's commits to its remote; never forced.")
    @effects("network")
    @planned
    def push(self, folder: Where = ".") -> Plan:
        """Return the plan of a push, with the commits that go. Raises ToolError."""
        return git_sync.push(self.context, folder)
