"""Does a model think before it answers? Its chat template says so; its name is the second-best witness
(R207).
"""

from __future__ import annotations

from typing import Final

# Names of model families that reason, lower case; matched anywhere in a name.
REASONING_MODEL_PATTERNS: Final[tuple[str, ...]] = ("qwen3", "deepseek-r1", "gpt-oss")

# What the templates of reasoning models contain: think tags, switches, the channels of gpt-oss.
_TEMPLATE_MARKS: Final[tuple[str, ...]] = (
    "<think>", "</think>", "enable_thinking", "reasoning_content", "reasoning_effort", "<|channel|>analysis",
    "<|start_thinking|>", "[think]", "<seed:think>", "thinking_budget", "<reasoning>",
)  # fmt: skip


def detect_reasoning_support(name: str, chat_template: str = "") -> bool:
    """True when the model can reason apart from its answer.

    A chat template decides when there is one (a Qwen3 whose template knows no thinking does not think);
    without one the name does, whatever its case and separators.
    """
    if chat_template.strip():
        template = chat_template.lower()
        return any(mark in template for mark in _TEMPLATE_MARKS)
    plain = name.lower().replace("_", "-").replace(" ", "-")
    squeezed = plain.replace("-", "")
    return any(
        pattern in plain or pattern.replace("-", "") in squeezed for pattern in REASONING_MODEL_PATTERNS
    )
