"""Colours that can be read on black and on white: terminals don't say which of them they have.

They are numbers of the palette of 256, which themes leave alone. Text has a contrast of at least 4 to both, bars of at
least 3 (https://www.w3.org/TR/WCAG22/#contrast-minimum). Terminals of 16 colours show the nearest that they have.
"""

HEADER = "bold color(31)"
MONEY = "color(28)"
NOTE = "color(130)"
BARS = tuple(f"color({number})" for number in (31, 133, 28, 130, 62, 160, 66, 100, 168))
