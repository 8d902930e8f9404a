"""Conversations as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]
# waiting: typed while the model was away, will be sent; streaming: arriving now; interrupted: cut by a crash
MessageState = Literal["done", "waiting", "streaming", "stopped", "interrupted", "failed"]


@dataclass(frozen=True)
class InferenceStats:
    """Counts in tokens, times in seconds, speeds in tokens per second; 0 where the server did not tell."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    tokens_per_second: float = 0.0
    prompt_tokens_per_second: float = 0.0
    first_token_seconds: float = 0.0
    seconds: float = 0.0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True)
class ToolCall:
    """A function the model wants called. arguments: JSON text as the model wrote it, not checked."""

    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True)
class ChatMessage:
    """One message. reasoning is kept apart from content; reasoning_seconds is how long it took."""

    id: str
    conversation_id: str
    role: Role
    content: str
    reasoning: str = ""
    state: MessageState = "done"
    created_at: float = 0.0
    model_id: str = ""
    stats: InferenceStats | None = None
    finish_reason: str = ""
    error: str = ""
    reasoning_seconds: float = 0.0
    images: tuple[str, ...] = ()  # paths of attached pictures
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True)
class ConversationSummary:
    """A row of the list on the left."""

    id: str
    title: str
    updated_at: float
    created_at: float = 0.0
    is_pinned: bool = False
    folder: str = ""
    message_count: int = 0


@dataclass(frozen=True)
class Conversation:
    """A whole conversation on its current branch, oldest message first."""

    summary: ConversationSummary
    messages: tuple[ChatMessage, ...] = ()
    system_prompt: str = ""
    draft: str = ""


@dataclass(frozen=True)
class SamplingParameters:
    """None means: what the server or the model says."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    max_tokens: int | None = None
    seed: int | None = None


@dataclass(frozen=True)
class ChatDelta:
    """A piece of a reply.

    Exactly what arrived since the last one; stats and finish_reason come with the last.

    prompt_progress: 0..1 while the prompt is being read, else None.
    """

    conversation_id: str
    message_id: str
    content: str = ""
    reasoning: str = ""
    prompt_progress: float | None = None
    finish_reason: str = ""
    stats: InferenceStats | None = None


@dataclass(frozen=True)
class ChatQueueState:
    """What the composer needs to know.

    eta: seconds until the model is back, None when unknown or not away.
    """

    is_streaming: bool = False
    is_model_ready: bool = False
    is_suspended: bool = False
    eta: float | None = None
    waiting: int = 0  # messages that will be sent when the model is back
    conversation_id: str = ""
    reason: str = ""  # why the model is away, one sentence
