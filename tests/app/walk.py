"""A walk through the real window with real events and engines: `python -m tests.app.walk FOLDER THEME`.

It loads the Guide, asks it, paints while the language model steps aside, asks meanwhile, cancels a
picture, and looks at every tab. Prints one JSON object per step; exit code 1 at the first that fails.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, QPoint, Qt, QTimer, Slot
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget

from genai_desktop.app import build

SIZES = {"large": (1280, 820), "small": (960, 640)}
DEADLINE = 60.0  # seconds a step may take
Step = tuple[str, Callable[[], object] | None, Callable[[], bool]]


class Walk(QObject):
    """One step after the other; a step acts, then waits until it came true."""

    def __init__(self, application: Any, folder: Path, theme: str) -> None:
        super().__init__()
        self._application, self._window = application, application.window
        self._folder, self._theme = folder, theme
        self._steps = self._plan()
        self._current: Step | None = None
        self._begun = 0.0
        self.code = 1
        self._timer = QTimer(self)
        self._timer.setInterval(20)
        self._timer.timeout.connect(self._on_tick)
        self._failures: list[str] = []
        self._infos: dict[str, Any] = {}
        self._handoffs: list[Any] = []
        facades = application.facades
        for facade in facades.all():
            facade.failed.connect(self._on_failed)
        facades.system.server_changed.connect(self._on_server)
        facades.images.handoff_finished.connect(self._handoffs.append)
        application.thread.opened.connect(self._timer.start)

    # -- the plan -------------------------------------------------------------------------------------------

    def _plan(self) -> Iterator[Step]:
        yield ("settings", self._set_up, self._window.isVisible)
        yield ("welcome", None, self._has_capabilities)
        yield ("models known", None, lambda: bool(self._window.latest.models))
        yield ("welcome shown", lambda: self._shoot("welcome"), lambda: True)
        yield (
            "start",
            lambda: self._click("onboarding.start"),
            lambda: self._window.current_page == "chat" and self._status("llama") == "running",
        )
        yield self._page("system", self._has_capabilities)
        yield self._page("models", lambda: self._models().rowCount() >= 2)
        yield self._page("chat", lambda: self._find("chat.model", QWidget).currentText() != "")
        yield ("chat empty", lambda: self._shoot("chat-empty"), lambda: True)
        chat = self._window.page("chat")
        yield ("ask", lambda: self._ask("How do I download a model?"), lambda: self._replies() == 1)
        yield ("details", chat.bar.panel_button.click, chat.panel.isVisible)
        yield ("ask again", lambda: self._ask("What is a quantization?"), lambda: self._replies() == 2)
        yield ("chat full", lambda: self._shoot("chat"), lambda: True)
        yield ("close panel", chat.bar.panel_button.click, lambda: not chat.panel.isVisible())
        yield self._page("images", lambda: self._window.page("images").form.model_id() != "")
        images = self._window.page("images")
        yield ("describe", self._describe, lambda: images.form.prompt.toPlainText() != "")
        yield ("the banner", None, lambda: images.banner.strip("forecast") is not None)
        yield ("generate", lambda: self._click("images.generate"), images.progress.isVisible)
        yield ("busy", None, lambda: "step" in images.progress.text() or images.canvas.has_picture())
        yield ("images busy", lambda: self._shoot("images-busy"), lambda: True)
        yield ("to the chat", lambda: self._click("nav.chat"), lambda: self._window.current_page == "chat")
        yield (
            "queued question",
            lambda: self._ask("What happens when an image needs the memory?"),
            self._is_settled,
        )
        yield ("chat waiting", lambda: self._shoot("chat-waiting"), lambda: True)
        yield ("back to the studio", lambda: self._click("nav.images"), lambda: True)
        yield ("painted", None, lambda: images.canvas.has_picture() and not images.progress.isVisible())
        yield ("images full", lambda: self._shoot("images"), lambda: True)
        yield ("model is back", None, lambda: self._status("llama") == "running" and bool(self._handoffs))
        yield ("answer of the waiting question", None, lambda: self._replies() == 3)
        yield (
            "generate and cancel",
            lambda: self._click("images.generate"),
            images.progress.isVisible,
        )
        yield ("cancelled", lambda: self._click("images.cancel"), lambda: not images.progress.isVisible())
        yield ("back again", None, lambda: self._status("llama") == "running" and len(self._handoffs) >= 2)
        yield self._page("models", lambda: True)
        yield self._page("system", lambda: True)
        yield ("a minute of charts", None, lambda: time.monotonic() - self._started > 12)
        yield ("system full", lambda: self._shoot("system"), lambda: True)
        yield ("small", lambda: self._window.resize(*SIZES["small"]), lambda: self._window.width() == 960)
        for name in ("system", "models", "chat", "images"):
            yield (f"small {name}", lambda name=name: self._window.show_page(name), self._is_settled)
            yield (f"picture of small {name}", lambda name=name: self._shoot(f"{name}-small"), lambda: True)

    def _page(self, name: str, condition: Callable[[], bool]) -> Step:
        def go() -> None:
            self._click(f"nav.{name}")

        return (f"page {name}", go, lambda: self._window.current_page == name and condition())

    # -- acting ---------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        self._started = time.monotonic()
        self._application.facades.settings.update(theme=self._theme, step_aside="always")
        self._window.resize(*SIZES["large"])

    def _ask(self, text: str) -> None:
        prompt = self._find("chat.prompt", QWidget)
        QTest.mouseClick(prompt.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(5, 5))
        QTest.keyClicks(prompt, text)
        QTest.keyClick(prompt, Qt.Key.Key_Return)

    def _describe(self) -> None:
        form = self._window.page("images").form
        QTest.keyClicks(form.prompt, "a lighthouse at dusk")
        form.set_values({"width": 128, "height": 128, "steps": 12, "cfg_scale": 1.0, "seed": 42})

    def _click(self, name: str) -> None:
        QTest.mouseClick(self._find(name, QWidget), Qt.MouseButton.LeftButton)

    def _shoot(self, name: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._window.grab().save(str(self._folder / f"{name}-{self._theme}.png"))

    # -- looking --------------------------------------------------------------------------------------------

    def _find(self, name: str, kind: type[Any]) -> Any:
        found = self._window.findChild(kind, name)
        if found is None:
            raise LookupError(f"there is no {name!r} in the window")
        return found

    def _models(self) -> Any:
        return self._find("models.installed", QWidget).model()

    def _has_capabilities(self) -> bool:
        return self._window.latest.capabilities is not None

    def _is_settled(self) -> bool:
        """Layouts and late rows have come to rest."""
        return time.monotonic() - self._begun > 0.4

    def _replies(self) -> int:
        transcript = self._window.page("chat").transcript
        return sum(m.role == "assistant" and m.state == "done" for m in transcript._all)

    def _status(self, name: str) -> str:
        info = self._infos.get(name)
        return info.status if info is not None else "stopped"

    @Slot(object)
    def _on_server(self, info: Any) -> None:
        self._infos[info.name] = info

    @Slot(object)
    def _on_failed(self, failure: Any) -> None:
        self._failures.append(f"{failure.action}: {failure.code} {failure.message}")

    # -- going on -------------------------------------------------------------------------------------------

    @Slot()
    def _on_tick(self) -> None:
        if self._failures:
            self._end({"step": self._current and self._current[0], "failed": self._failures})
            return
        if self._current is None:
            self._current = next(self._steps, None)
            if self._current is None:
                self.code = 0
                reports = [{"restored": r.restored_tokens, "error": r.error} for r in self._handoffs]
                self._end({"done": True, "handoffs": reports})
                return
            self._begun = time.monotonic()
            if self._current[1] is not None:
                self._current[1]()
        if self._current[2]():
            seconds = round(time.monotonic() - self._begun, 2)
            print(json.dumps({"step": self._current[0], "seconds": seconds}), flush=True)
            self._current = None
        elif time.monotonic() - self._begun > DEADLINE:
            self._shoot("failed")
            self._end({"step": self._current[0], "failed": "did not come true"})

    def _end(self, line: dict[str, Any]) -> None:
        self._timer.stop()
        print(json.dumps(line), flush=True)
        self._application.quit()


def main() -> int:
    application = build([])
    walk = Walk(application, Path(sys.argv[1]), sys.argv[2])
    code = application.run()
    return code or walk.code


if __name__ == "__main__":
    sys.exit(main())
