"""Where each provider puts its figures, and what counts as a figure."""

from decimal import localcontext
from typing import Any

import pytest

from usage_tracker.event import Usage
from usage_tracker.providers.usage_fields import DIALECTS, amount, read_cost, read_units, read_usage


def known(usage: Usage) -> dict[str, object]:
    return {name: value for name in Usage.__struct_fields__ if (value := getattr(usage, name)) not in (None, False)}


@pytest.mark.parametrize(
    ("spelling", "column"),
    [
        ({"prompt_tokens_details": {"cached_tokens": 4}}, "cache_read_tokens"),
        ({"prompt_cache_hit_tokens": 4, "prompt_cache_miss_tokens": 6}, "cache_read_tokens"),  # DeepSeek
        ({"num_cached_tokens": 4}, "cache_read_tokens"),  # Mistral
        ({"prompt_token_details": {"cached_tokens": 4}}, "cache_read_tokens"),  # Mistral
        ({"cached_tokens": 4}, "cache_read_tokens"),  # Moonshot
        ({"prompt_tokens_details": {"cached_tokens": None}, "cached_tokens": 4}, "cache_read_tokens"),
        ({"prompt_tokens_details": None, "cached_tokens": 4}, "cache_read_tokens"),
        ({"prompt_tokens_details": {"cache_write_tokens": 4}}, "cache_write_tokens"),
        ({"prompt_tokens_details": {"cache_creation_tokens": 4}}, "cache_write_tokens"),  # LiteLLM
        ({"cache_creation_input_tokens": 4}, "cache_write_tokens"),  # Vercel
        (
            {
                "prompt_tokens_details": {
                    "cache_creation_input_tokens": 4,
                    "cache_creation": {"ephemeral_5m_input_tokens": 4},
                    "cache_type": "ephemeral",
                }
            },
            "cache_write_tokens",
        ),  # Alibaba
        ({"cache_creation": {"ephemeral_1h_input_tokens": 4}}, "cache_write_1h_tokens"),
        (
            {"prompt_tokens_details": {"cache_creation_token_details": {"ephemeral_1h_input_tokens": 4}}},
            "cache_write_1h_tokens",
        ),  # LiteLLM
        ({"completion_tokens_details": {"reasoning_tokens": 4}}, "reasoning_tokens"),
        ({"reasoning_tokens": 4}, "reasoning_tokens"),  # Perplexity
        ({"prompt_tokens_details": {"audio_tokens": 4}}, "input_audio_tokens"),
        ({"completion_tokens_details": {"audio_tokens": 4}}, "output_audio_tokens"),
        ({"prompt_tokens_details": {"image_tokens": 4}}, "input_image_tokens"),
        ({"completion_tokens_details": {"image_tokens": 4}}, "output_image_tokens"),
    ],
)
def test_every_spelling_of_a_part_finds_its_column(spelling: dict[str, object], column: str) -> None:
    usage = read_usage({"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19, **spelling}, "chat")
    assert known(usage) == {"input_tokens": 10, "output_tokens": 9, column: 4}


@pytest.mark.parametrize(
    ("operation", "raw", "columns"),
    [
        ("completion", {"prompt_tokens": 8, "completion_tokens": 2}, {"input_tokens": 8, "output_tokens": 2}),
        ("responses", {"input_tokens": 8, "output_tokens": 2}, {"input_tokens": 8, "output_tokens": 2}),
        (
            "image",
            {"input_tokens": 8, "input_tokens_details": {"image_tokens": 5, "text_tokens": 3}, "output_tokens": 272},
            {"input_tokens": 8, "input_image_tokens": 5, "output_tokens": 272},
        ),
        (
            "transcription",
            {"type": "tokens", "input_tokens": 9, "input_token_details": {"audio_tokens": 7}, "output_tokens": 4},
            {"input_tokens": 9, "input_audio_tokens": 7, "output_tokens": 4},
        ),
        ("embeddings", {"prompt_tokens": 8, "total_tokens": 8}, {"input_tokens": 8}),
        ("embeddings", {"total_tokens": 8}, {"input_tokens": 8}),
        ("chat", {"total_tokens": 8}, {}),
        ("batch", {"input_tokens": 8, "output_tokens": 2}, {"input_tokens": 8, "output_tokens": 2}),
    ],
)
def test_each_api_has_its_own_words(operation: str, raw: dict[str, object], columns: dict[str, object]) -> None:
    assert known(read_usage(raw, operation)) == columns


@pytest.mark.parametrize("operation", DIALECTS)
@pytest.mark.parametrize(
    ("sent", "received"), [("prompt_tokens", "completion_tokens"), ("input_tokens", "output_tokens")]
)
def test_a_gateway_may_answer_any_api_in_another_ones_words(operation: str, sent: str, received: str) -> None:
    assert known(read_usage({sent: 8, received: 2}, operation)) == {"input_tokens": 8, "output_tokens": 2}


def test_a_known_zero_is_kept_apart_from_the_unknown() -> None:
    usage = read_usage({"prompt_tokens": 3, "completion_tokens": 0}, "chat")
    assert usage.output_tokens == 0
    assert usage.cache_read_tokens is None


@pytest.mark.parametrize("count", ["7", -1, 1.5, float("nan"), True, [], [{"tokens": 7}], {}, 10**13, 10**30])
def test_what_is_no_count_is_unknown(count: object) -> None:
    assert known(read_usage({"prompt_tokens": count, "completion_tokens": 2}, "chat")) == {"output_tokens": 2}
    assert known(read_usage({"prompt_tokens": 7, "prompt_tokens_details": count}, "chat")) == {"input_tokens": 7}


def test_a_whole_number_is_a_count_even_with_a_decimal_point() -> None:
    assert read_usage({"prompt_tokens": 7.0}, "chat").input_tokens == 7


@pytest.mark.parametrize(
    ("raw", "units"),
    [
        ({"type": "duration", "seconds": 9}, {"seconds": 9}),
        ({"prompt_audio_seconds": 12}, {"seconds": 12}),  # Mistral
        ({"tool_usage": {"web_search": {"num_requests": 2}}}, {"searches": 2}),
        ({"server_tool_use_details": {"web_search_requests": 3}}, {"searches": 3}),  # OpenRouter
        ({"server_tool_use": {"web_search_requests": 3}}, {"searches": 3}),  # LiteLLM, of Claude
        ({"prompt_tokens_details": {"web_search_requests": 2}}, {"searches": 2}),  # LiteLLM, of Gemini
        ({"prompt_tokens_details": {"google_maps_grounding_requests": 1}}, {"map_searches": 1}),
        ({"num_search_queries": 4}, {"searches": 4}),  # Perplexity
        ({"tool_usage": {"web_search": {"num_requests": 0}}}, {}),
        ({"prompt_tokens": 9}, {}),
    ],
)
def test_what_is_billed_by_number_is_read_by_kind(raw: dict[str, object], units: dict[str, float]) -> None:
    assert read_units(raw) == units


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (9, 9),
        (8.47, 8.47),
        ("8.47", 8.47),
        ("nan", None),
        ("long", None),
        (-1, None),
        (True, None),
        (None, None),
        (f"{9:064}", 9),
        (f"{9:065}", None),
    ],
)
def test_an_amount_may_be_fractional_or_written_out(value: Any, number: float | None) -> None:
    assert amount(value) == number


@pytest.mark.parametrize(
    ("raw", "cost"),
    [
        ({"cost": 0.0000125}, "0.0000125"),
        ({"cost": 1.5e-07}, "0.00000015"),
        ({"cost": "0.00120"}, "0.00120"),
        ({"cost": 0}, "0"),
        ({"cost": "0.00"}, "0.00"),
        ({"cost": "0e-999999999"}, None),  # a gigabyte of zeros
        ({"cost": {"input_tokens_cost": 0.001, "total_cost": 0.006}}, "0.006"),  # Perplexity
        ({"cost_in_usd_ticks": 37756000}, "0.0037756"),  # xAI
        ({"cost": None}, None),
        ({"cost": -1}, None),
        ({"cost": True}, None),
        ({"cost": "a lot"}, None),
        ({"cost": "1e999999"}, None),
        ({"cost": "1e-30"}, f"0.{'0' * 29}1"),
        ({"cost": "1e-31"}, None),
        ({"cost": "1e12"}, "1000000000000"),
        ({"cost": "1e13"}, None),
        ({"cost": float("nan")}, None),
        ({}, None),
    ],
)
def test_the_cost_that_a_provider_states_is_kept_to_the_digit(raw: dict[str, object], cost: str | None) -> None:
    assert read_cost(raw) == cost
    with localcontext(prec=3):  # an app's own
        assert read_cost(raw) == cost
