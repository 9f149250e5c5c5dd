"""What of a Gemini answer is read at all. A decoder that knows these shapes skips the rest unparsed: texts, images in
base64, vectors. What a shape leaves to `object` may be anything; the names are the REST API's.

https://ai.google.dev/api/generate-content#generatecontentresponse, https://ai.google.dev/api/embeddings,
https://ai.google.dev/api/batch-api, https://ai.google.dev/api/caching#CachedContent,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/imagen-api,
https://cloud.google.com/vertex-ai/generative-ai/docs/model-reference/text-embeddings-api
"""

from typing import TypedDict

from msgspec import Raw


class Chunk(TypedDict, total=False):
    maps: Raw


class Grounding(TypedDict, total=False):
    webSearchQueries: object
    imageSearchQueries: object
    groundingChunks: list[Chunk]


class Candidate(TypedDict, total=False):
    finishReason: object
    groundingMetadata: Grounding


class Embeddings(TypedDict, total=False):
    statistics: object


class Prediction(TypedDict, total=False):
    bytesBase64Encoded: Raw
    gcsUri: Raw
    embeddings: Embeddings


class Generated(TypedDict, total=False):
    """The answer to one request, also where it lies in a batch."""

    candidates: list[Candidate]
    error: object
    modelVersion: object
    promptFeedback: object
    responseId: object
    tokenCount: object
    usageMetadata: object


class BatchItem(Generated, total=False):
    """An answer within a batch, or a line of its file, which may be the answer itself."""

    response: Generated


class BatchItems(TypedDict, total=False):
    inlinedResponses: list[BatchItem]


class BatchOutput(TypedDict, total=False):
    inlinedResponses: BatchItems
    inlinedEmbedContentResponses: BatchItems
    responsesFile: object


class Metadata(TypedDict, total=False):
    """Of a batch, or of embeddings by Vertex."""

    billableCharacterCount: object
    model: object
    name: object
    output: BatchOutput
    state: object


class Body(Generated, total=False):
    """Any answer."""

    metadata: Metadata
    name: object
    predictions: list[Prediction]
    response: BatchOutput


class Interaction(TypedDict, total=False):
    """An interaction or a decision, as asked for and as answered.

    https://ai.google.dev/api/interactions-api
    """

    agent: object
    answers: Raw
    errors: object
    id: object
    labels: object
    model: object
    service_tier: object
    status: object
    usage: object
