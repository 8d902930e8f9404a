"""The real window in a process of its own, in the hand of a test: `python -m tests.app.window_driver`.

Tells every event as a JSON line on stdout and takes commands as JSON lists on stdin: [facade, intent,
arguments ...], ["texts"] for every text that can be read in a visible window, ["page", name], or ["type",
text] into the composer of the chat, and send it. The data folder is GENAI_DESKTOP_HOME.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from PySide6.QtCore import QObject, QSocketNotifier, QTimer, Slot
from PySide6.QtWidgets import QAbstractButton, QApplication, QLabel, QPlainTextEdit, QTextEdit, QWidget

from genai_desktop import app, cli
from genai_desktop.core.chat import SamplingParameters
from genai_desktop.core.errors import GenaiError
from genai_desktop.core.images import ImageGenerationConfig

_VALUES = {"config": ImageGenerationConfig, "sampling": SamplingParameters}


def tell(event: str, **values: Any) -> None:
    print(json.dumps({"event": event, **values}), flush=True)


def visible_texts() -> list[str]:
    """What a person could read now."""
    texts = []
    for window in QApplication.topLevelWidgets():
        for widget in [window, *window.findChildren(QWidget)]:
            if not widget.isVisible():
                continue
            if isinstance(widget, QLabel | QAbstractButton):
                texts.append(widget.text())
            elif isinstance(widget, QPlainTextEdit | QTextEdit):
                texts.append(widget.toPlainText())
    return [text for text in texts if text]


class Driver(QObject):
    """Lives in the GUI thread, as the window does."""

    def __init__(self, application: Any) -> None:
        super().__init__()
        self._facades = f = application.facades
        self._window = application.window
        f.chat.llm_changed.connect(self._on_llm)
        f.chat.message_changed.connect(self._on_message)
        f.chat.delta_received.connect(self._on_delta)
        f.chat.conversation_opened.connect(self._on_opened)
        f.images.progress_changed.connect(self._on_progress)
        f.images.handoff_changed.connect(self._on_handoff)
        f.images.finished.connect(self._on_finished)
        for facade in f.all():
            facade.failed.connect(self._on_failed)
        application.thread.opened.connect(self._on_open)
        application.thread.open_failed.connect(self._on_open_failed)
        self._pending = b""
        self._reader = QSocketNotifier(0, QSocketNotifier.Type.Read, self)
        self._reader.activated.connect(self._on_input)

    @Slot()
    def _on_input(self) -> None:
        data = os.read(0, 65536)
        if not data:
            self._reader.setEnabled(False)
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._do(*json.loads(line))

    def _do(self, facade: str, intent: str = "", *arguments: Any) -> None:
        if facade == "texts":
            tell("texts", texts=visible_texts())
            return
        if facade == "page":
            self._window.show_page(intent)
            return
        if facade == "type":
            composer = self._window.page("chat").composer
            composer.prompt.setPlainText(intent)
            composer.send_button.click()
            return
        values = [
            _VALUES[next(iter(a))](**next(iter(a.values())))
            if isinstance(a, dict) and next(iter(a), "") in _VALUES
            else a
            for a in arguments
        ]
        target = getattr(self._facades, facade)
        if intent == "send":
            conversation, text, sampling = values
            target.send(conversation, text, (), sampling)
        elif intent == "update":
            target.update(**values[0])
        else:
            getattr(target, intent)(*values)

    @Slot()
    def _on_open(self) -> None:
        tell("open", pid=os.getpid())

    @Slot(object)
    def _on_open_failed(self, error: Any) -> None:
        tell("open-failed", error=str(error))

    @Slot(object)
    def _on_llm(self, info: Any) -> None:
        tell(
            "llm",
            status=info.status, pid=info.pid, restarts=info.restarts, code=info.error_code,
            error=info.error_message, log=len(info.log_tail), progress=info.load_progress,
        )  # fmt: skip

    @Slot(object)
    def _on_message(self, message: Any) -> None:
        tell(
            "message",
            id=message.id, role=message.role, state=message.state, error=message.error, text=message.content,
        )  # fmt: skip

    @Slot(object)
    def _on_delta(self, delta: Any) -> None:
        tell("delta", text=delta.content)

    @Slot(object)
    def _on_opened(self, conversation: Any) -> None:
        tell("conversation", id=conversation.summary.id)

    @Slot(object)
    def _on_progress(self, progress: Any) -> None:
        tell("progress", stage=progress.stage, step=progress.step)

    @Slot(object)
    def _on_handoff(self, state: Any) -> None:
        tell("handoff", phase=state["phase"], suspended=state["suspended"])

    @Slot(object)
    def _on_finished(self, result: Any) -> None:
        tell("painted", paths=[image.path for image in result.images])

    @Slot(object)
    def _on_failed(self, failure: Any) -> None:
        tell(
            "failed", action=failure.action, code=failure.code, message=failure.message, remedy=failure.remedy
        )


def watch_failure_window() -> QTimer:
    """Tells what the window says that stands in for the other one, as soon as it is there."""
    timer = QTimer()

    def look() -> None:
        if QApplication.topLevelWidgets() and (texts := visible_texts()):
            timer.stop()
            tell("texts", texts=texts)

    timer.timeout.connect(look)
    timer.start(10)
    return timer


def main() -> int:
    """As `genai_desktop.app.main`, with a driver in between."""
    qt = QApplication([app.APP_ID])
    try:
        application = app.Application(cli.parse([]))
    except GenaiError as error:
        timer = watch_failure_window()
        code = app.show_failure(error)
        timer.stop()
        return code
    driver = Driver(application)
    tell("built")
    code = application.run()
    del driver, qt
    return code


if __name__ == "__main__":
    sys.exit(main())
