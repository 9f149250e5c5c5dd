"""`python -m usage_tracker.cli`."""

from usage_tracker.cli import main

main(prog_name="usage-tracker")
