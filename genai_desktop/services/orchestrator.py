"""One memory for both: when a picture needs room, the language model steps aside and comes back.

Jobs that wait share one hand-off: the language model comes back when the queue is empty. The picture comes
first. Whatever fails or is cancelled, the language model comes back, or "state_changed" says why not.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genai_desktop.core.errors import BusyError, GenaiError
from genai_desktop.core.events import Emitter
from genai_desktop.core.handoff import SavedLlmState, decide
from genai_desktop.core.images import (
    HandoffReport,
    ImageGenerationConfig,
    ImageJob,
    ImageProgress,
    ImageResult,
    OffloadForecast,
)
from genai_desktop.library.suspended import SuspendedFile
from genai_desktop.services.handoff_announcer import REASON, HandoffAnnouncer
from genai_desktop.services.handoff_reports import NextTurn, Reloads
from genai_desktop.services.llm_suspension import (
    MEMORY_SECONDS,
    RETRY_SECONDS,
    LlmSuspender,
    Return,
    Suspension,
)
from genai_desktop.services.memory_broker import MemoryGrant
from genai_desktop.services.memory_picture import MemoryReader, Resource

if TYPE_CHECKING:
    from genai_desktop.core.servers import ServerInfo
    from genai_desktop.library.paths import DataPaths
    from genai_desktop.library.settings import SettingsStore
    from genai_desktop.services.handoff_ports import (
        Conversations,
        Diffusion,
        Llama,
        Models,
        System,
        Telemetry,
    )

_log = logging.getLogger(__name__)
CLOSE_SECONDS = 1.0  # what saving a conversation may still take when the program ends


class ResourceOrchestrator:
    """Decides who has the memory, and is the only one who lends it (MemoryBroker).

    events: "state_changed" ({"suspended", "eta", "phase", "error"}), "handoff" (HandoffReport: when the
    language model is back, and once more when its next turn told how much it still knew).
    """

    def __init__(
        self,
        *,
        llama: Llama,
        diffusion: Diffusion,
        conversations: Conversations,
        system: System,
        settings: SettingsStore,
        telemetry: Telemetry,
        models: Models,
        paths: DataPaths,
        clock: Callable[[], float] = time.time,
        retry_seconds: float = RETRY_SECONDS,
        memory_seconds: float = MEMORY_SECONDS,
    ) -> None:
        self._llama = llama
        self._diffusion = diffusion
        self._conversations = conversations
        self._settings = settings
        self._telemetry = telemetry
        self._models = models
        self._file = SuspendedFile(paths.runtime, paths.slots)
        self.events = Emitter()
        self._memory = MemoryReader(system, llama, telemetry)
        self._resource: Resource = "ram"  # of the hand-off under way
        self._reloads = Reloads(llama)
        self._announcer = HandoffAnnouncer(
            conversations,
            tell=lambda state: self.events.emit("state_changed", state),
            reload_seconds=lambda: self._reloads.seconds,
            has_waiting=lambda: diffusion.has_waiting,
        )
        self._suspender = LlmSuspender(
            llama=llama,
            conversations=conversations,
            file=self._file,
            model_path=self._model_path,
            free_memory=lambda: self._memory.free(self._resource),
            on_phase=self._announcer.enter,
            clock=clock,
            retry_seconds=retry_seconds,
            memory_seconds=memory_seconds,
        )
        self._work: Suspension | None = None  # from the first step of a hand-off until its end
        self._offered: SavedLlmState | None = None  # left by a killed predecessor
        self._steps: asyncio.Future[None] | None = None  # putting it aside, while that is under way
        self._resuming: asyncio.Task[None] | None = None
        self._back = asyncio.Event()  # not set: away for jobs, and certain to come back or to say why not
        self._back.set()
        self._report: HandoffReport | None = None
        self._is_painting = False
        self._is_closed = False
        self._next_turn = NextTurn(conversations, self._tell_next_turn)
        self._subscriptions = (
            diffusion.on("progress", self._announcer.follow),
            llama.on("started", self._llm_started),
        )
        diffusion.set_memory_broker(self)

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    # use cases ----------------------------------------------------------------------------------------------

    async def orchestrate_image_generation(
        self, config: ImageGenerationConfig, on_progress: Callable[[ImageProgress], None] | None = None
    ) -> ImageResult:
        """Paint; the language model steps aside if it must. Returns as soon as the pictures are there.

        The result's hand-off is complete after `wait_for_reload`. Raises as DiffusionServerManager does.
        """
        return await self._diffusion.generate_image(config, on_progress)

    async def would_need_offload(self, config: ImageGenerationConfig | None = None) -> bool:
        """Would the language model step aside for such a job now?"""
        return (await self.forecast(config or ImageGenerationConfig(prompt=""))).needed

    async def forecast(self, config: ImageGenerationConfig) -> OffloadForecast:
        """The same with numbers and a sentence. Raises ModelNotFoundError, EngineError."""
        footprint = await self._diffusion.footprint(config)
        return decide(
            await self._memory.picture(),
            footprint.bytes,
            footprint.margin,
            is_estimate=footprint.is_estimate,
            step_aside=self._settings.current.step_aside,
        )

    async def offload_llm(self) -> SavedLlmState | None:
        """Put the language model aside now; it comes back by `resume_llm`, or after the next picture.

        None when none is loaded. Raises BusyError while a hand-off is under way.
        """
        if self._work is not None or self._under_way():
            raise BusyError("The language model is stepping aside already.")
        if self._llama.get_status() not in ("running", "starting"):
            return None
        await self._suspend("The language model was put aside.", None, 0)
        return self.get_saved_state()

    async def resume_llm(self) -> HandoffReport:
        """Bring the language model back: after `offload_llm`, after it failed to come back, or the one that a
        killed predecessor had put aside. Raises what keeps it from coming back.
        """
        if self._offered is not None and self._work is None:
            self._work = Suspension(state=self._offered, stopping=_done())
            self._announcer.leave(self._reloads.seconds)
            self._offered = None
        if self._work is None:
            return self._report or HandoffReport()
        if self._resuming is None:
            self._begin_resume()
        report = await self.wait_for_reload()
        if self._announcer.error is not None:
            raise self._announcer.error
        return report or HandoffReport()

    async def wait_for_reload(self) -> HandoffReport | None:
        """Until no hand-off is under way; how the last one went, None when there was none.

        It never raises for a language model that did not come back: `error` of the report says it.
        """
        await self._back.wait()
        await self._until_settled()
        return self._report

    @property
    def is_away(self) -> bool:
        """The language model has stepped aside, or is about to, or is coming back."""
        return self._work is not None

    def get_saved_state(self) -> SavedLlmState | None:
        """What is put aside now, or was offered by `recover`."""
        return (self._work.state if self._work is not None else None) or self._offered

    async def clear_saved_state(self) -> None:
        """Do not bring the language model back; its saved slots are removed, waiting turns are let go.

        For a person who unloads it or loads another one. While a step is under way they go at the end of the
        hand-off.
        """
        state, self._offered = self.get_saved_state(), None
        is_settled = not self._under_way() and self._announcer.phase in ("suspended", "failed")
        if self._work is not None:
            self._work.let_go()
        if self._work is not None and is_settled:
            self._work = None
            self._conversations.release()
            self._announcer.arrive(None)
            self._back.set()
        if self._work is None:
            await asyncio.to_thread(self._file.clear, [slot.file for slot in state.slots] if state else ())

    async def recover(self) -> SavedLlmState | None:
        """At start-up: what a killed predecessor had put aside; `resume_llm` brings it back."""
        self._offered = await asyncio.to_thread(self._file.take_over)
        return self._offered

    async def close(self) -> None:
        """The program ends: nothing is brought back any more, and nothing of it stays on disk."""
        if self._is_closed:
            return
        self._is_closed = True
        for unsubscribe in self._subscriptions:
            unsubscribe()
        self._next_turn.close()
        self._reloads.close()
        if self._resuming is not None:
            self._resuming.cancel()
            await asyncio.wait({self._resuming})
        self._back.set()
        if self._work is not None:
            await asyncio.to_thread(self._file.clear, self._work.files)

    # MemoryBroker -------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def memory_for(self, job: ImageJob) -> AsyncIterator[MemoryGrant]:
        """Room for one job. The language model comes back afterwards, unless another job waits."""
        config = job.config
        await self._make_room(job)
        label = f"{config.width} x {config.height}, {config.steps} steps"
        self._telemetry.mark("image-started", label)
        self._is_painting = True
        try:
            yield await self._memory.grant(self._report or HandoffReport())
        finally:
            self._is_painting = False
            self._telemetry.mark("image-finished", label)
            if not self._diffusion.has_waiting:
                self._begin_resume()

    def idle(self) -> None:
        """Nothing waits any more (what waited was cancelled, or failed before it began)."""
        self._begin_resume()

    # inside: away -------------------------------------------------------------------------------------------

    async def _make_room(self, job: ImageJob) -> None:
        seconds = await self._seconds_away(job.config)
        while True:
            # it may be on its way back from the job before, or being put aside at a person's wish
            await self._until_settled()
            if self._work is not None and self._announcer.phase == "suspended":
                self._back.clear()
                return  # shared with the job before
            forecast = await self.forecast(job.config)
            if not self._under_way():
                break
        if not forecast.needed:
            self._report = HandoffReport(needed=False, reason=forecast.reason)
            return
        self._diffusion.report_stage(job.id, "suspending")
        self._resource = forecast.resource
        self._back.clear()
        await self._suspend(forecast.reason, seconds, forecast.bytes_needed)

    def _under_way(self) -> list[asyncio.Future[None]]:
        return [task for task in (self._resuming, self._steps) if task is not None and not task.done()]

    async def _until_settled(self) -> None:
        while under_way := self._under_way():
            await asyncio.wait(under_way)

    async def _suspend(self, reason: str, seconds: float | None, needed: int) -> None:
        """No await between the caller's look and the first line here: two cannot begin at once."""
        work = self._work = Suspension()
        self._next_turn.forget()
        self._announcer.leave(seconds)
        steps = self._steps = asyncio.ensure_future(
            self._suspender.suspend(
                work,
                reason=REASON,
                eta=seconds,
                pause=self._settings.current.pause_reply_for_image,
                needed=needed,
            )
        )
        try:
            await asyncio.shield(steps)
        except BaseException:
            # cancelled by a person, or failed. What was done is undone in the background: a cancelled job
            # must not wait for it
            steps.cancel()
            self._begin_resume(after=steps)
            if self._is_closed:
                if not (await asyncio.wait({steps}, timeout=CLOSE_SECONDS))[0]:
                    await self._llama.stop(0)  # an engine that hangs would never finish saving
                    await asyncio.wait({steps})
                await asyncio.to_thread(self._file.clear, work.files)
            raise
        if work.state is not None:
            self._telemetry.mark("suspended", work.state.model_name)
        self._report = HandoffReport(
            needed=True, reason=reason, seconds_suspend=work.seconds_suspend, error=" ".join(work.notes)
        )

    async def _seconds_away(self, config: ImageGenerationConfig) -> float | None:
        """Painting and coming back; None while either was never measured."""
        try:
            painting = await self._diffusion.estimate_seconds(config)
        except GenaiError:
            return None
        reload = self._reloads.seconds
        return None if painting is None or reload is None else painting + reload

    def _llm_started(self, _info: ServerInfo) -> None:
        """It did not come back, but somebody loaded a model: nothing is away any more."""
        if self._announcer.phase == "failed":
            self._begin_resume()

    # inside: back -------------------------------------------------------------------------------------------

    def _begin_resume(self, after: asyncio.Future[None] | None = None) -> None:
        """In the background, once: whoever waits for it does so by `wait_for_reload`."""
        if self._work is None or self._resuming is not None or self._is_painting or self._is_closed:
            return
        if after is None and self._under_way():
            return  # it is being put aside, for a job or at a person's wish
        self._resuming = asyncio.ensure_future(self._resume(self._work, after))

    async def _resume(self, work: Suspension, after: asyncio.Future[None] | None) -> None:
        try:
            if after is not None:
                await asyncio.wait({after})
                if not after.cancelled() and (error := after.exception()) is not None:
                    _log.warning("the language model could not be put aside: %s", error)
            outcome = await self._suspender.resume(work)
            self._tell_return(work, outcome)
        finally:
            self._resuming = None

    def _tell_return(self, work: Suspension, outcome: Return) -> None:
        was_away = work.stopping is not None
        before = self._report if self._report is not None and self._report.needed else HandoffReport()
        problem = outcome.error.message if outcome.error is not None else outcome.note
        self._report = replace(
            before,
            needed=was_away,
            seconds_resume=outcome.seconds if was_away else 0.0,
            restored_tokens=outcome.restored,
            error=" ".join(part for part in (before.error, problem) if part),
        )
        if outcome.error is None:
            self._work = None
            if outcome.is_back and work.state is not None:
                self._telemetry.mark("resumed", work.state.model_name)
                self._next_turn.expect()
        self._announcer.arrive(outcome.error)
        self._back.set()
        self.events.emit("handoff", self._report)

    def _tell_next_turn(self, cached_tokens: int) -> None:
        report = self._report
        if report is None:
            return
        error = report.error
        if report.restored_tokens and not cached_tokens and not error:
            error = "The conversation was read again: the model no longer knew it."
        self._report = replace(report, cached_tokens=cached_tokens, error=error)
        self.events.emit("handoff", self._report)

    async def _model_path(self, model_id: str) -> str:
        try:
            return (await self._models.get_model_info(model_id)).path
        except GenaiError:
            return ""


def _done() -> asyncio.Future[None]:
    """Something that has ended already."""
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    future.set_result(None)
    return future
