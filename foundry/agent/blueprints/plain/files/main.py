"""Starts this agent; change it as you like. `foundry run` calls it with the agent's own Python."""

import sys
from pathlib import Path

from foundry.session.start import main

if __name__ == "__main__":
    sys.exit(main(Path(__file__).resolve().parent))
