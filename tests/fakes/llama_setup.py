"""A LlamaServerManager on the fake llama-server, with every collaborator in the open."""

from __future__ import annotations

import json
import re
import struct
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genai_desktop.core.builds import EngineBuild, EngineCommand
from genai_desktop.core.errors import ModelNotFoundError
from genai_desktop.core.launch import LlamaServerConfig
from genai_desktop.core.models import ModelInfo
from genai_desktop.core.servers import LogEntry, ServerInfo
from genai_desktop.engines.ledger import Ledger
from genai_desktop.engines.llama_server import Patience
from genai_desktop.engines.process import AsyncioLauncher, ProcessLauncher
from genai_desktop.engines.supervisor import Policy
from genai_desktop.library.paths import DataPaths
from genai_desktop.services.llama_server import LlamaServerManager
from tests.fakes import fake_llama_server

FAKE = Path(fake_llama_server.__file__)
EMPTY_GGUF = b"GGUF" + struct.pack("<IQQ", 3, 0, 0)  # a whole file without anything in it
PYTHON = (sys.executable, "-I", "-S")
FLAGS = frozenset(fake_llama_server.known_flags())
QUICK = Policy(
    delays=(0.01, 0.01, 0.01), grace=5, load_grace=1, check_interval=0.05, hang_checks=3, refill_after=300
)
PATIENCE = Patience(stalled_after=20, foreign_after=0.3, health=2)


def fake_argv(*faults: str) -> tuple[str, ...]:
    return (*PYTHON, str(FAKE), *(word for fault in faults for word in ("--fault", fault)))


class FakeEngine:
    """An engine provider whose engine is the fake."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        self.flags = FLAGS

    async def command(self, engine: str) -> EngineCommand:
        build = EngineBuild("llama.cpp", "cpu", "b11549", str(FAKE), "in-use")
        return EngineCommand(build, fake_argv(*self.faults), self.flags)


class FakeModels:
    """One model called "m"."""

    def __init__(self, path: Path) -> None:
        self.model = ModelInfo("m", "Tiny, Model", "llm", str(path), 8, context_length=2048)

    async def get_model_info(self, model_id: str) -> ModelInfo:
        if model_id != self.model.id:
            raise ModelNotFoundError(f"There is no model {model_id!r}.")
        return self.model


class FakeSystem:
    """Knows what suits this computer."""

    def __init__(self, **values: Any) -> None:
        self.values = values

    async def get_optimal_config(self, model: ModelInfo, **wishes: Any) -> Mapping[str, Any]:
        return self.values


class Setup:
    """A manager and everything it works with."""

    def __init__(
        self,
        home: Path,
        *faults: str,
        policy: Policy = QUICK,
        patience: Patience = PATIENCE,
        system: FakeSystem | None = None,
        launcher: ProcessLauncher | None = None,
    ) -> None:
        self.paths = DataPaths(home)
        self.paths.ensure()
        path = home / "model ü.gguf"
        path.write_bytes(EMPTY_GGUF)
        self.engine = FakeEngine(*faults)
        self.models = FakeModels(path)
        self.ledger = Ledger(self.paths.runtime)
        self.manager = LlamaServerManager(
            launcher=launcher or AsyncioLauncher(),
            engine=self.engine,
            models=self.models,
            paths=self.paths,
            ledger=self.ledger,
            system=system,
            policy=policy,
            patience=patience,
        )
        self.seen: list[ServerInfo] = []
        self.told: list[str] = []
        self.entries: list[LogEntry] = []
        self.manager.on("changed", self.seen.append)
        self.manager.on("log", self.entries.append)
        for name in ("started", "stopped", "crashed"):
            self.manager.on(name, lambda info, name=name: self.told.append(name))

    @property
    def info(self) -> ServerInfo:
        return self.manager.get_info()

    def config(self, **values: Any) -> LlamaServerConfig:
        return LlamaServerConfig.from_mapping({"model_id": "m", "port": "auto", **values})

    async def start(self, **values: Any) -> ServerInfo:
        return await self.manager.start(self.config(**values))

    def lines(self) -> str:
        return "\n".join(entry.message for entry in self.entries)

    def grandchild(self) -> int:
        """The pid the fake told of."""
        found = re.search(r"grandchild (\d+)", self.lines())
        assert found is not None
        return int(found[1])


def ask(info: ServerInfo, path: str, key: str = "", body: Mapping[str, Any] | None = None) -> Any:
    """One request to a running fake, in a worker thread please."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"{info.url}{path}", data=data, headers={"Authorization": f"Bearer {key}"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return json.loads(response.read())
