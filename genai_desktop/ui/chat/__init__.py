"""LLM Chat: conversations at the left, the transcript in the middle, settings at the right."""
