"""Qt meets asyncio: the only package that knows both."""
