"""Who thinks before answering (R207)."""

from __future__ import annotations

import pytest

from genai_desktop.core.reasoning import REASONING_MODEL_PATTERNS, detect_reasoning_support


def test_the_patterns_of_the_reference() -> None:
    assert set(REASONING_MODEL_PATTERNS) == {"qwen3", "deepseek-r1", "gpt-oss"}


@pytest.mark.parametrize(
    "name",
    [
        "Qwen3-8B-Q4_K_M.gguf",
        "DeepSeek-R1-Distill-Llama-8B.gguf",
        "gpt-oss-20b",
        "GPT_OSS 20B",
        "deepseek_r1",
    ],
)
def test_names(name: str) -> None:
    assert detect_reasoning_support(name)


@pytest.mark.parametrize("name", ["", "Llama-3.1-8B", "Qwen2.5-7B", "deepseek-v3", "gemma-3"])
def test_other_names(name: str) -> None:
    assert not detect_reasoning_support(name)


@pytest.mark.parametrize(
    "template", ["{{'<think>'}}", "{% if enable_thinking %}", "<|channel|>analysis", "m.reasoning_content"]
)
def test_a_template_that_thinks_decides(template: str) -> None:
    assert detect_reasoning_support("plain model", template)


def test_a_template_that_does_not_think_decides_too() -> None:
    assert not detect_reasoning_support("Qwen3-4B-Instruct-2507", "{{ messages[0].content }}")
    assert detect_reasoning_support("Qwen3-4B", "  \n")
