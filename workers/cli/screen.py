"""Where the commands print: the terminal, or lines wide enough for a log file."""

import sys

from rich.console import Console

LOG_WIDTH = 140
out = Console(highlight=False, width=None if sys.stdout.isatty() else LOG_WIDTH)
