"""How much room text takes on a terminal, where many characters of East Asia are two wide. Imports a part of rich."""

from rich.cells import cell_len, set_cell_size

GAP = 2
"""Between two columns, in characters."""


def room_of(text: str) -> int:
    """What most texts take, told in a tenth of the time."""
    return len(text) if text.isascii() and text.isprintable() else cell_len(text)


def widest(texts: list[str]) -> int:
    return max(map(room_of, texts), default=0)


def fill(text: str, width: int, *, right: bool = False) -> str:
    """The text and as many spaces as it lacks, after it or, with `right`, before."""
    spaces = " " * (width - room_of(text))
    return spaces + text if right else text + spaces


def cut_middle(text: str, width: int) -> str:
    """The text or, where it is wider, its beginning and its end, which mostly tell more, and a mark between them."""
    if room_of(text) <= width:
        return text
    end = text[-((width - 1) // 2) :]
    while room_of(end) > width // 2:
        end = end[1:]
    return f"{set_cell_size(text, width - 1 - room_of(end))}…{end}"


def cut(text: str, width: int) -> str:
    """The text or, where it is wider, its beginning and a mark."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
