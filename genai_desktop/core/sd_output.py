"""What sd-cli writes, as events. Incremental: any chunking of the bytes gives the same events.

The rules hold for every release since master-411, whichever way it orders loading and sampling (all weights
first up to master-690, lazily inside each phase since), and for the byte order of Windows pipes, where the
tag of a message arrives after the message itself: therefore tags are dropped and never read.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

SdPhase = Literal["load", "sample", "decode", "upscale", "save"]
Stream = Literal["stdout", "stderr"]

_MAX_PENDING = 1 << 16  # a line longer than this is cut: a flood without line ends must not eat the memory
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_TAGS = re.compile(r"^(?:\[(?:DEBUG|INFO|WARN|ERROR) ?\]\s*)+")
_ORIGIN = re.compile(r"^[\w./\\-]+\.\w+:\d+\s+- ")
_BAR = re.compile(r"^\s*\|([=>#\s]{50})\|\s+(\d{1,9})/(\d{1,9})\s+-\s+([\d.]+|inf|nan)(it/s|s/it|[KMG]?B/s)$")
_TAKING = r"taking (\d+(?:\.\d+)?)\s*(m?s)"
_VERSION = re.compile(r"^Version: (.+?)\s*$")
_MEMORY = re.compile(
    r"^total params memory size = ([\d.]+)MB \(VRAM ([\d.]+)MB, RAM ([\d.]+)MB\)"
    r"(?:: (?:text_encoders|clip) ([\d.]+)MB.*?, (?:diffusion_model|unet) ([\d.]+)MB.*?, vae ([\d.]+)MB)?"
)
_SIZE = re.compile(r"^generate_image (\d+)x(\d+)$")
_LOADED = re.compile(rf"^loading tensors completed, {_TAKING}")
_ENCODED = re.compile(rf"^encode_first_stage completed, {_TAKING}")
_CONDITION = re.compile(rf"^get_learned_condition completed, {_TAKING}")
_IMAGE = re.compile(r"^generating image: (\d+)/(\d+) - seed (-?\d+)")
_SAMPLED = re.compile(rf"^sampling completed, {_TAKING}")
_DECODING = re.compile(r"^decoding (\d+)(?:/\d+)? latents")
_DECODED = re.compile(rf"^latent (\d+) decoded, {_TAKING}")
_ALL_DECODED = re.compile(rf"^decode_first_stage completed, {_TAKING}")
_COMPLETED = re.compile(r"^generate_image completed in (\d+(?:\.\d+)?)s")
_SAVED = re.compile(r"^save result (?:PNG )?image (?:\d+ )?to '(.*?)'(?: \((success|failure)\))?$")
_COUNT = re.compile(r"^(\d+)/(\d+) images saved$")
_ALIGNED = re.compile(r"^align generation request up \d+x\d+ to (\d+)x(\d+)")


@dataclass(frozen=True)
class ModelRecognised:
    """The architecture the engine found in the weights, such as "Flux" or "SD 1.x"."""

    version: str


@dataclass(frozen=True)
class MemoryPlanned:
    """Bytes of weights the engine plans to hold; the parts are 0 where this build does not list them."""

    total: int
    vram: int
    ram: int
    text_encoders: int = 0
    diffusion_model: int = 0
    vae: int = 0


@dataclass(frozen=True)
class SizeChosen:
    """The real size in pixels, after alignment."""

    width: int
    height: int


@dataclass(frozen=True)
class Loading:
    """Tensors read so far, in the phase in which this build reads them."""

    phase: SdPhase
    done: int
    total: int


@dataclass(frozen=True)
class Loaded:
    """One load finished. seconds as the engine measured it."""

    phase: SdPhase
    seconds: float


@dataclass(frozen=True)
class TextEncoded:
    """The prompt is encoded. seconds include a lazy load of the encoder."""

    seconds: float


@dataclass(frozen=True)
class ImageEncoded:
    """The input picture is encoded."""

    seconds: float


@dataclass(frozen=True)
class ImageStarted:
    """Sampling of one picture begins. image and images count from 1."""

    image: int
    images: int
    seed: int


@dataclass(frozen=True)
class Step:
    """One denoising step is done. steps is what the bar says, which is not always what was asked for."""

    image: int
    images: int
    step: int
    steps: int


@dataclass(frozen=True)
class ImageSampled:
    image: int
    seconds: float


@dataclass(frozen=True)
class Decoding:
    """Latents are being turned into pictures."""

    images: int


@dataclass(frozen=True)
class Tile:
    """One tile of a tiled encode, decode or upscale."""

    phase: SdPhase
    tile: int
    tiles: int


@dataclass(frozen=True)
class ImageDecoded:
    """image counts from 1."""

    image: int
    seconds: float


@dataclass(frozen=True)
class AllDecoded:
    seconds: float


@dataclass(frozen=True)
class Completed:
    """The engine is done computing; the files are written next."""

    seconds: float


@dataclass(frozen=True)
class Saved:
    """A file was written, or not. The word of the engine: the file itself decides."""

    path: str
    is_success: bool


@dataclass(frozen=True)
class SavedCount:
    saved: int
    total: int


SdEvent = (
    ModelRecognised
    | MemoryPlanned
    | SizeChosen
    | Loading
    | Loaded
    | TextEncoded
    | ImageEncoded
    | ImageStarted
    | Step
    | ImageSampled
    | Decoding
    | Tile
    | ImageDecoded
    | AllDecoded
    | Completed
    | Saved
    | SavedCount
)


@dataclass(frozen=True)
class SdLine:
    """One line of text for the log: without tags, colours and bars."""

    text: str
    stream: Stream


class SdOutputParser:
    """Feed the bytes of both pipes as they come; get events and log lines, in order.

    Standard error carries no events (it holds errors and the loader's own chatter), only lines.
    """

    def __init__(self) -> None:
        self.phase: SdPhase = "load"
        self._image = 0
        self._images = 0
        self._split: dict[Stream, _Segments] = {"stdout": _Segments(), "stderr": _Segments()}

    def feed(self, data: bytes, stream: Stream = "stdout") -> list[SdEvent | SdLine]:
        """What these bytes complete."""
        return self._read(self._split[stream].feed(data), stream)

    def finish(self) -> list[SdEvent | SdLine]:
        """What was left without a line end. Call once, after both pipes are closed."""
        return [
            item for stream, segments in self._split.items() for item in self._read(segments.finish(), stream)
        ]

    def _read(self, segments: Iterator[str], stream: Stream) -> list[SdEvent | SdLine]:
        found: list[SdEvent | SdLine] = []
        for segment in segments:
            text = _TAGS.sub("", _ANSI.sub("", segment)).rstrip()
            if not text.strip():
                continue
            if stream == "stderr":
                found.append(SdLine(_ORIGIN.sub("", text), stream))
                continue
            bar = _BAR.match(text)
            if bar is not None:
                found.append(self._bar(bar))
                continue
            text = _ORIGIN.sub("", text)
            found.append(SdLine(text, stream))
            event = self._event(text.strip())
            if event is not None:
                found.append(event)
        return found

    def _bar(self, bar: re.Match[str]) -> SdEvent:
        drawing, done, total, unit = bar[1], int(bar[2]), int(bar[3]), bar[5]
        # weights are drawn with '#' or counted in bytes; before master-501 only the phase tells them apart
        if "#" in drawing or unit.endswith("B/s"):
            return Loading(self.phase, done, total)
        if self.phase == "load":
            return Loading(self.phase, done, total)
        if self.phase == "sample":
            return Step(self._image, self._images, done, total)
        return Tile(self.phase, done, total)

    def _event(self, text: str) -> SdEvent | None:  # noqa: PLR0911, PLR0912 - a catalogue, one line each
        if match := _IMAGE.match(text):
            self.phase = "sample"
            self._image, self._images = int(match[1]), int(match[2])
            return ImageStarted(self._image, self._images, int(match[3]))
        if match := _SAMPLED.match(text):
            return ImageSampled(self._image, _seconds(match))
        if match := _DECODING.match(text):
            self.phase = "decode"
            return Decoding(int(match[1]))
        if match := _DECODED.match(text):
            return ImageDecoded(int(match[1]), _seconds(match, 2))
        if match := _ALL_DECODED.match(text):
            return AllDecoded(_seconds(match))
        if match := _LOADED.match(text):
            return Loaded(self.phase, _seconds(match))
        if match := _CONDITION.match(text):
            return TextEncoded(_seconds(match))
        if match := _ENCODED.match(text):
            return ImageEncoded(_seconds(match))
        if match := _COMPLETED.match(text):
            self.phase = "save"
            return Completed(float(match[1]))
        if match := _SAVED.match(text):
            self.phase = "save"
            return Saved(match[1], match[2] != "failure")
        if match := _COUNT.match(text):
            return SavedCount(int(match[1]), int(match[2]))
        if match := _SIZE.match(text) or _ALIGNED.match(text):
            return SizeChosen(int(match[1]), int(match[2]))
        if match := _VERSION.match(text):
            return ModelRecognised(match[1])
        if match := _MEMORY.match(text):
            sizes = [round(float(group or 0) * (1 << 20)) for group in match.groups()]
            return MemoryPlanned(*sizes)
        if text.startswith("upscaling from ("):
            self.phase = "upscale"
        return None


class _Segments:
    """Bytes to lines: split at carriage returns, line feeds, and the end of a bar that has neither yet."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._pending = ""

    def feed(self, data: bytes) -> Iterator[str]:
        return self._cut(self._decoder.decode(data))

    def finish(self) -> Iterator[str]:
        yield from self._cut(self._decoder.decode(b"", final=True))
        rest, self._pending = self._pending, ""
        yield rest

    def _cut(self, text: str) -> Iterator[str]:
        # "erase to end of line" ends a bar: so a step is seen when it happens, not when the next one begins
        *complete, self._pending = re.split(r"[\r\n]|(?<=\x1b\[K)", self._pending + text)
        if len(self._pending) > _MAX_PENDING:
            complete.append(self._pending)
            self._pending = ""
        yield from complete


def _seconds(match: re.Match[str], group: int = 1) -> float:
    value = float(match[group])
    return value / 1000 if match[group + 1] == "ms" else value
