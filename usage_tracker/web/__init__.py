"""The dashboard and the HTTP interface: an ASGI app over the read side. Needs the extra `dashboard`.

It stands on the command line, whose words for ranges and conditions, and whose JSON and CSV, it shares: what a page
shows is what `usage-tracker report` prints for the same question.
"""
