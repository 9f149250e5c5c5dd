"""Images, speech and transcriptions: what is billed by tokens, by seconds, by characters or by the piece.

https://platform.openai.com/docs/api-reference/images/object, …/audio/json-object
"""

from base64 import b64encode

from usage_tracker.demo.chat import pieces
from usage_tracker.demo.exchange import Asked, Event, Json, Reply
from usage_tracker.demo.invention import Invention, count_tokens

PIXEL = b64encode(b"\x89PNG\r\n\x1a\n-stand-in-").decode()
TOKENS_OF_QUALITY = {"low": 272, "medium": 1056, "high": 4160}
BYTES_PER_SECOND = 16_000


def image(asked: Asked, invention: Invention) -> Reply:
    """POST /images/generations, /images/edits and /images/variations. Only gpt-image models say what they used."""
    body = asked.body
    count = int(body.get("n") or 1)
    if not asked.model.startswith("gpt-image"):
        links = [{"url": f"https://images.invalid/{invention.id('img-')}.png"} for _ in range(count)]
        return Reply({"created": invention.now, "data": links})
    quality = body.get("quality") if body.get("quality") in TOKENS_OF_QUALITY else "medium"
    shown = {
        "background": "opaque",
        "output_format": "png",
        "quality": quality,
        "size": body.get("size") or "1024x1024",
    }
    text, pictures = count_tokens(body.get("prompt")), 323 * sum(isinstance(part, bytes) for part in body.values())
    output = TOKENS_OF_QUALITY[str(quality)] * count
    usage = {
        "input_tokens": text + pictures,
        "input_tokens_details": {"text_tokens": text, "image_tokens": pictures},
        "output_tokens": output,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": output},
        "total_tokens": text + pictures + output,
    }
    if body.get("stream") in (True, "true"):
        kind = "image_edit" if asked.endpoint.endswith("edits") else "image_generation"
        drawn = {"b64_json": PIXEL, "created_at": invention.now, **shown}
        steps = [{"type": f"{kind}.partial_image", **drawn, "partial_image_index": 0}]
        return Reply(events=named([*steps, {"type": f"{kind}.completed", **drawn, "usage": usage}]))
    pictures_drawn = [{"b64_json": PIXEL} for _ in range(count)]
    return Reply({"created": invention.now, **shown, "data": pictures_drawn, "usage": usage})


def speech(asked: Asked, invention: Invention) -> Reply:
    """POST /audio/speech: sound, or events that say at their end what was used."""
    text = str(asked.body.get("input", ""))
    sound = b"ID3" + text.encode() * 8
    if asked.body.get("stream_format") == "sse":
        used = {"input_tokens": count_tokens(text), "output_tokens": 2 * len(text)}
        usage = {**used, "total_tokens": sum(used.values())}
        told = [{"type": "speech.audio.delta", "audio": b64encode(sound).decode()}]
        return Reply(events=named([*told, {"type": "speech.audio.done", "usage": usage}]))
    return Reply(sound, kind="audio/mpeg")


def transcription(asked: Asked, invention: Invention) -> Reply:
    """POST /audio/transcriptions and /audio/translations, in the shapes that `response_format` has."""
    body = asked.body
    recording = body.get("file")
    seconds = max(1, len(recording) // BYTES_PER_SECOND) if isinstance(recording, bytes) else 1
    text = invention.text(4 * seconds + 8)
    usage: Json = {"type": "duration", "seconds": seconds}
    if asked.model != "whisper-1":
        heard, written = 10 * seconds, count_tokens(text)
        usage = {
            "type": "tokens",
            "input_tokens": heard,
            "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
            "output_tokens": written,
            "total_tokens": heard + written,
        }
    answer: Json = {"text": text, "usage": usage}
    if asked.endpoint.endswith("translations"):
        answer = {"text": text}
    if body.get("stream") in (True, "true"):
        told: list[Json] = [{"type": "transcript.text.delta", "delta": piece} for piece in pieces(text)]
        return Reply(events=named([*told, {"type": "transcript.text.done", **answer}]))
    shape = body.get("response_format", "json")
    if shape in ("text", "srt", "vtt"):
        return Reply(text + "\n", kind="text/plain; charset=utf-8")
    if shape == "verbose_json":
        answer |= {"task": "transcribe", "language": "english", "duration": float(seconds), "segments": []}
    return Reply(answer)


def named(told: list[Json]) -> list[Event]:
    return [Event(fields, fields["type"]) for fields in told]
