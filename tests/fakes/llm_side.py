"""The language model's side of a hand-off without a server: holds memory, dies and returns on command."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from genai_desktop.core.chat import ChatMessage, InferenceStats, MessageState
from genai_desktop.core.errors import BusyError, GenaiError, ServerError
from genai_desktop.core.events import Emitter
from genai_desktop.core.launch import LlamaServerConfig
from genai_desktop.core.servers import ServerInfo, ServerStatus
from genai_desktop.core.telemetry import MarkerKind

GIB = 2**30
RESOLVED = LlamaServerConfig(
    model_id="talker", port=8080, threads=2, context_size=2048, gpu_layers=0, parallel_requests=1,
    flash_attention="on", cache_type_k="f16", cache_type_v="f16", batch_size=256, ubatch_size=256,
)  # fmt: skip


class Gates:
    """Named points at which a fake waits, fails, or tells that it was there."""

    def __init__(self) -> None:
        self.reached: dict[str, asyncio.Event] = {}
        self.held: dict[str, asyncio.Event] = {}
        self.errors: dict[str, list[GenaiError]] = {}
        self.log: list[str] = []

    def hold(self, name: str) -> None:
        self.held[name] = asyncio.Event()

    def go(self, name: str) -> None:
        self.held.pop(name).set()

    def fail(self, name: str, *errors: GenaiError) -> None:
        self.errors[name] = list(errors)

    def was_reached(self, name: str) -> bool:
        return name in self.reached and self.reached[name].is_set()

    async def pass_(self, name: str) -> None:
        self.log.append(name)
        self.reached.setdefault(name, asyncio.Event()).set()
        if name in self.held:
            await self.held[name].wait()
        else:
            await asyncio.sleep(0)
        if self.errors.get(name):
            raise self.errors[name].pop(0)


class FakeLlama:
    """A server that runs; its slot holds `tokens` tokens, its process `size` bytes."""

    def __init__(self, gates: Gates, slots: Path, size: int = 6 * GIB) -> None:
        self.gates = gates
        self.size = size
        self.tokens = 123
        self.events = Emitter()
        self._slots = slots
        self._info = ServerInfo("llama")
        self._stopping: asyncio.Task[None] | None = None
        self.resolved_config: LlamaServerConfig | None = None
        self.starts: list[LlamaServerConfig] = []

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    def get_info(self) -> ServerInfo:
        return self._info

    def get_status(self) -> ServerStatus:
        return self._info.status

    @property
    def held(self) -> int:
        return 0 if self._info.status in ("stopped", "crashed") else self.size

    def set(self, status: ServerStatus) -> None:
        before = self._info.status
        self._info = replace(
            self._info, status=status, model_id="talker", model_name="Talker", engine="own b1",
            effective={},
        )  # fmt: skip
        if status != before:
            self.events.emit("status_changed", self._info)
            if status in ("started", "stopped", "crashed") or status == "running":
                self.events.emit("started" if status == "running" else status, self._info)

    async def start(self, config: LlamaServerConfig) -> ServerInfo:
        if self._info.status in ("running", "starting"):
            raise BusyError("Another model runs.")
        if self._stopping is not None:
            await asyncio.wait({self._stopping})
        self.starts.append(config)
        self.set("starting")
        try:
            await self.gates.pass_("start")
        except BaseException:
            self.set("stopped")
            raise
        self.tokens = 0
        self.resolved_config = config
        self.set("running")
        return self._info

    async def stop(self, grace: float | None = None) -> None:
        if self._info.status == "stopped":
            return

        async def end() -> None:
            self.set("stopping")
            await self.gates.pass_("stop")
            self.tokens = 0
            self.set("stopped")

        if self._stopping is None or self._stopping.done():
            self._stopping = asyncio.ensure_future(end())
        await asyncio.shield(self._stopping)

    async def save_slot(self, filename: str, slot: int = 0) -> int:
        if self._info.status != "running":
            raise ServerError("not running")
        await self.gates.pass_("save")
        (self._slots / filename).write_text(str(self.tokens))
        return self.tokens

    async def restore_slot(self, filename: str, slot: int = 0) -> int:
        await self.gates.pass_("restore")
        path = self._slots / filename
        if not path.exists():
            self.tokens = 0
            raise ServerError("Unable to restore slot")
        self.tokens = int(path.read_text())
        return self.tokens


class FakeConversations:
    """One conversation; a reply may be running while it is asked to drain."""

    def __init__(self, gates: Gates, llama: FakeLlama) -> None:
        self.gates = gates
        self.events = Emitter()
        self.is_held = False
        self.holds: list[tuple[str, float | None]] = []
        self.paused: list[bool] = []
        self._llama = llama

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    def hold(self, reason: str, eta: float | None = None) -> None:
        self.is_held = True
        self.holds.append((reason, eta))

    def release(self) -> None:
        self.is_held = False
        self.gates.log.append("release")

    async def drain(self, pause: bool) -> None:
        self.paused.append(pause)
        await self.gates.pass_("drain")

    def answer(self) -> None:
        """A turn: what the model still knew is its cached tokens."""
        stats = InferenceStats(prompt_tokens=200, cached_tokens=self._llama.tokens, completion_tokens=5)
        states: tuple[MessageState, ...] = ("streaming", "done")
        for state in states:
            message = ChatMessage("m", "c", "assistant", "hi", state=state, stats=stats)
            self.events.emit("message_changed", message)


class FakeMemory:
    """RAM (and one GPU, if it has any) shared by the language model and whoever else."""

    def __init__(self, llama: FakeLlama, total: int = 16 * GIB, vram: int = 0) -> None:
        self._llama = llama
        self.total = total
        self.vram = vram
        self.others = 0
        self.slow = 0  # so many readings after the end of the process still count it

    async def free_memory(self) -> dict[str, Any]:
        held = self._llama.held
        if not held and self.slow:
            self.slow -= 1
            held = self._llama.size
        if self.vram:
            return {"ram": self.total - self.others, "vram": (self.vram - held,)}
        return {"ram": self.total - self.others - held, "vram": ()}


class FakeTelemetry:
    def __init__(self, llama: FakeLlama, memory: FakeMemory) -> None:
        self._llama = llama
        self._memory = memory
        self.marks: list[tuple[MarkerKind, str]] = []

    def mark(self, kind: MarkerKind, label: str) -> None:
        self.marks.append((kind, label))

    def held_by(self, name: str) -> tuple[int, tuple[int, ...]]:
        held = self._llama.held
        return (0, (held,)) if self._memory.vram else (held, ())
