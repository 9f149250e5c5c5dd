"""What the columns of an event don't have and some prices depend on: how much of the cached input was audio, images or
video, and how much video there was. Read from the provider's own usage object."""

from typing import NamedTuple

from usage_tracker.event import Figures
from usage_tracker.providers.gemini_fields import CANDIDATES_DETAILS, PROMPT_DETAILS, TOOL_DETAILS, of_modality
from usage_tracker.providers.usage_fields import at, tokens

CACHED_DETAILS = ("cacheTokensDetails", "cache_tokens_details", "cached_tokens_by_modality")
NESTED = ("input_token_details", "input_tokens_details", "prompt_tokens_details")
NESTED_OUTPUT = ("output_tokens_details", "completion_tokens_details")


class Details(NamedTuple):
    """None: the provider doesn't say."""

    cached_audio: int | None = None
    cached_image: int | None = None
    cached_video: int | None = None
    input_video: int = 0
    output_video: int = 0


def read_details(raw: Figures) -> Details:
    """OpenAI nests counts by modality, Gemini lists them and leaves out what is zero.
    https://github.com/openai/openai-python/blob/v2.54.0/src/openai/types/realtime/realtime_response_usage_input_token_details.py,
    https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/types.py (`cache_tokens_details`).
    LiteLLM tells Gemini's in OpenAI's words, and of video only what was not cached:
    https://github.com/BerriAI/litellm/blob/2f1f4b1897b5/litellm/types/utils.py (`video_tokens`)
    """
    video = (
        nested_video(raw, NESTED) or of_modality(raw, "VIDEO", PROMPT_DETAILS, TOOL_DETAILS) or 0,
        nested_video(raw, NESTED_OUTPUT) or of_modality(raw, "VIDEO", CANDIDATES_DETAILS) or 0,
    )
    for name in NESTED:
        if isinstance(at(raw, (name, "cached_tokens_details")), dict):
            audio, image = (
                tokens(at(raw, (name, "cached_tokens_details", kind))) for kind in ("audio_tokens", "image_tokens")
            )
            return Details(audio or 0, image or 0, 0, *video)
    if not any(isinstance(raw.get(name), list) for name in CACHED_DETAILS):
        return Details(None, None, None, *video)
    audio, image, cached_video = (
        of_modality(raw, modality, CACHED_DETAILS) or 0 for modality in ("AUDIO", "IMAGE", "VIDEO")
    )
    return Details(audio, image, cached_video, *video)


def nested_video(raw: Figures, names: tuple[str, ...]) -> int | None:
    return next((count for name in names if (count := tokens(at(raw, (name, "video_tokens")))) is not None), None)
