"""The real program in a process of its own, brought into a state: `python -m tests.app.driver STATE`.

Prints one JSON line {"state", "pid", "children"} when the state is reached; with "kill" among the arguments
it kills itself there. STATE: idle, loading, streaming, generating, suspended. "model=ID": language model.
The data folder is GENAI_DESKTOP_HOME; the last two states need an imported image model.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

import psutil
from PySide6.QtCore import QObject, QTimer, Slot

from genai_desktop.app import build
from genai_desktop.core.images import ImageGenerationConfig

PROMPT = "Tell me everything about models, images, engines and the command line, in as many words as you can."


class Driver(QObject):
    """Lives in the GUI thread; reacts to the facades as the window does."""

    def __init__(self, application: Any, wanted: str) -> None:
        super().__init__()
        self._application, self._wanted = application, wanted
        self._facades = application.facades
        self._model = next((a.removeprefix("model=") for a in sys.argv if a.startswith("model=")), "guide")
        self._is_reported = False
        self._conversation = ""
        self._facades.chat.llm_changed.connect(self._on_llm)
        self._facades.chat.delta_received.connect(self._on_delta)
        self._facades.chat.conversation_opened.connect(self._on_opened)
        self._facades.images.progress_changed.connect(self._on_progress)
        self._facades.images.handoff_changed.connect(self._on_handoff)
        for facade in self._facades.all():
            facade.failed.connect(self._on_failed)
        application.thread.opened.connect(self._on_open)

    @Slot()
    def _on_open(self) -> None:
        if self._wanted == "idle":
            QTimer.singleShot(0, self._report)
        elif self._wanted == "generating":
            self._paint()
        else:
            self._facades.chat.load_model(self._model, {})

    @Slot(object)
    def _on_llm(self, info: Any) -> None:
        if self._wanted == "loading" and info.status == "starting" and info.pid:
            self._report()
        if info.status == "running" and not self._conversation:
            self._conversation = "asked"
            if self._wanted == "streaming":
                self._facades.chat.create()
            elif self._wanted == "suspended":
                self._facades.settings.update(step_aside="always")
                self._paint()

    @Slot(object)
    def _on_opened(self, conversation: Any) -> None:
        if self._wanted == "streaming" and self._conversation == "asked":
            self._conversation = conversation.summary.id
            self._facades.chat.send(self._conversation, PROMPT)

    @Slot(object)
    def _on_delta(self, delta: Any) -> None:
        if self._wanted == "streaming" and delta.content:
            self._report()

    def _paint(self) -> None:
        # many steps: there must be time to be killed in
        self._facades.images.generate(
            ImageGenerationConfig("a lighthouse", width=256, height=256, steps=200, cfg_scale=1.0, seed=1)
        )

    @Slot(object)
    def _on_progress(self, progress: Any) -> None:
        if self._wanted in ("generating", "suspended") and progress.stage in ("loading", "diffusion"):
            self._report()

    @Slot(object)
    def _on_handoff(self, state: Any) -> None:
        print(json.dumps({"handoff": str(state)}), file=sys.stderr, flush=True)

    @Slot(object)
    def _on_failed(self, failure: Any) -> None:
        print(json.dumps({"failed": str(failure)}), flush=True)

    def _report(self) -> None:
        if not self._is_reported:
            self._is_reported = True
            children = [p.pid for p in psutil.Process().children(recursive=True)]
            line = {"state": self._wanted, "pid": os.getpid(), "children": children}
            print(json.dumps(line), flush=True)
            if "kill" in sys.argv:  # a short state is over before a parent could act
                os.kill(os.getpid(), signal.SIGKILL)


def main() -> int:
    application = build([])
    driver = Driver(application, sys.argv[1])
    code = application.run()
    del driver
    return code


if __name__ == "__main__":
    sys.exit(main())
