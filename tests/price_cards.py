"""Public price cards, copied by hand with where they stand and as of when: what calls have to cost.

US dollars for a million tokens, unless said otherwise; `-` is what a card doesn't have.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

OPENAI = "https://developers.openai.com/api/docs/pricing, as of September 2026"
ANTHROPIC = "https://platform.claude.com/docs/en/about-claude/pricing, as of September 2026"
ANTHROPIC_5_5 = "https://platform.claude.com/docs/en/about-claude/models, as of 2026-10-24"
GEMINI_2 = "https://ai.google.dev/gemini-api/docs/pricing, last updated 2025-10-31"
GEMINI_3 = "https://ai.google.dev/gemini-api/docs/pricing, read 2026-10-07"
GEMINI_TIERS = "https://ai.google.dev/gemini-api/docs/optimization, read in October 2026"
PERPLEXITY = "https://docs.perplexity.ai/docs/getting-started/pricing, verified 2026-02-24"
LITELLM_BLOG = "https://docs.litellm.ai/blog/gpt-6-1-terra, as of 2026-11-23"
AUDIO_PREVIEW = "https://developers.openai.com/api/docs/models/gpt-4o-audio-preview, as of 2026-03-23"
ZAI = "https://docs.z.ai/guides/overview/pricing, as of March 2026"
BEDROCK = "https://aws.amazon.com/bedrock/pricing/, AWS Price List us-east-1 of 2026-09-11"

MILLION = 1_000_000


@dataclass(frozen=True)
class Card:
    """What one model costs, on these terms, as of that day."""

    source: str
    provider: str
    model: str
    prices: dict[str, str]
    """By name of the count: input, cached, write, write_1h, output, audio, …"""
    at: datetime
    tier: str | None = None
    edge: int | None = None
    """The input tokens up to which `prices` hold …"""
    above: dict[str, str] = field(default_factory=dict)
    """… and what holds beyond them, for the whole request."""
    host: str | None = None
    raw: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return " ".join(
            part for part in (self.provider, self.model, self.tier, f"{self.at:%Y-%m-%d}", self.host) if part
        )


def rows(text: str) -> Iterator[list[str]]:
    return (line.split() for line in text.strip().splitlines())


def priced(names: str, figures: list[str]) -> dict[str, str]:
    return {name: figure for name, figure in zip(names.split(), figures, strict=True) if figure != "-"}


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def openai_cards(text: str, at: str, tier: str | None = None) -> Iterator[Card]:
    """Models with four prices of short context and four of long context, which begins above 272,000 tokens."""
    names = "input cached write output"
    for model, *figures in rows(text):
        short, long = priced(names, figures[:4]), priced(names, figures[4:])
        yield Card(OPENAI, "openai", model, short, day(at), tier, 272_000 if long else None, long)


OPENAI_STANDARD = """
gpt-6-astra             10.00  1.00   12.50  50.00   20.00  2.00  25.00  75.00
gpt-5.6-sol             4.00   0.40   5.00   20.00   8.00   0.80  10.00  30.00
gpt-5.6-terra           2.00   0.20   2.50   12.00   4.00   0.40  5.00   18.00
gpt-5.6-luna            0.20   0.02   0.25   1.20    0.40   0.04  0.50   1.80
gpt-5.5                 5.00   0.50   -      30.00   10.00  1.00  -      45.00
gpt-5.5-pro             30.00  -      -      180.00  60.00  -     -      270.00
gpt-5.4                 2.50   0.25   -      15.00   5.00   0.50  -      22.50
gpt-5.4-mini            0.75   0.075  -      4.50    -      -     -      -
gpt-5.4-nano            0.20   0.02   -      1.25    -      -     -      -
gpt-5.4-pro             30.00  -      -      180.00  60.00  -     -      270.00
gpt-5.2                 1.75   0.175  -      14.00   -      -     -      -
gpt-5.2-pro             21.00  -      -      168.00  -      -     -      -
gpt-5.1                 1.25   0.125  -      10.00   -      -     -      -
gpt-5                   1.25   0.125  -      10.00   -      -     -      -
gpt-5-mini              0.25   0.025  -      2.00    -      -     -      -
gpt-5-nano              0.05   0.005  -      0.40    -      -     -      -
gpt-5-pro               15.00  -      -      120.00  -      -     -      -
gpt-4.1                 2.00   0.50   -      8.00    -      -     -      -
gpt-4.1-mini            0.40   0.10   -      1.60    -      -     -      -
gpt-4.1-nano            0.10   0.025  -      0.40    -      -     -      -
gpt-4o                  2.50   1.25   -      10.00   -      -     -      -
gpt-4o-2024-05-13       5.00   -      -      15.00   -      -     -      -
gpt-4o-mini             0.15   0.075  -      0.60    -      -     -      -
o1                      15.00  7.50   -      60.00   -      -     -      -
o1-pro                  150.00 -      -      600.00  -      -     -      -
o3-pro                  20.00  -      -      80.00   -      -     -      -
o3                      2.00   0.50   -      8.00    -      -     -      -
o4-mini                 1.10   0.275  -      4.40    -      -     -      -
o3-mini                 1.10   0.55   -      4.40    -      -     -      -
gpt-4-turbo-2024-04-09  10.00  -      -      30.00   -      -     -      -
gpt-4-0613              30.00  -      -      60.00   -      -     -      -
gpt-3.5-turbo           0.50   -      -      1.50    -      -     -      -
gpt-3.5-turbo-0125      0.50   -      -      1.50    -      -     -      -
gpt-3.5-turbo-1106      1.00   -      -      2.00    -      -     -      -
gpt-3.5-turbo-instruct  1.50   -      -      2.00    -      -     -      -
davinci-002             2.00   -      -      2.00    -      -     -      -
davinci:2023-07-21-v2   2.00   -      -      2.00    -      -     -      -
babbage-002             0.40   -      -      0.40    -      -     -      -
gpt-5.3-codex           1.75   0.175  -      14.00   -      -     -      -
gpt-5.6-cyber           12.50  1.25   15.625 75.00   -      -     -      -
"""

OPENAI_FLEX = """
gpt-6-astra             5.00   0.50   6.25   25.00   10.00  1.00  12.50  37.50
gpt-5.6-sol             2.00   0.20   2.50   10.00   4.00   0.40  5.00   15.00
gpt-5.6-terra           1.00   0.10   1.25   6.00    2.00   0.20  2.50   9.00
gpt-5.6-luna            0.10   0.01   0.125  0.60    0.20   0.02  0.25   0.90
gpt-5.5                 2.50   0.25   -      15.00   5.00   0.50  -      22.50
gpt-5.4                 1.25   0.13   -      7.50    2.50   0.25  -      11.25
gpt-5.4-mini            0.375  0.0375 -      2.25    -      -     -      -
gpt-5.4-nano            0.10   0.01   -      0.625   -      -     -      -
gpt-5.2                 0.875  0.0875 -      7.00    -      -     -      -
gpt-5.1                 0.625  0.0625 -      5.00    -      -     -      -
gpt-5                   0.625  0.0625 -      5.00    -      -     -      -
gpt-5-mini              0.125  0.0125 -      1.00    -      -     -      -
gpt-5-nano              0.025  0.0025 -      0.20    -      -     -      -
o3                      1.00   0.25   -      4.00    -      -     -      -
o4-mini                 0.55   0.138  -      2.20    -      -     -      -
"""

OPENAI_PRIORITY = """
gpt-6-astra             20.00  2.00   25.00  100.00  40.00  4.00  50.00  150.00
gpt-5.6-sol             8.00   0.80   10.00  40.00   16.00  1.60  20.00  60.00
gpt-5.6-terra           4.00   0.40   5.00   24.00   8.00   0.80  10.00  36.00
gpt-5.6-luna            0.40   0.04   0.50   2.40    0.80   0.08  1.00   3.60
gpt-5.5                 12.50  1.25   -      75.00   -      -     -      -
gpt-5.4                 5.00   0.50   -      30.00   -      -     -      -
gpt-5.4-mini            1.50   0.15   -      9.00    -      -     -      -
gpt-5.2                 3.50   0.35   -      28.00   -      -     -      -
gpt-5.1                 2.50   0.25   -      20.00   -      -     -      -
gpt-5                   2.50   0.25   -      20.00   -      -     -      -
gpt-5-mini              0.45   0.045  -      3.60    -      -     -      -
gpt-4.1                 3.50   0.875  -      14.00   -      -     -      -
gpt-4.1-mini            0.70   0.175  -      2.80    -      -     -      -
gpt-4.1-nano            0.20   0.05   -      0.80    -      -     -      -
gpt-4o                  4.25   2.125  -      17.00   -      -     -      -
gpt-4o-mini             0.25   0.125  -      1.00    -      -     -      -
o3                      3.50   0.875  -      14.00   -      -     -      -
o4-mini                 2.00   0.50   -      8.00    -      -     -      -
gpt-5.3-codex           3.50   0.35   -      28.00   -      -     -      -
"""

OPENAI_BATCH = """
gpt-6-astra             5.00   0.50   6.25   25.00   -      -     -      -
gpt-5.6-sol             2.00   0.20   2.50   10.00   -      -     -      -
gpt-5.6-terra           1.00   0.10   1.25   6.00    -      -     -      -
gpt-5.6-luna            0.10   0.01   0.125  0.60    -      -     -      -
gpt-5.5                 2.50   0.25   -      15.00   -      -     -      -
gpt-5.5-pro             15.00  -      -      90.00   -      -     -      -
gpt-5.4                 1.25   0.13   -      7.50    -      -     -      -
gpt-5.4-mini            0.375  0.0375 -      2.25    -      -     -      -
gpt-5.4-nano            0.10   0.01   -      0.625   -      -     -      -
gpt-5.4-pro             15.00  -      -      90.00   -      -     -      -
gpt-5.2                 0.875  0.0875 -      7.00    -      -     -      -
gpt-5.2-pro             10.50  -      -      84.00   -      -     -      -
gpt-5.1                 0.625  0.0625 -      5.00    -      -     -      -
gpt-5                   0.625  0.0625 -      5.00    -      -     -      -
gpt-5-mini              0.125  0.0125 -      1.00    -      -     -      -
gpt-5-nano              0.025  0.0025 -      0.20    -      -     -      -
gpt-5-pro               7.50   -      -      60.00   -      -     -      -
gpt-4.1                 1.00   -      -      4.00    -      -     -      -
gpt-4.1-mini            0.20   -      -      0.80    -      -     -      -
gpt-4.1-nano            0.05   -      -      0.20    -      -     -      -
gpt-4o                  1.25   -      -      5.00    -      -     -      -
gpt-4o-mini             0.075  -      -      0.30    -      -     -      -
o1                      7.50   -      -      30.00   -      -     -      -
o1-pro                  75.00  -      -      300.00  -      -     -      -
o3-pro                  10.00  -      -      40.00   -      -     -      -
o3                      1.00   -      -      4.00    -      -     -      -
o4-mini                 0.55   -      -      2.20    -      -     -      -
o3-mini                 0.55   -      -      2.20    -      -     -      -
gpt-3.5-turbo-0125      0.25   -      -      0.75    -      -     -      -
gpt-3.5-turbo-1106      1.00   -      -      2.00    -      -     -      -
"""

FINE_TUNED = """
ft:gpt-4.1-2025-04-14:acme::a1        3.00  0.75   12.00
ft:gpt-4.1-mini-2025-04-14:acme::a1   0.80  0.20   3.20
ft:gpt-4.1-nano-2025-04-14:acme::a1   0.20  0.05   0.80
ft:o4-mini-2025-04-16:acme::a1        4.00  1.00   16.00
ft:gpt-4o-2024-08-06:acme::a1         3.75  1.875  15.00
ft:gpt-4o-mini-2024-07-18:acme::a1    0.30  0.15   1.20
ft:gpt-3.5-turbo-0125:acme::a1        3.00  -      6.00
ft:davinci-002:acme::a1               12.00 -      12.00
ft:babbage-002:acme::a1               1.60  -      1.60
"""

SPOKEN = """
gpt-realtime-2        4.00  0.40  24.00  32.00  0.40  64.00  5.00  0.50
gpt-realtime          4.00  0.40  16.00  32.00  0.40  64.00  5.00  0.50
gpt-realtime-1.5      4.00  0.40  16.00  32.00  0.40  64.00  5.00  0.50
gpt-realtime-mini     0.60  0.06  2.40   10.00  0.30  20.00  0.80  0.08
gpt-audio             2.50  -     10.00  32.00  -     64.00  -     -
gpt-audio-1.5         2.50  -     10.00  32.00  -     64.00  -     -
gpt-audio-mini        0.60  -     2.40   10.00  -     20.00  -     -
"""

PICTURES = """
gpt-image-2.5-sunburst  5.00  1.25  8.00   2.00   30.00
gpt-image-2.5-flare     5.00  1.25  8.00   2.00   30.00
gpt-image-2             5.00  1.25  8.00   2.00   30.00
gpt-image-1.5           5.00  1.25  8.00   2.00   32.00
gpt-image-1-mini        2.00  0.20  2.50   0.25   8.00
gpt-image-1             5.00  1.25  10.00  2.50   40.00
chatgpt-image-latest    5.00  1.25  8.00   2.00   32.00
"""

EMBEDDINGS = """
text-embedding-3-small  0.02
text-embedding-3-large  0.13
text-embedding-ada-002  0.10
"""

CLAUDE = """
claude-fable-5-1   10.00  12.50  20.00  0.25  50.00
claude-fable-5     10.00  12.50  20.00  1.00  50.00
claude-opus-5      5.00   6.25   10.00  0.50  25.00
claude-opus-4-8    5.00   6.25   10.00  0.50  25.00
claude-opus-4-7    5.00   6.25   10.00  0.50  25.00
claude-opus-4-6    5.00   6.25   10.00  0.50  25.00
claude-opus-4-5    5.00   6.25   10.00  0.50  25.00
claude-opus-4-1    15.00  18.75  30.00  1.50  75.00
claude-opus-4-0    15.00  18.75  30.00  1.50  75.00
claude-sonnet-5    2.00   2.50   4.00   0.20  10.00
claude-sonnet-4-6  3.00   3.75   6.00   0.30  15.00
claude-sonnet-4-5  3.00   3.75   6.00   0.30  15.00
claude-sonnet-4-0  3.00   3.75   6.00   0.30  15.00
claude-haiku-4-5   1.00   1.25   2.00   0.10  5.00
claude-3-5-haiku   0.80   1.00   1.60   0.08  4.00
"""

CLAUDE_BATCH = """
claude-fable-5-1   5.00  25.00
claude-fable-5     5.00  25.00
claude-opus-5      2.50  12.50
claude-opus-4-8    2.50  12.50
claude-opus-4-7    2.50  12.50
claude-opus-4-6    2.50  12.50
claude-opus-4-5    2.50  12.50
claude-opus-4-1    7.50  37.50
claude-opus-4-0    7.50  37.50
claude-sonnet-5    1.00  5.00
claude-sonnet-4-6  1.50  7.50
claude-sonnet-4-5  1.50  7.50
claude-haiku-4-5   0.50  2.50
claude-3-5-haiku   0.40  2.00
"""


def cards() -> Iterator[Card]:
    """All of them."""
    yield from openai_cards(OPENAI_STANDARD, "2026-09-15")
    yield from openai_cards(OPENAI_FLEX, "2026-10-20", "flex")
    yield from openai_cards(OPENAI_PRIORITY, "2026-10-20", "priority")
    yield from openai_cards(OPENAI_PRIORITY, "2026-10-20", "fast")
    yield from openai_cards(OPENAI_BATCH, "2026-10-20", "batch")
    for model, *figures in rows(FINE_TUNED):
        yield Card(OPENAI, "openai", model, priced("input cached output", figures), day("2026-09-15"))
    for model, *figures in rows(SPOKEN):
        names = "input cached output audio cached_audio output_audio image cached_image"
        yield Card(OPENAI, "openai", model, priced(names, figures), day("2026-09-15"))
    heard = {"input": "2.50", "output": "10.00", "audio": "40.00", "output_audio": "80.00"}
    for model in ("gpt-4o-audio-preview-2024-12-17", "gpt-4o-audio-preview-2025-06-03"):
        yield Card(AUDIO_PREVIEW, "openai", model, heard, day("2026-03-23"))
    yield Card(ZAI, "zai", "glm-4.7", {"input": "0.60", "cached": "0.11", "output": "2.20"}, day("2026-03-15"))
    yield Card(ZAI, "zai", "glm-4.7-flash", {"input": "0", "output": "0"}, day("2026-03-15"))
    for model, *figures in rows(PICTURES):
        yield Card(
            OPENAI, "openai", model, priced("input cached image cached_image output_image", figures), day("2026-09-15")
        )
    for model, figure in rows(EMBEDDINGS):
        yield Card(OPENAI, "openai", model, {"input": figure}, day("2026-09-15"))
    yield from claude_cards()
    yield from gemini_cards()
    yield from changes()
    yield from places()


def claude_cards() -> Iterator[Card]:
    at = day("2026-09-15")
    names = "input write write_1h cached output"
    for model, *figures in rows(CLAUDE):
        yield Card(ANTHROPIC, "anthropic", model, priced(names, figures), at)
    for model, *figures in rows(CLAUDE_BATCH):
        for when in (at, day("2026-10-20")):  # before and after the data dates it
            yield Card(ANTHROPIC, "anthropic", model, priced("input output", figures), when, "batch")
    recent = day("2026-10-24")
    opus = priced(names, ["4", "5", "8", "0.20", "20"])
    yield Card(ANTHROPIC_5_5, "anthropic", "claude-opus-5-5", opus, recent)
    sonnet = priced(names, ["2", "2.5", "4", "0.10", "10"])
    yield Card(ANTHROPIC_5_5, "anthropic", "claude-sonnet-5-5", sonnet, recent)
    yield Card(ANTHROPIC_5_5, "anthropic", "claude-sonnet-5-5", {**sonnet, "cached": "0.20"}, day("2026-10-06"))
    short = priced(names, ["0.10", "0.125", "0.20", "0.01", "0.50"])
    long = priced(names, ["0.50", "0.625", "1.00", "0.05", "2.50"])
    yield Card(ANTHROPIC_5_5, "anthropic", "claude-haiku-5-5", short, recent, edge=100_000, above=long)
    for model in ("claude-opus-5", "claude-opus-4-8"):
        fast = priced(names, ["10", "12.5", "20", "1.00", "50"])
        yield Card(ANTHROPIC, "anthropic", model, fast, at, raw=(("speed", "fast"),))
        both = priced(names, ["11", "13.75", "22", "1.10", "55"])
        yield Card(ANTHROPIC, "anthropic", model, both, at, raw=(("speed", "fast"), ("inference_geo", "us")))


def gemini_cards() -> Iterator[Card]:
    autumn = day("2025-11-15")
    pro = (
        {"input": "1.25", "cached": "0.125", "output": "10.00"},
        {"input": "2.50", "cached": "0.25", "output": "15.00"},
    )
    yield Card(GEMINI_2, "gemini", "gemini-2.5-pro", pro[0], autumn, edge=200_000, above=pro[1])
    heard = "input cached output audio cached_audio"
    for model, *figures in rows("""
        gemini-2.5-flash                  0.30  0.03  2.50  1.00  0.10
        gemini-2.5-flash-preview-09-2025  0.30  0.03  2.50  1.00  0.10
        gemini-2.5-flash-lite             0.10  0.01  0.40  0.30  0.03
    """):
        yield Card(GEMINI_2, "gemini", model, priced(heard, figures), autumn)
    yield Card(GEMINI_2, "gemini", "gemini-2.0-flash-lite", {"input": "0.075", "output": "0.30"}, autumn)
    yield Card(GEMINI_2, "gemini", "gemini-2.5-flash-preview-tts", {"input": "0.50", "output": "10.00"}, autumn)
    yield Card(GEMINI_2, "gemini", "gemini-2.5-pro-preview-tts", {"input": "1.00", "output": "20.00"}, autumn)
    yield Card(GEMINI_2, "gemini", "gemini-embedding-001", {"input": "0.15"}, autumn)
    seen = {"input": "0.30", "output_image": "30.00"}
    yield Card(GEMINI_2, "gemini", "gemini-2.5-flash-image", seen, autumn)
    autumn = day("2026-10-07")
    yield Card(GEMINI_3, "gemini", "gemini-3.5-flash", {"input": "1.50", "output": "9.00"}, autumn)
    yield Card(GEMINI_3, "gemini", "gemini-3.5-flash-lite", {"input": "0.30", "output": "2.50"}, autumn)
    yield Card(GEMINI_3, "gemini", "gemini-embedding-2", {"input": "0.20"}, autumn)
    yield Card(GEMINI_TIERS, "gemini", "gemini-3-flash-preview", {"input": "0.50", "output": "3.00"}, autumn)
    for provider in ("gemini", "vertex"):
        half = {"input": "0.25", "output": "1.50"}
        yield Card(GEMINI_TIERS, provider, "gemini-3-flash-preview", half, autumn, "flex")
    short, long = {"input": "2.00", "output": "12.00"}, {"input": "4.00", "output": "18.00"}
    yield Card(GEMINI_3, "gemini", "gemini-3.1-pro-preview", short, autumn, edge=200_000, above=long)


def changes() -> Iterator[Card]:
    """The last day of a price, and the first of the next one."""
    for source, provider, model, last, before, first, after in (
        (OPENAI, "openai", "gpt-5.6-luna", "2026-07-29", ("1.00", "6.00"), "2026-07-30", ("0.20", "1.20")),
        (OPENAI, "openai", "gpt-5.6-terra", "2026-07-29", ("2.50", "15.00"), "2026-07-30", ("2.00", "12.00")),
        (OPENAI, "openai", "gpt-5.6-sol", "2026-08-20", ("5.00", "30.00"), "2026-08-21", ("4.00", "20.00")),
        (GEMINI_3, "gemini", "gemini-3.8-flash", "2026-12-31", ("0.75", "3.75"), "2027-01-01", ("1.50", "7.50")),
    ):
        yield Card(source, provider, model, priced("input output", list(before)), day(last))
        yield Card(source, provider, model, priced("input output", list(after)), day(first))
    mill = {"input": "2", "cached": "0.1", "write": "2.5", "output": "10"}
    long = {"input": "4", "cached": "0.2", "write": "5", "output": "15"}
    for model in ("gpt-6.1-sol", "gpt-6.2-sol"):
        source = f"https://developers.openai.com/api/docs/models/{model}, as of 2026-11-23"
        yield Card(source, "openai", model, mill, day("2026-11-23"), edge=272_000, above=long)
    terra = {"input": "1", "cached": "0.05", "output": "5"}, {"input": "2", "cached": "0.10", "output": "7.50"}
    yield Card(LITELLM_BLOG, "openai", "gpt-6.1-terra", terra[0], day("2026-11-23"), edge=272_000, above=terra[1])


def places() -> Iterator[Card]:
    """Uplifts of 10 % of places, and none where there is none."""
    at = day("2026-09-15")
    terra = {"input": "2.2", "cached": "0.22", "write": "2.75", "output": "13.2"}
    for host in ("eu.api.openai.com", "us.api.openai.com"):
        yield Card(OPENAI, "openai", "gpt-5.6-terra", terra, at, host=host)
        yield Card(OPENAI, "openai", "gpt-5.2", {"input": "1.75", "output": "14"}, at, host=host)  # an older model
    sonnet = {"input": "3", "cached": "0.3", "write": "3.75", "write_1h": "6", "output": "15"}
    us = {name: str(Decimal(figure) * Decimal("1.1")) for name, figure in sonnet.items()}
    yield Card(ANTHROPIC, "anthropic", "claude-sonnet-4-6", us, at, raw=(("inference_geo", "us"),))
    yield Card(ANTHROPIC, "anthropic", "claude-sonnet-4-6", sonnet, at, raw=(("inference_geo", "global"),))
    yield Card(ANTHROPIC, "anthropic", "claude-sonnet-4-5", sonnet, at, raw=(("inference_geo", "not_available"),))
    earlier = {"input": "2.2", "cached": "0.22", "write": "2.75", "write_1h": "4.4", "output": "11"}
    yield Card(
        ANTHROPIC_5_5, "anthropic", "claude-sonnet-5-5", earlier, day("2026-10-06"), raw=(("inference_geo", "us"),)
    )
    for host, prices in (
        ("aiplatform.googleapis.com", sonnet),
        ("us-east5-aiplatform.googleapis.com", us),
        ("aiplatform.eu.rep.googleapis.com", us),
    ):
        yield Card(ANTHROPIC, "vertex", "claude-sonnet-4-6", prices, at, host=host)
    older = {"input": "15", "output": "75"}
    yield Card(ANTHROPIC, "vertex", "claude-opus-4-1@20250805", older, at, host="us-east5-aiplatform.googleapis.com")
    for model, prices in (
        ("global.anthropic.claude-sonnet-4-6-v1:0", sonnet),
        ("us.anthropic.claude-sonnet-4-6-v1:0", us),
        ("anthropic.claude-sonnet-4-6-v1:0", us),
    ):
        yield Card(BEDROCK, "bedrock", model, prices, at)


@dataclass(frozen=True)
class Fee:
    """What else than tokens costs: `count` units of a model, of which each costs `price` US dollars."""

    source: str
    provider: str
    model: str
    operation: str
    unit: str
    count: str
    price: str
    raw: tuple[tuple[str, str], ...] = ()
    tokens: bool = False
    """Whether it is billed beside tokens, which cost 0.001 here."""


FEES = (
    Fee(OPENAI, "openai", "tts-1", "speech", "characters", "4096", "0.000015"),
    Fee(OPENAI, "openai", "tts-1-hd", "speech", "characters", "4096", "0.00003"),
    Fee(OPENAI, "openai", "whisper-1", "transcription", "seconds", "90", "0.0001"),
    Fee(OPENAI, "openai", "gpt-transcribe", "transcription", "seconds", "120", "0.000075"),
    Fee(OPENAI, "openai", "sora-2", "video", "seconds", "8", "0.10", (("size", "1280x720"),)),
    Fee(OPENAI, "openai", "sora-2-2025-12-08", "video", "seconds", "8", "0.10", (("size", "1280x720"),)),
    Fee(OPENAI, "openai", "sora-2-pro", "video", "seconds", "8", "0.30", (("size", "720x1280"),)),
    Fee(OPENAI, "openai", "sora-2-pro-2025-10-06", "video", "seconds", "8", "0.30", (("size", "720x1280"),)),
    Fee(OPENAI, "openai", "sora-2-pro", "video", "seconds", "12", "0.50", (("size", "1792x1024"),)),
    Fee(OPENAI, "openai", "sora-2-pro", "video", "seconds", "4", "0.70", (("size", "1920x1080"),)),
    Fee(GEMINI_2, "gemini", "imagen-4.0-fast-generate-001", "image", "images", "4", "0.02"),
    Fee(GEMINI_2, "gemini", "imagen-4.0-generate-001", "image", "images", "1", "0.04"),
    Fee(GEMINI_2, "gemini", "imagen-4.0-ultra-generate-001", "image", "images", "2", "0.06"),
    Fee(GEMINI_2, "gemini", "imagen-3.0-generate-002", "image", "images", "1", "0.03"),
    Fee(GEMINI_2, "gemini", "veo-2.0-generate-001", "video", "seconds", "8", "0.35"),
    Fee("https://cohere.com/pricing, 2026-02", "cohere", "rerank-v3.5", "rerank", "searches", "3", "0.002"),
    Fee(OPENAI, "openai", "gpt-4.1", "responses", "searches", "3", "0.01", tokens=True),
    Fee(OPENAI, "openai", "o1", "responses", "searches", "3", "0.01", tokens=True),
    Fee(OPENAI, "openai", "gpt-5", "responses", "file_searches", "2", "0.0025", tokens=True),
    Fee(ANTHROPIC, "anthropic", "claude-opus-5", "chat", "searches", "2", "0.01", tokens=True),
    Fee(GEMINI_2, "gemini", "gemini-2.5-flash", "chat", "map_searches", "1", "0.025", tokens=True),
    Fee(GEMINI_3, "gemini", "gemini-3.5-flash", "chat", "searches", "2", "0.014", tokens=True),
    Fee(
        "https://docs.x.ai/developers/pricing, 2026-10",
        "xai",
        "grok-4.5",
        "chat",
        "x_searches",
        "4",
        "0.005",
        tokens=True,
    ),
    Fee(
        "https://docs.x.ai/developers/pricing, 2026-10",
        "xai",
        "grok-4.5",
        "chat",
        "searches",
        "4",
        "0.005",
        tokens=True,
    ),
    Fee(OPENAI, "openai", "gpt-4o-search-preview", "chat", "", "1", "0.025", tokens=True),
    Fee(OPENAI, "openai", "gpt-5-search-api", "chat", "", "1", "0.01", tokens=True),
    Fee(PERPLEXITY, "perplexity", "sonar", "chat", "", "1", "0.005", (("search_context_size", "low"),), tokens=True),
    Fee(PERPLEXITY, "perplexity", "sonar", "chat", "", "1", "0.008", (("search_context_size", "medium"),), tokens=True),
    Fee(PERPLEXITY, "perplexity", "sonar", "chat", "", "1", "0.012", (("search_context_size", "high"),), tokens=True),
    Fee(
        PERPLEXITY, "perplexity", "sonar-pro", "chat", "", "1", "0.006", (("search_context_size", "low"),), tokens=True
    ),
    Fee(
        PERPLEXITY,
        "perplexity",
        "sonar-pro",
        "chat",
        "",
        "1",
        "0.010",
        (("search_context_size", "medium"),),
        tokens=True,
    ),
    Fee(
        PERPLEXITY, "perplexity", "sonar-pro", "chat", "", "1", "0.014", (("search_context_size", "high"),), tokens=True
    ),
)
