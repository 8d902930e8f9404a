"""How far an image job is and how long it still takes: measured on this machine, remembered, never guessed.

A first run of a model has no measurement: its percentage follows the stages with plain weights and its
remaining time is None. Every finished run is remembered; later runs of the same engine and model use it,
scaled by size where only another size was measured. The percentage never falls.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from genai_desktop.core.images import ImageProgress, ImageStage
from genai_desktop.core.sd_output import (
    AllDecoded,
    Completed,
    Decoding,
    ImageDecoded,
    ImageSampled,
    ImageStarted,
    Loading,
    Saved,
    SavedCount,
    SdEvent,
    Step,
    TextEncoded,
    Tile,
)

_STAGES: tuple[ImageStage, ...] = ("loading", "diffusion", "decoding", "saving")
# A picture without a measurement: shares of the bar by stage, as seed 001 states them.
_PLAIN_SHARES = (0.2, 0.5, 0.28, 0.02)
_NEW_WEIGHT = 0.6  # of the newest run against what was remembered
# Samplers that evaluate the model twice per step.
_TWO_PASSES = frozenset({"heun", "dpm2", "dpm++2s_a", "res_2s"})


def passes_per_step(cfg_scale: float, sampler: str) -> int:
    """Model evaluations per step: twice with guidance, twice again for second-order samplers."""
    return (1 if cfg_scale == 1 else 2) * (2 if sampler in _TWO_PASSES else 1)


@dataclass(frozen=True)
class EstimateKey:
    """What a measurement holds for. engine: label of the build; model: id and size of the files."""

    engine: str
    model: str
    width: int
    height: int
    steps: int
    passes: int

    @property
    def group(self) -> str:
        """Measurements of one group differ only in size and steps."""
        return f"{self.engine}|{self.model}|"

    @property
    def text(self) -> str:
        return f"{self.group}{self.width}x{self.height}|{self.steps}|{self.passes}"

    @classmethod
    def parse(cls, text: str) -> EstimateKey | None:
        """The inverse of `text`; None for anything else."""
        try:
            engine, model, size, steps, passes = text.rsplit("|", 4)
            width, height = size.split("x")
            return cls(engine, model, int(width), int(height), int(steps), int(passes))
        except ValueError:
            return None


@dataclass(frozen=True)
class StageTimes:
    """Seconds by the wall clock. first_*: what the first one took on top (weights are loaded lazily)."""

    load: float
    step: float
    first_step: float
    decode: float
    first_decode: float
    save: float
    runs: int = 1

    def total(self, steps: int, images: int) -> float:
        """A whole job: `images` pictures of `steps` bar steps."""
        return (
            self.load
            + self.first_step
            + images * (steps * self.step + self.decode)
            + self.first_decode
            + self.save
        )

    def scaled(self, pixels: float, passes: float) -> StageTimes:
        """For another size (ratio of pixels) and another number of passes (ratio)."""
        return StageTimes(
            load=self.load,
            step=self.step * pixels * passes,
            first_step=self.first_step,
            decode=self.decode * pixels,
            first_decode=self.first_decode,
            save=self.save,
            runs=self.runs,
        )

    def blended(self, newest: StageTimes) -> StageTimes:
        """Mostly the newest run, so that a faster disk or a warm cache shows at once and an odd run fades."""
        mixed = {
            f.name: (1 - _NEW_WEIGHT) * getattr(self, f.name) + _NEW_WEIGHT * getattr(newest, f.name)
            for f in fields(self)
            if f.name != "runs"
        }
        return StageTimes(**mixed, runs=self.runs + 1)


class EstimateBook:
    """All measurements. Loads from and saves to plain values; entries it cannot read are left out."""

    def __init__(self, entries: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._times: dict[str, StageTimes] = {}
        for text, values in (entries or {}).items():
            times = _read_times(values)
            if times is not None and EstimateKey.parse(text) is not None:
                self._times[text] = times

    def lookup(self, key: EstimateKey) -> StageTimes | None:
        """The measurement for `key`; else the nearest of the same engine and model, scaled; else None."""
        exact = self._times.get(key.text)
        if exact is not None:
            return exact
        best: tuple[float, StageTimes] | None = None
        for text, times in self._times.items():
            other = EstimateKey.parse(text)
            if other is None or other.group != key.group:
                continue
            ratio = (key.width * key.height) / (other.width * other.height)
            distance = max(ratio, 1 / ratio) * (1 if other.passes == key.passes else 2)
            if best is None or distance < best[0]:
                best = (distance, times.scaled(ratio, key.passes / other.passes))
        return best[1] if best else None

    def learn(self, key: EstimateKey, times: StageTimes) -> dict[str, Any]:
        """Remember one finished run; what to store under `key.text`."""
        known = self._times.get(key.text)
        self._times[key.text] = known.blended(times) if known else times
        return asdict(self._times[key.text])


def _read_times(values: Mapping[str, Any]) -> StageTimes | None:
    try:
        numbers = {f.name: float(values[f.name]) for f in fields(StageTimes) if f.name != "runs"}
        runs = int(values.get("runs", 1))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None
    if any(not 0 <= number < 1e9 for number in numbers.values()):
        return None
    return StageTimes(**numbers, runs=runs)


class ProgressTracker:
    """Follows one run. All times are seconds of one monotonic clock, given by the caller."""

    def __init__(
        self, job_id: str, *, steps: int, images: int, started: float, times: StageTimes | None = None
    ) -> None:
        self._job_id = job_id
        self._steps = steps
        self._images = images
        self._times = times
        self._stage = 0
        self._stage_began = [started, started, started, started]
        self._image = 1
        self._step = 0
        self._last_step = started  # when the last step, or the sampling itself, was seen
        self._intervals: list[float] = []
        self._first_interval: float | None = None
        self._decoded: list[float] = []  # when each picture was decoded
        self._tile = 0.0  # share of the picture being decoded
        self._load_share = 0.0
        self._percent = 0.0
        self._finished: float | None = None

    def feed(self, events: Iterable[SdEvent], now: float) -> None:
        """Events that came in at `now`."""
        for event in events:
            self._apply(event, now)

    def finish(self, now: float) -> None:
        """The files are there."""
        self._finished = now
        self._enter(3, now)

    def at(self, now: float) -> ImageProgress:
        """Where the job is at `now`. The percentage stays below 100 until `finish`."""
        if self._finished is not None:
            self._percent = 100.0
        else:
            self._percent = max(self._percent, min(99.0, 100.0 * self._share(now)))
        return ImageProgress(
            job_id=self._job_id,
            stage="done" if self._finished is not None else _STAGES[self._stage],
            step=self._step,
            steps=self._steps,
            percent=round(self._percent, 2),
            eta=0.0 if self._finished is not None else self._eta(now),
            image=self._image,
            images=self._images,
        )

    def measured(self) -> StageTimes | None:
        """What this run took, once it is finished and every stage was seen; else None."""
        if self._finished is None or self._first_interval is None or not self._decoded:
            return None
        # one step per picture gives no interval free of loading: the only one there is then counts as a step
        step = statistics.median(self._intervals) if self._intervals else self._first_interval
        starts = [self._stage_began[2], *self._decoded]
        decodes = [end - begin for begin, end in zip(starts, self._decoded, strict=False)]
        decode = statistics.median(decodes[1:]) if len(decodes) > 1 else decodes[0]
        return StageTimes(
            load=max(0.0, self._stage_began[1] - self._stage_began[0]),
            step=step,
            first_step=max(0.0, self._first_interval - step),
            decode=decode,
            first_decode=max(0.0, decodes[0] - decode),
            save=max(0.0, self._finished - self._decoded[-1]),
        )

    # what happened ------------------------------------------------------------------------------------------

    def _apply(self, event: SdEvent, now: float) -> None:
        match event:
            case Loading(phase="load"):
                self._load_share = max(self._load_share, 0.8 * event.done / max(1, event.total))
            case TextEncoded():
                self._load_share = 0.95
            case ImageStarted():
                self._enter(1, now)
                self._image = event.image
                self._images = max(self._images, event.images)
                self._step = 0
                self._last_step = now
            case Step():
                self._take_step(event, now)
            case ImageSampled():
                self._step = self._steps
            case Decoding():
                self._enter(2, now)
                self._image = 1
            case Tile(phase="decode"):
                self._tile = event.tile / max(1, event.tiles)
            case ImageDecoded():
                self._enter(2, now)
                self._decoded.append(now)
                self._tile = 0.0
                self._image = min(self._images, len(self._decoded) + 1)
            case AllDecoded() | Completed() | Saved() | SavedCount():
                # older builds may skip a line: whatever says that decoding is over ends it
                if not self._decoded and self._stage >= 1:
                    self._enter(2, now)
                    self._decoded.append(now)
                self._enter(3, now)
            case _:
                pass

    def _take_step(self, event: Step, now: float) -> None:
        if event.step <= self._step and event.steps == self._steps:
            self._last_step = now  # a second sampling pass (hires) starts its bar again
            self._step = event.step
            return
        self._steps = max(1, event.steps)  # the bar's own count: not always what was asked for
        advanced = max(1, event.step - self._step)
        interval = (now - self._last_step) / advanced
        if self._first_interval is None:
            self._first_interval = interval
        else:
            self._intervals.append(interval)
        self._step = event.step
        self._last_step = now

    def _enter(self, stage: int, now: float) -> None:
        while self._stage < stage:
            self._stage += 1
            self._stage_began[self._stage] = now

    # what is left -------------------------------------------------------------------------------------------

    @property
    def _steps_done(self) -> int:
        return (self._image - 1) * self._steps + self._step

    def _step_seconds(self, times: StageTimes) -> float:
        return statistics.median(self._intervals) if len(self._intervals) >= 2 else times.step

    def _lengths(self, times: StageTimes) -> tuple[float, float, float, float]:
        """Expected seconds of each stage."""
        return (
            times.load,
            times.first_step + self._images * self._steps * self._step_seconds(times),
            times.first_decode + self._images * times.decode,
            times.save,
        )

    def _stage_left(self, times: StageTimes, now: float) -> float:
        """Expected seconds to the end of the stage we are in; never negative."""
        if self._stage == 1:
            step = self._step_seconds(times)
            current = times.first_step + step if self._first_interval is None else step
            left = max(0, self._images * self._steps - self._steps_done - 1) * step
            return left + max(0.0, current - (now - self._last_step))
        if self._stage == 2:
            done = len(self._decoded)
            current = times.decode + (0.0 if done else times.first_decode)
            elapsed = now - (self._decoded[-1] if done else self._stage_began[2])
            if self._tile > 0.1:  # tiles are a better witness than the clock
                current = elapsed / self._tile
            return max(0, self._images - done - 1) * times.decode + max(0.0, current - elapsed)
        return max(0.0, self._lengths(times)[self._stage] - (now - self._stage_began[self._stage]))

    def _eta(self, now: float) -> float | None:
        if self._times is None:
            return None
        lengths = self._lengths(self._times)
        return round(self._stage_left(self._times, now) + sum(lengths[self._stage + 1 :]), 3)

    def _share(self, now: float) -> float:
        if self._times is None:
            return self._plain_share()
        lengths = self._lengths(self._times)
        total = sum(lengths)
        if total <= 0:
            return self._plain_share()
        left = self._stage_left(self._times, now) + sum(lengths[self._stage + 1 :])
        return max(0.0, 1.0 - left / total)

    def _plain_share(self) -> float:
        before = sum(_PLAIN_SHARES[: self._stage])
        inside = (
            self._load_share,
            self._steps_done / max(1, self._images * self._steps),
            (len(self._decoded) + self._tile) / max(1, self._images),
            0.5,
        )[self._stage]
        return before + _PLAIN_SHARES[self._stage] * min(1.0, inside)
