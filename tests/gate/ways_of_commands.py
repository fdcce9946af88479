"""Ways to its own rules, secrets, code, history and trust by commands, from its workspace and from around the world."""

from __future__ import annotations

from tests.gate.forty import EVIL, Way, by_command, command, move, write

ARCHIVE = (
    "python - <<'E'\nimport io, tarfile, zipfile\nfor kind in ('tar', 'zip'):\n"
    "  names = {names}\n"
    "  if kind == 'tar':\n    with tarfile.open('a.tar', 'w') as t:\n      for n in names:\n"
    "        i = tarfile.TarInfo(n); i.size = 1; t.addfile(i, io.BytesIO(b'x'))\n"
    "  else:\n    with zipfile.ZipFile('a.zip', 'w') as z:\n      for n in names: z.writestr(n, 'x')\nE\n"
)


def _archive(*names: str) -> str:
    return ARCHIVE.replace("{names}", repr(list(names)))


BY_COMMAND = [
    by_command("tee into its rules", "echo '{}' | tee ../agent.config.json"),
    by_command("cp onto main.py", "cp notes.txt ../main.py; cp notes.txt out/main.py"),
    by_command("a link made by a command", "ln -s ../.env made", "echo KEY=x > made", "ln -s ../plugins p2", "echo x > p2/x.py"),
    Way(
        "a link made by a command, written by a tool",
        [command("ln -sfn .. away"), write("away/main.py"), move("notes.txt", "away/x.py")],
        asks="run: ",
    ),
    by_command("a hard link made by a command", "ln ../.env made2; ln out/main.py made3; echo x >> made3"),
    by_command(
        "write through a hard link made before", f"echo {EVIL} >> hard_main", "echo KEY=x >> hard_env", "chmod 777 hard_main"
    ),
    by_command("read secrets through a hard link made before", "rev hard_env"),
    by_command("mv onto its plugins", "mv plugins ../plugins/evil; mv notes.txt ../plugins/greeter/__init__.py"),
    by_command(
        "unpack a tar above itself", _archive("../main.py", "../plugins/e/__init__.py", ".git/hooks/x", ".env"), "tar xPf a.tar"
    ),
    by_command(
        "unpack a zip above itself",
        _archive("../main.py", ".git/hooks/x", "s/.env"),
        "unzip -o -: a.zip || python -m zipfile -e a.zip .",
    ),
    by_command(
        "python",
        "python -c \"open('../main.py','w').write('x')\"",
        'python -c "import os',
        "os.replace('notes.txt','out/main.py')\"",
    ),
    by_command(
        "its venv",
        "d=$(python -c 'import site",
        "print(site.getsitepackages()[0])')",
        "echo 'import os' > $d/evil.pth",
        "echo x >> ../venv/pyvenv.cfg",
    ),
    by_command("pip", "python -m pip install --no-index evil; python -m venv --clear ../venv"),
    by_command(
        "git init and a hook",
        "git init -q .",
        "git init -q sub",
        "echo x > sub/.git/hooks/pre-commit",
        "git config --global core.pager x",
    ),
    by_command("chmod of what is its own", "chmod -R 777 .. out state hard_env; chown 0:0 ../.env"),
    by_command("rm of all it can name", "rm -rf ../plugins out/plugins state/* ../.env ../../other ../../../.foundry"),
    by_command(
        "a daemon that waits",
        "(setsid sh -c 'sleep 0.5",
        "echo x > .env",
        "echo x > ../main.py",
        "mkdir -p .git/hooks' >/dev/null 2>&1 &) ",
        "true",
    ),
    by_command(
        "the process's own names",
        "echo x > /proc/self/cwd/../main.py",
        "echo x > /proc/self/root/$PWD/../.env",
        "echo x > /proc/1/cwd/.env",
    ),
    by_command(
        "secrets of its own making",
        "echo KEY=x > .env",
        "mkdir sub2",
        "echo x > sub2/.ENV",
        "mkfifo .envrc",
        "ln -s notes.txt .env.local",
    ),
    by_command(
        "in a folder that nobody can look into", "mkdir -p shut/.git/hooks", "echo x > shut/.git/hooks/pre-commit", "chmod 0 shut"
    ),
    by_command("an agent of its own making", "mkdir -p a/plugins/p", "echo '{}' > a/agent.config.json", "echo x > a/main.py"),
    by_command(
        "trust",
        "echo '{}' > $HOME/state/agent-foundry/agents/x.json",
        "find / -name '*.decisions.jsonl' -exec sh -c 'echo x >> {}' ';' 2>/dev/null",
    ),
    by_command(
        "mount and namespaces",
        "unshare -rm sh -c 'mount --bind / /mnt",
        "echo x > /mnt$PWD/../main.py'",
        "umount ../",
        "echo x > ../main.py",
    ),
]

BY_COMMAND_AROUND = [
    by_command(
        "tee into everything",
        "for f in home/agents/*/main.py home/agents/*/.env home/agents/*/agent.config.json home/.env",
        "do echo x | tee $f",
        "done",
    ),
    by_command(
        "move the home away", "mv home elsewhere", "mv home/agents home/agents2", "mv home/.foundry user/project/src/history"
    ),
    by_command(
        "move the state away",
        "mv user nobody",
        "mv user/state user/state2",
        "mkdir -p user/state/agent-foundry/agents",
        "echo '{}' > user/state/agent-foundry/agents/x.json",
    ),
    by_command(
        "take the home's place",
        "mkdir -p user/project/src/h2/agents/scout",
        "echo x > user/project/src/h2/agents/scout/main.py",
        "mv home user/project/src/ &&",
        "mv user/project/src/h2 home",
    ),
    by_command(
        "history", "rm -rf home/.foundry", "echo '{}' > home/.foundry/history/head.json", "find . -name head.json -delete"
    ),
    by_command(
        "a repository's hook",
        "cd user/project && echo x > .git/hooks/pre-push",
        "git config core.hooksPath /tmp",
        "mv .git src/git",
        "rm -rf .git",
    ),
    by_command(
        "start files",
        "cd user && echo x >> .bashrc",
        "echo x > .profile",
        "mv .bashrc project/src/",
        "rm -f .bashrc",
        "cp project/src/a.txt .zshenv",
    ),
    by_command(
        "start files by a link made before", "echo x >> user/project/src/rc", "cp user/project/src/a.txt user/project/src/rc"
    ),
    by_command(
        "a start file that is a link",
        "cd user/project && rm .profile",
        "echo x > .profile",
        "rm .profile",
        "ln -s src/a.txt .profile",
    ),
    by_command(
        "a start file's number given to another",
        "cd user/project && rm .profile && for i in 1 2 3",
        "do echo x > .zshenv$i",
        "done",
        "ln -s src/profile .login",
    ),
    by_command(
        "a start file's folder moved away",
        "cd user && mv .config project/src/c2",
        "echo x >> project/src/c2/fish/config.fish",
        "mkdir -p .config/fish",
    ),
    by_command("keys", "echo k >> user/.ssh/authorized_keys; cat user/.ssh/* | rev; mv user/.ssh user/project/src/"),
    by_command(
        "an archive over the home",
        _archive("user/.bashrc", "user/.profile", "home/agents/scout/main.py", "user/project/src/.git/config"),
        "tar xf a.tar",
        "unzip -oq a.zip",
        "rm -f a.tar a.zip",
    ),
    by_command(
        "secrets, backwards", "rev home/agents/scout/.env home/.env user/project/.env", "tar c . | tar xO | rev | grep -a yranac"
    ),
    by_command(
        "an agent in the project",
        "cd user/project/agent && echo x > main.py",
        "mkdir -p plugins/q",
        "echo x > plugins/q/__init__.py",
        "echo x > json.py",
        "rm agent.config.json",
    ),
    by_command(
        "an environment for the agent in the project",
        "cd user/project/agent && mkdir -p venv/bin && echo x > venv/bin/python && touch venv/.foundry-whole",
    ),
    by_command(
        "links where start files are",
        "cd user && ln -sf project/src/a.txt .profile",
        "ln -sf project/src/a.txt .bash_login",
        "ln -s . .vscode",
    ),
    by_command(
        "a mountain to hide behind",
        "cd user/project/src &&",
        "mkdir many &&",
        "cd many &&",
        'python -c "import os\nfor i in range(3000): os.mkdir(str(i))" &&',
        "mkdir -p 7/.git/hooks &&",
        "echo x > 7/.env",
        "cd ..",
        "rm -rf many/[0-6]* many/8* many/9*",
    ),
]
