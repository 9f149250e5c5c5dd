"""The command `usage-tracker`: thin commands over the other layers. `main` is its entry point."""

from usage_tracker.cli.commands import main

__all__ = ["main"]
