"""Words in sentences about what was asked for: what was probably meant, and how options are called elsewhere."""

import difflib
import re
from collections.abc import Iterable

OPTION = re.compile(r"(?<![\w'\"-])--([a-z-]+)")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """How the sentence about a word that is none of those ends, before it says which there are."""
    near = difflib.get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else "."


def without_options(sentence: str) -> str:
    """The sentence of the command line with the names of its options as parameters and fields have them."""
    return OPTION.sub(lambda option: option[1].replace("-", "_"), sentence)
