"""Of which modality tokens are, where the columns of an event don't say it and a price depends on it."""

from typing import Any

import pytest

from usage_tracker.pricing.details import Details, read_details


def by_modality(**counts: int) -> list[dict[str, Any]]:
    return [{"modality": name.upper(), "tokenCount": count} for name, count in counts.items()]


def test_gemini_lists_what_each_part_is() -> None:
    raw = {
        "promptTokensDetails": by_modality(text=50, video=100),
        "toolUsePromptTokensDetails": by_modality(video=10),
        "candidatesTokensDetails": by_modality(video=5),
    }
    assert read_details(raw) == Details(input_video=110, output_video=5)
    raw["cacheTokensDetails"] = by_modality(audio=2, video=30)
    assert read_details(raw) == Details(
        cached_audio=2, cached_image=0, cached_video=30, input_video=110, output_video=5
    )
    raw["cacheTokensDetails"] = by_modality(image=4)
    assert read_details(raw) == Details(cached_audio=0, cached_image=4, cached_video=0, input_video=110, output_video=5)


@pytest.mark.parametrize("place", ["input_token_details", "input_tokens_details", "prompt_tokens_details"])
def test_openai_nests_what_was_cached(place: str) -> None:
    cached = {"text_tokens": 5, "audio_tokens": 3}
    assert read_details({place: {"cached_tokens_details": cached}}) == Details(3, 0, 0)
    assert read_details({place: {"cached_tokens_details": {"image_tokens": 4}}}) == Details(0, 4, 0)
    assert read_details({place: {"cached_tokens": 8}}) == Details(), "which are of nobody knows what"


def test_litellm_nests_what_is_video() -> None:
    raw: dict[str, Any] = {
        "prompt_tokens_details": {"text_tokens": 50, "video_tokens": 100},
        "completion_tokens_details": {"text_tokens": 200, "video_tokens": 4800},
    }
    assert read_details(raw) == Details(input_video=100, output_video=4800)
    raw["prompt_tokens_details"]["cached_tokens_details"] = {"audio_tokens": 3}
    assert read_details(raw) == Details(3, 0, 0, input_video=100, output_video=4800)
