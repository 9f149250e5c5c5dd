"""Limits of what may be used, and how calls are held to them: amounts, windows, reservations, alerts."""
