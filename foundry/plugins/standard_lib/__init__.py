"""Tools that come with Foundry: one plugin a file, named in built_ins.py; where it grows, its further modules are NAME_thing.

A tool imports plugins/api, what the room below it offers, and its own library, that only when it is used. What tools share:
`worker` asks a process that something hostile may hang or burst, which begins with `worker_bounds`; `text_files` and `ignored`
say what is text and what is passed over; `hosts` which of them are this machine; `jailed_folder` gives the folder to the jail.
`setting` is the typesetter behind pdf.
"""
