"""What an engine's binary says about itself: version, flags, devices. Nothing is believed from its name."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genai_desktop.core.builds import EngineName, EngineTest
from genai_desktop.core.errors import EngineError, GenaiError, ServerTimeoutError
from genai_desktop.engines.environment import clean_environment
from genai_desktop.engines.llama_failures import classify
from genai_desktop.engines.process import Completed, LaunchSpec, ProcessLauncher, run_to_end

_FLAG = re.compile(r"--?[A-Za-z][\w+-]*")
_LLAMA_VERSION = re.compile(
    r"^version: (?P<text>.+?) \((?:build (?P<build>\d+), commit )?(?P<commit>\w+)\)", re.MULTILINE
)
_SD_VERSION = re.compile(r"stable-diffusion\.cpp version (?P<text>[^\s,]+), commit (?P<commit>\w+)")
_LLAMA_DEVICE = re.compile(r"^\s+(?P<name>[A-Za-z]+\d*): (?P<what>.+?)(?: \(\d+ MiB.*\))?$", re.MULTILINE)
_SD_DEVICE = re.compile(r"^(?P<name>[A-Za-z]+\d*)\t(?P<what>.+)$", re.MULTILINE)
_SOFTWARE_DEVICES = ("llvmpipe", "swiftshader", "lavapipe")

# Flags that together only this engine has; any of each group.
_MARKS: dict[EngineName, tuple[tuple[str, ...], ...]] = {
    "llama.cpp": (
        ("--model",), ("--port",), ("--ctx-size",), ("--slot-save-path", "--slots"), ("--api-key",),
    ),
    "stable-diffusion.cpp": (
        ("--diffusion-model",), ("--vae",), ("--cfg-scale",), ("--steps",), ("--output",),
    ),
}  # fmt: skip
PROGRAMS: dict[EngineName, str] = {"llama.cpp": "llama-server", "stable-diffusion.cpp": "sd-cli"}


@dataclass(frozen=True)
class ProbePatience:
    """Seconds each question may take."""

    version: float = 10.0
    help: float = 10.0
    devices: float = 30.0


@dataclass(frozen=True)
class Device:
    """A device the engine can compute on. is_gpu is False for the processor and for software renderers."""

    name: str
    description: str

    @property
    def is_gpu(self) -> bool:
        is_software = any(word in self.description.lower() for word in _SOFTWARE_DEVICES)
        return not is_software and not self.name.upper().startswith("CPU")

    def __str__(self) -> str:
        return f"{self.name}: {self.description}"


@dataclass(frozen=True)
class Probed:
    """The answers. flags: every spelling in --help; devices: empty when the build cannot list them."""

    version: str = ""
    flags: frozenset[str] = frozenset()
    devices: tuple[Device, ...] = ()


class EngineProbe:
    """Asks one binary. argv: how to start it, before its own arguments."""

    def __init__(
        self,
        launcher: ProcessLauncher,
        engine: EngineName,
        argv: Sequence[str],
        *,
        environment: Iterable[tuple[str, str]] = (),
        cwd: str | None = None,
        patience: ProbePatience | None = None,
    ) -> None:
        self._launcher = launcher
        self._engine = engine
        self._argv = tuple(argv)
        self._environment = dict(environment)
        self._cwd = cwd
        self._patience = patience or ProbePatience()

    async def flags(self) -> frozenset[str]:
        """The flags of `--help`. Raises EngineError when it does not run, or is another program."""
        done = await self._run("--help", self._patience.help)
        flags = parse_flags(done.stdout) or parse_flags(done.stderr)
        reason = mismatch(self._engine, flags)
        if not reason:
            return flags
        if not done.status.is_success:
            raise _explained(done, "--help")
        raise EngineError(
            f"This is not {PROGRAMS[self._engine]}: {reason}.",
            code="WRONG_PROGRAM",
            remedy=f"Choose the program {PROGRAMS[self._engine]} of {self._engine}.",
        )

    async def version(self) -> str:
        """ "b11549", "master-596-90e87bc", a commit, or what else it calls itself. Raises EngineError.

        Empty when it does not tell: builds of stable-diffusion.cpp before December 2025 know no --version.
        """
        done = await self._run("--version", self._patience.version)
        if not done.status.is_success:
            if self._engine == "stable-diffusion.cpp" and done.status.code == 1:
                return ""
            raise _explained(done, "--version")
        return parse_version(self._engine, done.stderr + "\n" + done.stdout)

    async def devices(self) -> tuple[Device, ...]:
        """What it can compute on. Raises EngineError."""
        done = await self._run("--list-devices", self._patience.devices)
        if not done.status.is_success:
            raise _explained(done, "--list-devices")
        return parse_devices(self._engine, done.stdout)

    async def all(self, steps: Steps) -> Probed:
        """Every question as a step; never raises for what the binary does. The first failure ends it."""
        flags: frozenset[str] = frozenset()
        version = ""
        devices: tuple[Device, ...] = ()
        async with steps.step("help") as step:
            flags = await self.flags()
            step.detail = f"{len(flags)} flags"
        if steps.is_good:
            async with steps.step("version") as step:
                version = await self.version()
                step.detail = version or "does not tell"
        if steps.is_good and "--list-devices" in flags:
            async with steps.step("devices") as step:
                devices = await self.devices()
                step.detail = ", ".join(map(str, devices)) or "none: it computes on the processor"
        return Probed(version, flags, devices)

    async def _run(self, argument: str, timeout: float) -> Completed:
        spec = LaunchSpec(
            f"{PROGRAMS[self._engine]} {argument}",
            (*self._argv, argument),
            clean_environment(self._environment),
            cwd=self._cwd,
        )
        try:
            return await run_to_end(self._launcher, spec, timeout)
        except ServerTimeoutError as error:
            raise EngineError(
                f"The program did not answer {argument} within {timeout:g} seconds.",
                code="TIMEOUT",
                remedy="Try again; if it happens again, choose another build.",
                details=error.details,
            ) from error


def _explained(done: Completed, argument: str) -> GenaiError:
    """Why a program that was only asked a question ended with a failure."""
    lines = [line for line in (done.stderr + "\n" + done.stdout).splitlines() if line.strip()]
    error = classify(done.status, lines, model="", is_loaded=True).error
    if not isinstance(error, EngineError):
        said = f": {lines[-1].strip()[:200]}" if lines else ""
        error = EngineError(
            f"The program ended with {done.status.describe()} when asked for {argument}{said}.",
            code="ENGINE_BROKEN",
            remedy="Choose another build.",
        )
    error.details["log"] = lines[-20:]
    return error


class Steps:
    """Steps of a test, each timed and judged by what happens in it."""

    def __init__(self) -> None:
        self.done: list[EngineTest] = []

    @property
    def is_good(self) -> bool:
        return all(test.passed for test in self.done)

    def step(self, name: str) -> Step:
        return Step(self, name)

    def begin(self, name: str) -> None:
        """A step begins."""


class Step:
    """One of them: passes when its block ends without a GenaiError, which is then told instead of raised."""

    def __init__(self, steps: Steps, name: str) -> None:
        self._steps = steps
        self._name = name
        self._began = 0.0
        self.detail = ""

    async def __aenter__(self) -> Step:
        self._began = time.monotonic()
        self._steps.begin(self._name)
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        if error is not None and not isinstance(error, GenaiError):
            return False
        detail = str(error) if error is not None else self.detail
        seconds = time.monotonic() - self._began
        self._steps.done.append(EngineTest(self._name, error is None, seconds, detail))
        return error is not None


def parse_flags(text: str) -> frozenset[str]:
    """Every spelling of every flag in a help text: the words that begin a line, as long as they are flags."""
    flags: set[str] = set()
    for line in text.splitlines():
        if not re.match(r"\s{0,8}-", line):
            continue
        for word in line.replace(",", " ").split():
            if not _FLAG.fullmatch(word):
                break
            flags.add(word)
    return frozenset(flags)


def mismatch(engine: EngineName, flags: frozenset[str]) -> str:
    """Why a program with these flags is not the engine; empty when it is."""
    if not flags:
        return "it prints no list of flags"
    if engine == "stable-diffusion.cpp" and "--listen-port" in flags:
        return "it is sd-server, which cannot be stopped in the middle of a picture"
    for group in _MARKS[engine]:
        if not flags & set(group):
            return f"it does not know {group[0]}"
    return ""


def parse_version(engine: EngineName, text: str) -> str:
    """A short name of the build from the output of --version; empty when there is none."""
    found = (_LLAMA_VERSION if engine == "llama.cpp" else _SD_VERSION).search(text)
    if found is None:
        return ""
    name, commit = found["text"], found["commit"]
    if engine == "llama.cpp":
        if (found["build"] or "").isdecimal() and int(found["build"]) > 1:
            return f"b{found['build']}"
        return f"b{name}" if name.isdecimal() else name
    if name != "unknown":
        return name
    return commit if commit != "unknown" else ""


def parse_devices(engine: EngineName, text: str) -> tuple[Device, ...]:
    """The devices of --list-devices."""
    pattern = _LLAMA_DEVICE if engine == "llama.cpp" else _SD_DEVICE
    return tuple(Device(found["name"], found["what"].strip()) for found in pattern.finditer(text))
