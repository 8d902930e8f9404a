"""llama-server as a supervised process: how it is started, when it is ready, how it stops, why it died."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genai_desktop.core.builds import EngineCommand
from genai_desktop.core.errors import PortInUseError, ServerTimeoutError
from genai_desktop.core.launch import LlamaServerConfig, build_llama_argv
from genai_desktop.core.models import ModelInfo
from genai_desktop.engines.clock import Clock
from genai_desktop.engines.deadline import Deadline
from genai_desktop.engines.driver import Failure, Heard, Launch
from genai_desktop.engines.environment import clean_environment
from genai_desktop.engines.health import LlamaProbe, effective_from_props
from genai_desktop.engines.llama_failures import UNEXPLAINED, classify, damage_of
from genai_desktop.engines.llama_log import LlamaLog
from genai_desktop.engines.ports import free_port, is_free, port_in_use
from genai_desktop.engines.process import ChildProcess, ExitStatus, LaunchSpec

if TYPE_CHECKING:
    import httpx

EXIT_COMMAND = b"cmd_router_to_child:exit\n"
POLL_SECONDS = 0.25
PROGRESS_STEP = 0.01


@dataclass(frozen=True)
class LlamaPlan:
    """Everything decided: which engine, which model, and a configuration without any "auto" left."""

    command: EngineCommand
    model: ModelInfo
    config: LlamaServerConfig


@dataclass(frozen=True)
class Patience:
    """Seconds. stalled_after: without a sign of life while loading; foreign_after: somebody else's server
    answers on our port; health: for one answer."""

    stalled_after: float = 120.0
    foreign_after: float = 5.0
    health: float = 5.0


class LlamaServer:
    """The supervisor's driver for one model. One object serves one start and the restarts after crashes."""

    def __init__(
        self,
        plan: Callable[[], Awaitable[LlamaPlan]],
        *,
        api_key: str,
        slot_dir: Path,
        clock: Clock,
        token: Mapping[str, str],
        our_pids: Callable[[], Collection[int]],
        transport: httpx.AsyncBaseTransport | None = None,
        patience: Patience | None = None,
    ) -> None:
        self._make_plan = plan
        self._api_key = api_key
        self._slot_dir = slot_dir
        self._clock = clock
        self._token = token
        self._our_pids = our_pids
        self._transport = transport
        self._patience = patience or Patience()
        self.plan: LlamaPlan | None = None
        self._port: int | None = None
        self._log = LlamaLog()
        self._probe: LlamaProbe | None = None
        self._child: ChildProcess | None = None
        self._news = asyncio.Event()
        self._is_loaded = False
        self._alive_at = 0.0
        self._cpu_seconds = 0.0

    # -- before

    async def prepare(self) -> Launch:
        if self.plan is None:
            self.plan = await self._make_plan()
        plan, config = self.plan, self.plan.config
        self._port = await self._choose_port(config)
        await asyncio.to_thread(self._make_slot_dir)
        self._log = LlamaLog()
        self._is_loaded = False
        host = "127.0.0.1" if config.host == "localhost" else config.host
        url = f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"
        self._probe = LlamaProbe(url, self._api_key, self._transport, timeout=self._patience.health)
        argv = build_llama_argv(
            config,
            plan.model.path,
            plan.command.flags,
            port=self._port,
            alias=plan.model.name,
            slot_dir=str(self._slot_dir),
        )
        program = plan.command.argv[0]
        # backends are also looked for in the working directory; our own engine is started by module name
        is_binary = plan.command.build.variant != "embedded" and Path(program).is_absolute()
        spec = LaunchSpec(
            "llama",
            (*plan.command.argv, *argv),
            clean_environment(
                {
                    **dict(plan.command.environment),
                    **self._token,
                    # argv is readable by everybody on the machine, the environment is not
                    "LLAMA_API_KEY": self._api_key,
                    # the child protocol: load progress on stdout, exit on a line, exit when we are gone
                    "LLAMA_SERVER_ROUTER_PORT": "1",
                }
            ),
            cwd=str(Path(program).parent) if is_binary else None,
            has_stdin=True,
        )
        snapshot = {
            "port": self._port,
            "url": url,
            "command_line": spec.argv,
            "engine": plan.command.label,
            "requested": _by_field_names(plan.config),
            "effective": {},
            "load_progress": None,
            "model_name": plan.model.name,
        }
        return Launch(spec, self._port, snapshot)

    async def _choose_port(self, config: LlamaServerConfig) -> int:
        if config.port == "auto":
            # the same as before a crash if possible: clients know it
            if self._port is not None and await asyncio.to_thread(is_free, self._port, config.host):
                return self._port
            return await asyncio.to_thread(free_port, config.host)
        if not await asyncio.to_thread(is_free, config.port, config.host):
            raise await self._port_in_use(config.port, config.host)
        return config.port

    async def _port_in_use(self, port: int, host: str = "127.0.0.1") -> PortInUseError:
        ours = await asyncio.to_thread(self._our_pids)
        return await port_in_use(port, host, ours=ours)

    def _make_slot_dir(self) -> None:
        self._slot_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._slot_dir.chmod(0o700)

    # -- while it runs

    def attach(self, child: ChildProcess) -> None:
        self._child = child
        self._alive_at = self._clock.monotonic()
        self._cpu_seconds = 0.0

    def read_line(self, line: str) -> Heard:
        before = self._log.load_progress or 0.0
        is_for_people = self._log.read(line)
        self._alive_at = self._clock.monotonic()
        if self._log.is_ready:
            self._news.set()
        progress = self._log.load_progress
        if self._is_loaded or progress is None or progress < before + PROGRESS_STEP:
            return Heard(is_for_people=is_for_people)
        return Heard({"load_progress": progress}, is_for_people)

    async def ready(self) -> Mapping[str, Any]:
        """Health is ok and the properties come from the server with our key. Polls; wakes at "listening"."""
        foreign_since: float | None = None
        wait = 0.02
        while True:
            self._news.clear()
            health = await self._http().health()
            if health == "ok":
                props = await self._http().props()
                if props is not None and await self._is_ours():
                    self._is_loaded = True
                    return {"effective": {**self._log.effective, **effective_from_props(props)}}
                now = self._clock.monotonic()
                foreign_since = now if foreign_since is None else foreign_since
                if now - foreign_since > self._patience.foreign_after:
                    # ours has not even failed to listen there: somebody answers in its place
                    raise await self._port_in_use(self._port or 0)
            self._check_alive()
            with contextlib.suppress(TimeoutError):
                async with Deadline(wait):
                    await self._news.wait()
            wait = min(POLL_SECONDS, wait * 1.5)

    async def _is_ours(self) -> bool:
        """Our child said that it listens on this port, or whoever answers refuses a key that is not ours."""
        return self._log.port == self._port or await self._http().refuses_strangers()

    def _check_alive(self) -> None:
        """Loading may take as long as it likes while there is any sign of life: lines, progress, CPU time."""
        now = self._clock.monotonic()
        if now - self._alive_at < min(1.0, self._patience.stalled_after):
            return
        used = self._cpu_time()
        if used > self._cpu_seconds:
            self._cpu_seconds, self._alive_at = used, now
        elif now - self._alive_at >= self._patience.stalled_after:
            raise ServerTimeoutError(
                f"The engine has done nothing for {self._patience.stalled_after:g} seconds while loading.",
                remedy="Try again; check the drive the model is on, or choose another build of llama.cpp.",
            )

    def _cpu_time(self) -> float:
        import psutil

        if self._child is None:
            return 0.0
        try:
            times = psutil.Process(self._child.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    async def is_healthy(self) -> bool:
        return await self._http().health() == "ok"

    def _http(self) -> LlamaProbe:
        if self._probe is None:
            raise RuntimeError("the server was not prepared")
        return self._probe

    # -- its end

    def ask_to_stop(self, child: ChildProcess) -> None:
        if sys.platform == "win32" and self._log.has_child_protocol:
            child.write(EXIT_COMMAND)  # there is no signal a process without a console could be asked with
        else:
            child.terminate()

    async def explain(self, status: ExitStatus, lines: Sequence[str]) -> Failure:
        model = self.plan.model.path if self.plan is not None else ""
        failure = classify(status, lines, model=model, is_loaded=self._is_loaded)
        if failure.error.code in UNEXPLAINED and not self._is_loaded and model:
            damage = await asyncio.to_thread(damage_of, model)
            if damage is not None:
                return Failure(damage, is_final=True)
        if not failure.is_retryable_at_once:
            return failure
        config = self.plan.config if self.plan is not None else None
        if config is None or config.port == "auto":
            self._port = None
            return failure
        return Failure(await self._port_in_use(config.port, config.host), is_final=True)

    async def detach(self) -> None:
        probe, self._probe, self._child = self._probe, None, None
        if probe is not None:
            await probe.aclose()


def effective_config(config: LlamaServerConfig, effective: Mapping[str, Any]) -> LlamaServerConfig:
    """`config` as it turned out: flash attention decided, so that a saved conversation state fits again."""
    flash = effective.get("flash_attn")
    if config.flash_attention != "auto" or not isinstance(flash, bool):
        return config
    return replace(config, flash_attention="on" if flash else "off")


def _by_field_names(config: LlamaServerConfig) -> dict[str, Any]:
    """The requested values under the names that `effective` uses for the same thing."""
    return {
        "n_ctx": config.context_size,
        "n_gpu_layers": config.gpu_layers,
        "n_batch": config.batch_size,
        "n_ubatch": config.ubatch_size,
        "total_slots": config.parallel_requests,
        "cache_type_k": config.cache_type_k,
        "cache_type_v": config.cache_type_v,
        "flash_attn": config.flash_attention,
        "threads": config.threads,
        "load_mode": config.load_mode,
    }
