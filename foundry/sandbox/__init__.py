"""Where code that nobody accepted yet runs: `jail.run()` for commands, `warm.WarmPython` for functions.

Doors: jail.py (types, probe, run, stop_all), warm.py (WarmPython), still.py (held_still). Behind them: walls.py lays out what
jailed code sees (bubblewrap), filters.py and stage.py lock a process in from inside (seccomp, Landlock, limits, another uid),
watch.py keeps the bounds that the kernel does not, seatbelt.py writes the macOS profile. stage.py, zygote.py and snippet.py run
inside the jail on the bare standard library and import nothing of Foundry. The room imports agent, processes, settings, files and
errors, nothing above.
"""
