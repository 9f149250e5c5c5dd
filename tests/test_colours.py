"""What the commands colour can be read on any background."""

from colorsys import rgb_to_hls
from itertools import pairwise

import pytest
from rich.color_triplet import ColorTriplet
from rich.console import Console
from rich.style import Style

from usage_tracker.cli.colours import OF_16, OF_256, Colours, colours_of

BLACK, WHITE = ColorTriplet(0, 0, 0), ColorTriplet(255, 255, 255)


def rgb(style: str) -> ColorTriplet:
    color = Style.parse(style).color
    assert color is not None
    assert color.number is not None
    assert color.number >= 16, "themes give the first sixteen other colours"
    return color.get_truecolor()


def luminance(color: ColorTriplet) -> float:
    """https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), parts, strict=True))


def contrast(one: ColorTriplet, other: ColorTriplet) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(
    ("style", "least"), [*((style, 4.0) for style in OF_256[:2]), *((style, 3.0) for style in OF_256.bars)]
)
def test_a_colour_stands_out_from_black_and_from_white(style: str, least: float) -> None:
    assert min(contrast(rgb(style), background) for background in (BLACK, WHITE)) >= least


def test_bars_beside_each_other_are_of_different_hues() -> None:
    hues = [rgb_to_hls(*rgb(style).normalized)[0] for style in OF_256.bars]
    for one, other in pairwise(hues):
        assert min(abs(one - other), 1 - abs(one - other)) > 0.05


@pytest.mark.parametrize(("term", "colours"), [("xterm", OF_16), ("xterm-256color", OF_256)])
def test_a_terminal_of_few_colours_is_given_none_but_its_own(
    term: str, colours: Colours, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", term)
    assert colours_of(Console(force_terminal=True)) == colours
