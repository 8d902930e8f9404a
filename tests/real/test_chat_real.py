"""The chat with the embedded engine: real streams, real slots, a real hand-off, a real crash."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil
import pytest

from genai_desktop.core.builds import EngineBuild, EngineCommand, EngineName
from genai_desktop.core.chat import ChatMessage, SamplingParameters
from genai_desktop.core.errors import ContextExceededError, InferenceError
from genai_desktop.core.launch import LlamaServerConfig
from genai_desktop.core.models import ModelInfo
from genai_desktop.engines.embedded import LLAMA_SERVER, command_line
from genai_desktop.engines.ledger import Ledger
from genai_desktop.engines.llama_client import LlamaClient
from genai_desktop.engines.process import AsyncioLauncher, LaunchSpec, run_to_end
from genai_desktop.library.database import Database
from genai_desktop.library.paths import DataPaths, guide_model
from genai_desktop.services.conversations import ConversationService
from genai_desktop.services.llama_server import LlamaServerManager
from tests.aio import run, until
from tests.real.models import tiny_llama, tiny_thinker
from tests.services.chat_world import Seen

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("chat-real")]

ROOT = Path(__file__).parents[2]
ENDLESS = SamplingParameters(max_tokens=100_000, seed=1, temperature=1.0)
SHORT = SamplingParameters(max_tokens=24, seed=1, temperature=0.0)


class Embedded:
    """The engine that is always there."""

    def __init__(self) -> None:
        self._command: EngineCommand | None = None

    async def command(self, engine: EngineName) -> EngineCommand:
        if self._command is None:
            argv = command_line(LLAMA_SERVER)
            spec = LaunchSpec("help", (*argv, "--help"), {}, str(ROOT))
            done = await run_to_end(AsyncioLauncher(), spec, 60.0)
            flags = frozenset(re.findall(r"(?<![\w-])--?[a-z][\w-]*", done.stdout))
            build = EngineBuild(engine, "embedded", "test", argv[0], "in-use")
            self._command = EngineCommand(build, tuple(argv), flags)
        return self._command


class Shelf:
    def __init__(self, path: Path) -> None:
        self._path = path

    async def get_model_info(self, model_id: str) -> ModelInfo:
        size = self._path.stat().st_size
        return ModelInfo(model_id, model_id, "llm", str(self._path), size, context_length=32768)


class Desk:
    """Manager and chat service over one data folder, with one model."""

    def __init__(self, folder: Path, model: Path) -> None:
        self._paths = DataPaths(folder)
        self.database = Database(self._paths.database)
        self._model = model
        self.seen = Seen()

    async def __aenter__(self) -> Desk:
        await asyncio.to_thread(self._paths.ensure)
        await asyncio.to_thread(self.database.open)
        self.llama = LlamaServerManager(
            launcher=AsyncioLauncher(),
            engine=Embedded(),
            models=Shelf(self._model),
            paths=self._paths,
            ledger=Ledger(self._paths.runtime),
        )
        self.chat = ConversationService(database=self.database, llama=self.llama)
        for name in ("message_changed", "delta", "state_changed", "conversation_changed"):
            self.chat.on(name, lambda value, name=name: self.seen.take(name, value))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.chat.close()
        await self.llama.close()
        await asyncio.to_thread(self.database.close)

    async def load(self, **options: Any) -> None:
        values = {"context_size": 1024, "batch_size": 256, "ubatch_size": 256, "threads": 1, **options}
        config = LlamaServerConfig.from_mapping({"model_id": "m", "port": "auto", **values})
        await self.llama.start(config)

    def client(self) -> LlamaClient:
        assert self.llama.base_url is not None
        return LlamaClient(self.llama.base_url, self.llama.api_key)

    async def finished(self, message_id: str) -> ChatMessage:
        def is_over() -> bool:
            message = self.seen.shown.get(message_id)
            return message is not None and message.state not in ("waiting", "streaming")

        await until(is_over, 60.0, "the end of the reply")
        return self.seen.shown[message_id]

    async def has_said(self, message_id: str, characters: int) -> None:
        def is_there() -> bool:
            message = self.seen.shown[message_id]
            return len(message.content) + len(message.reasoning) >= characters

        await until(is_there, 60.0, f"{characters} characters")

    async def is_idle(self) -> bool:
        async with self.client() as client:
            http = client._client()
            (slot,) = (await http.get("/slots")).json()
            return not slot["is_processing"]

    async def becomes_idle(self) -> None:
        while not await self.is_idle():  # noqa: ASYNC110 - another process cannot set an event of ours
            await asyncio.sleep(0.01)


def test_the_guide_holds_a_conversation(tmp_path: Path) -> None:
    async def go() -> None:
        async with Desk(tmp_path, guide_model()) as desk:
            one = (await desk.chat.create(system_prompt="You are helpful.")).summary.id
            await desk.load()
            first = await desk.finished(await desk.chat.send(one, "Hello!", sampling=SHORT))
            assert first.state == "done"
            assert first.content.strip()
            assert first.stats is not None
            assert first.stats.completion_tokens > 1
            assert first.stats.prompt_tokens > 5
            assert first.stats.tokens_per_second > 0
            assert 0 < first.stats.first_token_seconds <= first.stats.seconds
            second = await desk.finished(await desk.chat.send(one, "And what else?", sampling=SHORT))
            assert second.stats is not None
            assert second.stats.cached_tokens > first.stats.prompt_tokens // 2, "the prompt was kept"
            assert desk.chat.last_stats == second.stats
            told = "".join(d.content for d in desk.seen.deltas if d.message_id == second.id)
            assert told == second.content
            deltas = [d async for d in desk.chat.chat_once([{"role": "user", "content": "Hello!"}], SHORT)]
            assert "".join(d.content for d in deltas).strip()
            assert deltas[-1].finish_reason in ("stop", "length")
            async with desk.client() as client:
                count = await client.count_tokens([{"role": "user", "content": "Hello!"}])
                assert deltas[-1].stats is not None
                assert count == deltas[-1].stats.prompt_tokens
                assert (await client.props())["total_slots"] == 1

    run(go(), 110)


def test_stopping_frees_the_server(tmp_path: Path) -> None:
    async def go() -> None:
        model = await asyncio.to_thread(tiny_llama, tmp_path / "tiny.gguf", n_ctx_train=32768)
        async with Desk(tmp_path / "data", model) as desk:
            await desk.load(context_size=32768)
            one = (await desk.chat.create()).summary.id
            reply_id = await desk.chat.send(one, "Go on for ever", sampling=ENDLESS)
            await desk.has_said(reply_id, 50)
            assert not await desk.is_idle(), desk.seen.shown[reply_id]
            await desk.chat.stop(one)
            message = await desk.finished(reply_id)
            assert message.state == "stopped"
            assert len(message.content) >= 50
            assert message.stats is not None
            assert message.stats.completion_tokens > 5
            await asyncio.wait_for(desk.becomes_idle(), 20)

    run(go(), 110)


def test_a_hand_off_in_the_middle_of_a_reply(tmp_path: Path) -> None:
    """Pause, save the slot, stop, start, restore, continue: the text goes on and the prompt was not read
    again.
    """

    async def go() -> None:
        model = await asyncio.to_thread(tiny_llama, tmp_path / "tiny.gguf", n_ctx_train=32768)
        async with Desk(tmp_path / "data", model) as desk:
            await desk.load(context_size=16384)
            one, two = (await desk.chat.create()).summary.id, (await desk.chat.create()).summary.id
            question = "Tell me a long story about the water and the people. " * 4
            sampling = SamplingParameters(max_tokens=2000, seed=3, temperature=1.0)
            reply_id = await desk.chat.send(one, question, sampling=sampling)
            await desk.has_said(reply_id, 40)
            desk.chat.hold("Painting a picture", 10.0)
            await asyncio.wait_for(desk.chat.drain(pause=True), 10)
            partial = desk.seen.shown[reply_id]
            assert partial.state == "waiting"
            assert len(partial.content) >= 40
            waiting = await desk.chat.send(two, "typed meanwhile", sampling=SHORT)
            saved = await desk.llama.save_slot("chat.bin")
            assert saved > 50
            config = desk.llama.resolved_config
            assert config is not None
            await desk.llama.stop()
            assert desk.chat.state(one).is_suspended
            await desk.llama.start(config)
            assert await desk.llama.restore_slot("chat.bin") == saved
            desk.chat.release()
            message = await desk.finished(reply_id)
            assert message.state == "done", message.error
            assert message.content.startswith(partial.content)
            assert len(message.content) > len(partial.content)
            assert message.stats is not None
            assert partial.stats is not None
            # at least the prompt comes out of the restored slot; the partial reply is tokenized anew, and a
            # random model says words that no tokenizer would have cut that way
            assert message.stats.cached_tokens >= partial.stats.prompt_tokens - 1
            assert message.stats.completion_tokens > partial.stats.completion_tokens
            assert (await desk.finished(waiting)).state == "done"

    run(go(), 110)


def test_a_reasoning_model_keeps_its_thought_apart(tmp_path: Path) -> None:
    async def go() -> None:
        model = await asyncio.to_thread(tiny_thinker, tmp_path / "thinker.gguf")
        async with Desk(tmp_path / "data", model) as desk:
            await desk.load(reasoning="on")
            one = (await desk.chat.create()).summary.id
            sampling = SamplingParameters(max_tokens=400, seed=5, temperature=1.0)
            message = await desk.finished(await desk.chat.send(one, "Why?", sampling=sampling))
            assert message.state == "done", message.error
            assert message.reasoning.strip()
            assert "<think>" not in message.content
            assert message.reasoning_seconds > 0

    run(go(), 110)


def test_a_thought_that_is_paused_goes_on(tmp_path: Path) -> None:
    async def go() -> None:
        model = await asyncio.to_thread(tiny_llama, tmp_path / "t.gguf", n_ctx_train=32768, thinking=True)
        async with Desk(tmp_path / "data", model) as desk:
            await desk.load(reasoning="on", context_size=16384)
            one = (await desk.chat.create()).summary.id
            sampling = SamplingParameters(max_tokens=2000, seed=5, temperature=1.0)
            reply_id = await desk.chat.send(one, "Why?", sampling=sampling)
            await desk.has_said(reply_id, 30)
            await asyncio.wait_for(desk.chat.drain(pause=True), 10)
            partial = desk.seen.shown[reply_id]
            assert partial.state == "waiting"
            assert partial.reasoning
            desk.chat.release()
            message = await desk.finished(reply_id)
            assert message.state == "done", message.error
            assert message.reasoning.startswith(partial.reasoning)
            assert message.content.startswith(partial.content)
            assert len(message.reasoning + message.content) > len(partial.reasoning + partial.content)

    run(go(), 110)


def test_a_prompt_that_does_not_fit(tmp_path: Path) -> None:
    async def go() -> None:
        model = await asyncio.to_thread(tiny_llama, tmp_path / "tiny.gguf")
        async with Desk(tmp_path / "data", model) as desk:
            await desk.load()
            one = (await desk.chat.create()).summary.id
            text = "word 👩‍🚀 " * 100_000  # more than a megabyte
            message = await desk.finished(await desk.chat.send(one, text))
            assert message.state == "failed"
            assert "1,024" in message.error
            assert (await desk.chat.get(one)).messages[0].content == text
            async with desk.client() as client:
                stream = client.stream_chat([{"role": "user", "content": text}])
                with pytest.raises(ContextExceededError) as refused:
                    await anext(stream)
                assert refused.value.details["n_ctx"] == 1024
                assert refused.value.details["n_prompt_tokens"] > 100_000
                with pytest.raises(InferenceError) as bad:
                    await client.restore_slot("no-such-file.bin")
                assert bad.value.code == "SLOT_RESTORE_FAILED"
            again = await desk.chat.edit_and_resend(
                (await desk.chat.get(one)).messages[0].id, "short \x00\x1b[31m \u202e e\u0301", sampling=SHORT
            )
            assert (await desk.finished(again)).state == "done"

    run(go(), 110)


def test_a_server_killed_in_the_middle(tmp_path: Path) -> None:
    async def go() -> None:
        model = await asyncio.to_thread(tiny_llama, tmp_path / "tiny.gguf", n_ctx_train=32768)
        async with Desk(tmp_path / "data", model) as desk:
            await desk.load(context_size=32768)
            one = (await desk.chat.create()).summary.id
            reply_id = await desk.chat.send(one, "Go on for ever", sampling=ENDLESS)
            await desk.has_said(reply_id, 50)
            pid = desk.llama.get_info().pid
            assert pid is not None
            psutil.Process(pid).kill()
            message = await desk.finished(reply_id)
            assert message.state == "interrupted"
            assert len(message.content) >= 50
            assert "ended before the reply was complete" in message.error
            assert (await desk.chat.get(one)).messages[1] == message

            def is_back() -> bool:
                info = desk.llama.get_info()
                return info.status == "running" and info.pid != pid

            await until(is_back, 30.0, "the restart")
            assert (await desk.finished(await desk.chat.regenerate(reply_id, sampling=SHORT))).state == "done"

    run(go(), 110)
