"""Limits of what may be used, and how calls are held to them: amounts, windows, reservations, alerts."""

VIEW_FILE = "budgets.json"
"""In the spool folder, what a process of the host knows of them, for its neighbours: see `view`. Here, as who looks for
it need not load anything of budgets where it isn't."""
