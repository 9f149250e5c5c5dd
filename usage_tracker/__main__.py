"""`python -m usage_tracker`: the command `usage-tracker`, also where its script is not on the path."""

from usage_tracker.cli import main

main(prog_name="usage-tracker")
