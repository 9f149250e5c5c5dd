"""Whether the counts of a usage object agree with each other, and what they leave out where they don't."""

from usage_tracker.event import Figures, Usage

TOTALS = ("total_tokens", "total_token_count", "totalTokenCount", "totalTokens")
"""What providers call the sum of input and output: OpenAI and those that speak its APIs, Gemini's SDKs, Gemini over
HTTP, Bedrock's Converse. Anthropic and Cohere send none."""


def contradicts(usage: Usage, raw: Figures | None) -> bool:
    """Whether parts exceed what they are parts of, or input and output aren't the provider's own total.

    By columns, which mean the same in all dialects:

    - cache_write_1h_tokens ≤ cache_write_tokens
    - cache_read_tokens + cache_write_tokens + tool_tokens ≤ input_tokens: a token is read from a cache, written to one,
      or added by a tool
    - input_audio_tokens + input_image_tokens ≤ input_tokens: a token has one modality, cached or not
    - reasoning_tokens ≤ output_tokens, and output_audio_tokens + output_image_tokens ≤ output_tokens
    - input_tokens + output_tokens = total, where the usage object has a total and both are known. Then:
      Chat Completions: total_tokens = prompt_tokens + completion_tokens (xAI's: + reasoning_tokens, which is in our
      output_tokens). Responses: total_tokens = input_tokens + output_tokens. Gemini: totalTokenCount = promptTokenCount
      + toolUsePromptTokenCount + candidatesTokenCount + thoughtsTokenCount. Converse: totalTokens = inputTokens +
      outputTokens + cacheReadInputTokens + cacheWriteInputTokens.

    A part of an unknown whole contradicts nothing. Counts of an estimate are as good as their estimate.
    """
    into, out = usage.input_tokens, usage.output_tokens
    read, written = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    if into is not None:
        if read + written + (usage.tool_tokens or 0) > into:
            return True
        if (usage.input_audio_tokens or 0) + (usage.input_image_tokens or 0) > into:
            return True
    if (usage.cache_write_1h_tokens or 0) > written and usage.cache_write_tokens is not None:
        return True
    if out is not None:
        if (usage.reasoning_tokens or 0) > out:
            return True
        if (usage.output_audio_tokens or 0) + (usage.output_image_tokens or 0) > out:
            return True
    if raw is not None and into is not None and out is not None:
        for name in TOTALS:
            total = raw.get(name)
            if type(total) is int:
                return total != into + out
    return False


GEMINI_HOST = "generativelanguage.googleapis.com"


def left_out(provider: str | None, host: str | None, usage: Usage, raw: Figures | None) -> int:
    """Tokens that a call generated and that its `output_tokens`, which are the provider's word, leave out: Gemini's
    thoughts, where Gemini is asked in OpenAI's words. Only of counts that contradict each other.

    Gemini's own door to OpenAI's API counts them in the total alone, and Vercel's gateway as reasoning that is more
    than all of the output: https://ai.google.dev/gemini-api/docs/openai#thinking,
    https://vercel.com/docs/ai-gateway/sdks-and-apis/openai-chat-completions. Both bill them as output. Of other
    providers, more reasoning than output is an inexact count.
    """
    if provider != "gemini" or raw is None or "completion_tokens" not in raw:
        return 0
    into, out, total = usage.input_tokens or 0, usage.output_tokens or 0, raw.get("total_tokens")
    if host == GEMINI_HOST and type(total) is int and total > into + out:
        return total - into - out
    reasoning = usage.reasoning_tokens or 0
    return reasoning if reasoning > out else 0
