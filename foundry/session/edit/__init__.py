"""Edit mode: agent and person build the agent's plugins together, and nothing is so before the person accepts it.

`Shadow` is a copy of the agent's code that is written freely; `EditSession` offers the tools that work on it; `propose` has it
checked in the jail (checking.py) and hands a `Proposal`, all that one screen shows, to `decide`, which brings a `Verdict`: accept
(all of its files or some), reject (with a word to the model) or edit (the person's own text of a file, checked and shown anew).
On accept the proposal goes to `accept`, which puts exactly `proposal.put()` in place and returns what the model is told.

Below stand the loader, the jail and the agent's history; nothing of them knows of edit mode.
"""
