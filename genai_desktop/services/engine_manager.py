"""The engines of this computer: which builds there are, which one is used, and whether it really works."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from genai_desktop.core.builds import (
    ENGINES,
    BuildState,
    EngineBuild,
    EngineCommand,
    EngineName,
    EngineTest,
)
from genai_desktop.core.errors import EngineError, InvalidInputError, ModelNotFoundError, NotFoundError
from genai_desktop.core.events import Emitter
from genai_desktop.core.jobs import Progress
from genai_desktop.core.models import ModelInfo, ModelType
from genai_desktop.core.servers import LogEntry
from genai_desktop.engines.candidates import (
    EMBEDDED,
    OWN,
    Candidate,
    embedded_candidate,
    embedded_version,
    own_candidate,
)
from genai_desktop.engines.probe import EngineProbe, Probed, ProbePatience, Steps
from genai_desktop.engines.process import ProcessLauncher
from genai_desktop.engines.trial import ImageTrial, LlamaTrial, TrialPatience
from genai_desktop.library.database import Database
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.settings import SettingsStore
from genai_desktop.library.verdicts import Verdict, VerdictStore

_REAL_WORK = ("reply", "image")
LIST_DEVICES = "--list-devices"
_MOST_STEPS = {"llama.cpp": 6, "stable-diffusion.cpp": 4}  # for the progress bar of a test


class ModelProvider(Protocol):
    """What a test needs of the models."""

    async def get_model_info(self, model_id: str) -> ModelInfo: ...

    async def list_models(self, type: ModelType | None = None) -> tuple[ModelInfo, ...]: ...


class EngineManager:
    """Builds of every engine.

    events: "changed"(tuple[EngineBuild]); during a test "binary_log"(LogEntry), "binary_progress"(Progress).
    """

    def __init__(
        self,
        *,
        paths: DataPaths,
        settings: SettingsStore,
        launcher: ProcessLauncher,
        models: ModelProvider,
        database: Database,
        clock: Callable[[], float] = time.time,
        probe_patience: ProbePatience | None = None,
        trial_patience: TrialPatience | None = None,
    ) -> None:
        self._paths = paths
        self._settings = settings
        self._launcher = launcher
        self._models = models
        self._verdicts = VerdictStore(database)
        self._clock = clock
        self._probe_patience = probe_patience
        self._trial_patience = trial_patience
        self._known: dict[str, Verdict] = {}
        self._testing = asyncio.Lock()
        self.events = Emitter()

    def on(self, event: str, listener: Callable[[Any], None]) -> Callable[[], None]:
        return self.events.on(event, listener)

    # looking ------------------------------------------------------------------------------------------------

    async def list_engines(self) -> tuple[EngineBuild, ...]:
        """Every build, the embedded ones included; `reason` says why one cannot be used and what to do."""
        builds: list[EngineBuild] = []
        for engine in ENGINES:
            chosen = self._chosen(engine)
            for path in dict.fromkeys([chosen, *await self._verdicts.paths(engine)]):
                candidate = await asyncio.to_thread(own_candidate, engine, path) if path else None
                if candidate is not None and (candidate.is_there or path == chosen):
                    builds.append(await self._described(candidate))
            builds.append(await self._described(await asyncio.to_thread(embedded_candidate, engine)))
        return tuple(builds)

    async def command(self, engine: EngineName) -> EngineCommand:
        """How to start the build in use, with the flags it knows; quick once it is known.

        Raises EngineError when there is none, or when it does not run.
        """
        candidate = await self._used(engine)
        _refuse_absent(candidate)
        verdict = await self._learn(candidate)
        return EngineCommand(_build(candidate, verdict, "in-use"), candidate.argv, verdict.flags)

    async def devices(self, engine: EngineName) -> tuple[str, ...] | None:
        """What the build in use says it computes on; None when it cannot be asked. Raises EngineError."""
        command = await self.command(engine)
        return command.build.backends if LIST_DEVICES in command.flags else None

    # changing -----------------------------------------------------------------------------------------------

    async def use(self, engine: EngineName, build_or_path: str) -> EngineBuild:
        """Switch to "embedded", to a build by its name, or to a binary of one's own by its path.

        A binary is asked who it is first. Raises InvalidInputError, NotFoundError, EngineError; then nothing
        has changed.
        """
        candidate = await self._find(engine, build_or_path)
        _refuse_absent(candidate)
        verdict = await self._learn(candidate)
        chosen = dict(self._settings.current.engine_paths)
        if candidate.variant == EMBEDDED:
            chosen.pop(engine, None)
        else:
            chosen[engine] = candidate.path
        await asyncio.to_thread(lambda: self._settings.update(engine_paths=chosen))
        await self._announce()
        return _build(candidate, verdict, "in-use")

    async def test(self, engine: EngineName, build: str | None = None) -> EngineBuild:
        """Let a build (the one in use, or one by name or path) do real work; every step with its time.

        llama.cpp loads the built-in model and replies; stable-diffusion.cpp paints 64 x 64 points with the
        smallest image model on the shelf. Raises InvalidInputError, NotFoundError; what fails is in `tests`.
        """
        candidate = await (self._used(engine) if build is None else self._find(engine, build))
        async with self._testing:
            if not candidate.is_there:
                absent = await self._described(candidate)
                step = EngineTest("start", passed=False, seconds=0.0, detail=absent.reason)
                return EngineBuild(engine, absent.variant, "", absent.path, "missing", absent.reason, (step,))
            await self._remember(candidate, await self._try_out(candidate))
        await self._announce()
        return await self._described(candidate)

    # testing ------------------------------------------------------------------------------------------------

    async def _try_out(self, candidate: Candidate) -> Verdict:
        steps = _AnnouncedSteps(self._announce_step(candidate.engine))
        probed = await self._probe(candidate).all(steps)
        if steps.is_good:
            build = EngineBuild(
                candidate.engine, candidate.variant, probed.version, candidate.path, "untested"
            )
            command = EngineCommand(build, candidate.argv, probed.flags)
            if candidate.engine == "llama.cpp":
                await self._try_llama(command, probed, steps)
            else:
                await self._try_image(command, steps)
        return _verdict(candidate, probed, tuple(steps.done), self._clock())

    async def _try_llama(self, command: EngineCommand, probed: Probed, steps: Steps) -> None:
        try:
            guide = await self._models.get_model_info("guide")
        except ModelNotFoundError as error:
            async with steps.step("load"):
                raise EngineError(
                    "The built-in model for tests is missing.", remedy="Install the program again."
                ) from error
            return
        trial = LlamaTrial(
            self._launcher, command, probed.devices, patience=self._trial_patience, on_line=self._log_line
        )
        await trial.run(guide, steps)

    async def _try_image(self, command: EngineCommand, steps: Steps) -> None:
        models = [model for model in await self._models.list_models("diffusion") if not model.missing]
        if not models:
            return  # `reason` says so
        trial = ImageTrial(
            self._launcher, command, self._paths.temp, patience=self._trial_patience, on_line=self._log_line
        )
        await trial.run(min(models, key=lambda model: model.size), steps)

    def _announce_step(self, engine: EngineName) -> Callable[[int, str], None]:
        def announce(done: int, name: str) -> None:
            progress = Progress(done, _MOST_STEPS[engine], "steps", f"testing: {name}")
            self.events.emit("binary_progress", progress)

        return announce

    def _log_line(self, line: str) -> None:
        self.events.emit("binary_log", LogEntry(self._clock(), "info", line))

    # asking and remembering ---------------------------------------------------------------------------------

    def _probe(self, candidate: Candidate) -> EngineProbe:
        cwd = str(Path(candidate.path).parent) if candidate.variant == OWN else None
        return EngineProbe(
            self._launcher, candidate.engine, candidate.argv, cwd=cwd, patience=self._probe_patience
        )

    async def _learn(self, candidate: Candidate) -> Verdict:
        """Version and flags: remembered, or asked now. Raises EngineError for what is another program."""
        verdict = await self._recall(candidate)
        if verdict is not None and verdict.flags:
            return verdict
        probe = self._probe(candidate)
        flags = await probe.flags()
        version = await probe.version()
        devices = await probe.devices() if LIST_DEVICES in flags else ()
        verdict = _verdict(candidate, Probed(version, flags, devices), (), self._clock())
        await self._remember(candidate, verdict)
        return verdict

    async def _recall(self, candidate: Candidate) -> Verdict | None:
        """What was found out about this very file before."""
        if candidate.key not in self._known:
            stored = await self._verdicts.load(candidate.key)
            if stored is None:
                return None
            self._known[candidate.key] = stored
        return self._known[candidate.key]

    async def _remember(self, candidate: Candidate, verdict: Verdict) -> None:
        self._known[candidate.key] = verdict
        await self._verdicts.save(candidate.key, verdict)

    async def _described(self, candidate: Candidate) -> EngineBuild:
        is_used = self._is_used(candidate)
        if not candidate.is_there:
            return EngineBuild(
                candidate.engine, candidate.variant, "", candidate.path, "missing", candidate.reason
            )
        verdict = await self._recall(candidate)
        if verdict is None:
            version = embedded_version(candidate.engine) if candidate.variant == EMBEDDED else ""
            state: BuildState = "in-use" if is_used else "untested"
            return EngineBuild(candidate.engine, candidate.variant, version, candidate.path, state)
        if is_used:
            return _build(candidate, verdict, "in-use")
        is_bad = any(not test.passed for test in verdict.tests)
        return _build(candidate, verdict, "refused" if is_bad else "available")

    # finding builds -----------------------------------------------------------------------------------------

    def _chosen(self, engine: EngineName) -> str:
        return self._settings.current.engine_paths.get(engine, "")

    def _is_used(self, candidate: Candidate) -> bool:
        chosen = self._chosen(candidate.engine)
        if not chosen:
            return candidate.variant == EMBEDDED
        return candidate.variant == OWN and candidate.path == os.path.abspath(os.path.expanduser(chosen))  # noqa: PTH100, PTH111

    async def _used(self, engine: EngineName) -> Candidate:
        _check_engine(engine)
        chosen = self._chosen(engine)
        if chosen:
            return await asyncio.to_thread(own_candidate, engine, chosen)
        return await asyncio.to_thread(embedded_candidate, engine)

    async def _find(self, engine: EngineName, wanted: str) -> Candidate:
        """By "embedded", by the name of a build, or by path."""
        _check_engine(engine)
        if not wanted or "\0" in wanted:
            raise InvalidInputError(f"{wanted!r} is neither a build nor a path.")
        if wanted == EMBEDDED:
            return await asyncio.to_thread(embedded_candidate, engine)
        if os.sep in wanted or "/" in wanted or await asyncio.to_thread(Path(wanted).is_file):
            return await asyncio.to_thread(own_candidate, engine, wanted)
        for build in await self.list_engines():
            if build.engine == engine and wanted in (build.build, build.variant):
                if build.variant == EMBEDDED:
                    return await asyncio.to_thread(embedded_candidate, engine)
                return await asyncio.to_thread(own_candidate, engine, build.path)
        raise NotFoundError(
            f"There is no build {wanted!r} of {engine}.",
            remedy="`engines list` shows what there is; a binary of your own is given by its path.",
        )

    async def _announce(self) -> None:
        self.events.emit("changed", await self.list_engines())


class _AnnouncedSteps(Steps):
    """Steps that tell how far they are."""

    def __init__(self, announce: Callable[[int, str], None]) -> None:
        super().__init__()
        self._announce = announce

    def begin(self, name: str) -> None:
        self._announce(len(self.done), name)


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise InvalidInputError(
            f"There is no engine {engine!r}.", remedy=f"Engines are: {', '.join(ENGINES)}."
        )


def _refuse_absent(candidate: Candidate) -> None:
    if not candidate.is_there:
        raise EngineError(
            f"No engine for {candidate.engine}: {candidate.reason}",
            remedy="Choose another build in the System tab, or with `engines use`.",
        )


def _build(candidate: Candidate, verdict: Verdict, state: BuildState) -> EngineBuild:
    failed = next((test for test in verdict.tests if not test.passed), None)
    reason = f"The test '{failed.name}' failed: {failed.detail}" if failed else ""
    if verdict.tests and not failed and not any(test.name in _REAL_WORK for test in verdict.tests):
        reason = (
            "It starts; it was not tried with a picture, because there is no image model on the shelf yet."
        )
    return EngineBuild(
        candidate.engine,
        candidate.variant,
        verdict.version,
        candidate.path,
        state,
        reason,
        verdict.tests,
        verdict.devices,
    )


def _verdict(candidate: Candidate, probed: Probed, tests: tuple[EngineTest, ...], when: float) -> Verdict:
    is_embedded = candidate.variant == EMBEDDED
    return Verdict(
        engine=candidate.engine,
        path="" if is_embedded else candidate.path,
        version=probed.version or (embedded_version(candidate.engine) if is_embedded else ""),
        flags=probed.flags,
        devices=tuple(str(device) for device in probed.devices),
        tests=tests,
        tested_at=when,
    )
