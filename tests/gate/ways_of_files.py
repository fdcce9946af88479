"""Ways to its own rules, secrets, code, history and trust by the file tools, from its workspace and from around the world."""

from __future__ import annotations

from tests.gate.forty import EVIL, Way, call, move, write

EVIL_PLUGIN = f"open('x', 'w').write({EVIL!r})"
BY_FILE_TOOL = [
    Way("its rules, by ..", [write("../agent.config.json", "{}")]),
    Way("its rules, edited", [call("read_write_code.edit_file", path="../agent.config.json", old="{", new="{ ")]),
    Way("its secrets, by ..", [write("../.env", "KEY=x")]),
    Way("main.py, by a folder and back", [write("plugins/../../main.py")]),
    Way("a plugin, by ..", [write("../plugins/greeter/__init__.py")]),
    Way("a new plugin, by ..", [write("../plugins/evil/__init__.py")]),
    Way("the lock, by ..", [write("../requirements.lock")]),
    Way("its record, by ..", [write("../.foundry.json", "{}")]),
    Way("its venv, by ..", [write("../venv/evil.pth"), write("../venv/lib/python3.11/site-packages/evil.pth")]),
    Way("main.py, by a link made before", [write("out/main.py"), call("read_write_code.delete", path="out/main.py")]),
    Way("its secrets, by a link made before", [write("env", "KEY=x")]),
    Way("its secrets, by a hard link", [write("hard_env", "KEY=x"), move("hard_env", "seen.txt")]),
    Way("trust, by a link made before", [write("state/agent-foundry/agents/x.json", "{}"), move("notes.txt", "state/x")]),
    Way("main.py, by a file moved there", [move("notes.txt", "../main.py")]),
    Way("plugins, by a folder moved there", [move("plugins", "../plugins/evil"), move("plugins", "out/plugins/evil")]),
    Way("a link made before, moved onto a folder", [move("out", "plugins/out"), write("plugins/out/main.py")]),
    Way("secrets that are not there yet", [write(".env", "KEY=x"), write("sub/.env.local", "KEY=x")]),
    Way("secrets in other letters", [write(".ENV", "KEY=x"), write(".Env", "KEY=x")]),
    Way("secrets with a dot or a blank behind", [write(".env ", "KEY=x"), write(".env.", "KEY=x"), write(".env..", "")]),
    Way("secrets with a letter nobody sees", [write(".e\u200bnv", "KEY=x"), write("\uff0eenv", "KEY=x")]),
    Way("its rules in other letters", [write("../Agent.Config.JSON", "{}"), write("sub/AGENT.config.json", "{}")]),
    Way("a repository's hooks that is not there", [write(".git/hooks/post-checkout"), write(".GIT/config")]),
    Way("a folder moved to a repository's name", [write("h/hooks/post-checkout"), move("h", ".git"), move("h", ".GIT")]),
    Way("another agent", [write("../../other/main.py"), write("../../other/agent.config.json", "{}")]),
    Way("history", [write("../../../.foundry/history/x/head.json", "{}"), write("../../../.foundry/settings.json", "{}")]),
    Way("the home's keys", [write("../../../.env", "OPENAI_API_KEY=x")]),
    Way(
        "the folder by the process's own names", [write("/proc/self/cwd/main.py"), write("/proc/self/root/x"), write("/dev/fd/3")]
    ),
    Way(
        "delete its plugins and itself",
        [call("read_write_code.delete", path=one) for one in ("../plugins", "..", "out", "out/.")],
    ),
]

BY_FILE_TOOL_AROUND = [
    Way("rules, from above", [write("home/agents/scout/agent.config.json", "{}")]),
    Way("secrets, from above", [write("home/agents/scout/.env", "KEY=x"), write("home/.env", "X=x")]),
    Way("main.py, from above", [write("home/agents/scout/main.py")]),
    Way("a plugin, from above", [move("user/project/src/a.txt", "home/agents/scout/plugins/greeter/a.txt")]),
    Way("an agent of its own making", [write("home/agents/evil/main.py"), write("home/agents/evil/notes.txt")]),
    Way(
        "history, from above",
        [write("home/.foundry/history/a/head.json", "{}"), call("read_write_code.delete", path="home/.foundry")],
    ),
    Way(
        "trust, from above",
        [write("user/state/agent-foundry/agents/x.json", "{}"), call("read_write_code.delete", path="user/state")],
    ),
    Way("the whole home moved away", [move("home", "elsewhere")]),
    Way("the folder of agents moved away", [move("home/agents", "user/agents")]),
    Way("the folder that holds trust moved away", [move("user", "nobody")]),
    Way("a repository's hook", [write("user/project/.git/hooks/pre-push"), write("user/project/.git/hooks/new")]),
    Way(
        "a repository's configuration, edited",
        [call("read_write_code.edit_file", path="user/project/.git/config", old="[core]", new="[x]")],
    ),
    Way("a start file", [write("user/.bashrc"), write("user/project/.bashrc")], asks=".bashrc"),
    Way("a start file by a link made before", [write("user/project/src/rc")], asks=""),
    Way("a start file in other letters", [write("user/project/.BASHRC")], asks=".BASHRC"),
    Way("a start file that is not there yet", [write("user/.zshenv"), write("user/.profile")], asks=".zshenv"),
    Way("keys", [write("user/.ssh/authorized_keys"), write("user/.ssh/config")]),
    Way(
        "a folder moved to where programs start from",
        [write("user/project/src/c/autostart/x.desktop"), move("user/project/src/c/autostart", "user/.config/autostart")],
        asks="autostart",
    ),
    Way("the fish's start file", [write("user/.config/fish/config.fish")], asks="config.fish"),
    Way("a start file's folder", [move("user/.config", "user/project/src/c2")], asks="c2"),
    Way(
        "a start file that is a link",
        [write("user/project/.profile"), call("read_write_code.delete", path="user/project/.profile")],
        asks=".profile",
    ),
    Way(
        "an agent in the project",
        [write("user/project/agent/main.py"), write("user/project/agent/plugins/p/__init__.py")],
        asks="main.py",
    ),
    Way(
        "a plugin for the agent in the project",
        [write("user/project/src/q/__init__.py", EVIL_PLUGIN), move("user/project/src/q", "user/project/agent/plugins/q")],
        asks="plugins/q",
    ),
    Way(
        "the rules of the agent in the project",
        [write("user/project/agent/agent.config.json", "{}"), move("user/project/agent", "user/project/src/agent")],
    ),
    Way(
        "a packages' start file",
        [write("user/project/src/sitecustomize.py"), write("user/project/src/.vscode/tasks.json")],
        asks="sitecustomize",
    ),
]
