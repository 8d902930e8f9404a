"""The real window in a process of its own, driven through its facades, with a probe of its event loop.

python -m benchmarks.window stall|chat      prints one JSON object
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from PySide6.QtCore import QObject, QTimer, Slot

from genai_desktop.core.chat import ChatDelta, ChatMessage, SamplingParameters
from genai_desktop.core.images import ImageGenerationConfig

TICK = 0.002  # seconds between two looks at the clock
RATE, STREAMED = 200, 2000  # tokens per second, tokens in all


class Stall(QObject):
    """A timer that should fire every 2 ms; how much later it does is how long the loop was blocked."""

    def __init__(self) -> None:
        super().__init__()
        self.gaps: list[float] = []
        self._last = 0.0
        self._timer = QTimer(self)
        self._timer.setInterval(2)
        self._timer.timeout.connect(self._tick)

    def start(self) -> None:
        self.gaps = []
        self._last = time.perf_counter()
        self._timer.start()

    def stop(self) -> list[float]:
        self._timer.stop()
        return self.gaps

    @Slot()
    def _tick(self) -> None:
        now = time.perf_counter()
        self.gaps.append(max(0.0, now - self._last - TICK))
        self._last = now


class Scenario(QObject):
    """Load, stream 200 tokens a second into the open conversation, paint; the probe runs in each phase."""

    def __init__(self, application: Any, *, has_images: bool) -> None:
        super().__init__()
        self._application, self._facades = application, application.facades
        self._has_images = has_images
        self._probe = Stall()
        self.results: dict[str, dict[str, float]] = {}
        self._sent = 0
        self._feed = QTimer(self)
        self._feed.setInterval(33)  # the service sends at most 30 a second
        self._feed.timeout.connect(self._on_feed)
        self._facades.chat.llm_changed.connect(self._on_llm)
        self._facades.chat.conversation_opened.connect(self._on_opened)
        self._facades.images.finished.connect(self._on_painted)
        for facade in self._facades.all():
            facade.failed.connect(self._on_failed)

    def start(self) -> None:
        self._application.window.show_page("chat")
        QTimer.singleShot(1500, self._begin)

    def _begin(self) -> None:
        self._probe.start()
        self._facades.chat.load_model("guide", {})

    @Slot(object)
    def _on_llm(self, info: Any) -> None:
        if info.status == "running" and "loading" not in self.results:
            self._keep("loading")
            self._facades.chat.create()

    @Slot(object)
    def _on_opened(self, conversation: Any) -> None:
        if "loading" in self.results and not self._sent:
            self._id = conversation.summary.id
            self._sent = 1
            message = ChatMessage("bench", self._id, "assistant", "", state="streaming")
            self._facades.chat.message_changed.emit(message)
            self._probe.start()
            self._feed.start()

    @Slot()
    def _on_feed(self) -> None:
        pieces = []
        for _ in range(round(RATE * 0.033)):
            self._sent += 1
            pieces.append("word\n\n" if self._sent % 60 == 0 else "word ")
        self._facades.chat.delta_received.emit(ChatDelta(self._id, "bench", content="".join(pieces)))
        if self._sent >= STREAMED:
            self._feed.stop()
            self._keep("streaming")
            if self._has_images:
                self._application.window.show_page("images")
                self._probe.start()
                self._facades.images.generate(
                    ImageGenerationConfig(
                        "a lighthouse", width=128, height=128, steps=8, cfg_scale=1.0, seed=1
                    )
                )
            else:
                self._end()

    @Slot(object)
    def _on_painted(self, _result: Any) -> None:
        self._keep("generating")
        self._end()

    def _keep(self, name: str) -> None:
        gaps = sorted(self._probe.stop())
        self.results[name] = {"longest": gaps[-1], "p99": gaps[int(len(gaps) * 0.99)], "ticks": len(gaps)}

    def _end(self) -> None:
        print(json.dumps(self.results), flush=True)
        self._application.quit()

    @Slot(object)
    def _on_failed(self, failure: Any) -> None:
        print(json.dumps({"failed": str(failure)}), flush=True)
        self._application.quit()


class Chat(QObject):
    """One prompt through the window: when the first and the last piece were on the screen's side."""

    def __init__(self, application: Any, prompt: str, tokens: int) -> None:
        super().__init__()
        self._application, self._facades = application, application.facades
        self._prompt, self._tokens = prompt, tokens
        self._asked = self._first = 0.0
        self._rounds: list[dict[str, float]] = []
        self._is_open = False
        self._facades.chat.llm_changed.connect(self._on_llm)
        self._facades.chat.conversation_opened.connect(self._on_opened)
        self._facades.chat.delta_received.connect(self._on_delta)
        self._facades.chat.message_changed.connect(self._on_message)

    def start(self) -> None:
        self._application.window.show_page("chat")
        QTimer.singleShot(1500, self._begin)

    def _begin(self) -> None:
        self._facades.chat.load_model("guide", {})

    @Slot(object)
    def _on_llm(self, info: Any) -> None:
        if info.status == "running" and not self._is_open:
            self._is_open = True
            genai = self._application.genai
            print(json.dumps({"url": genai.llama.base_url, "key": genai.llama.api_key}), flush=True)
            sys.stdin.readline()  # the rival measures first
            self._facades.chat.create()

    @Slot(object)
    def _on_opened(self, conversation: Any) -> None:
        if self._is_open and not conversation.messages:
            self._first = 0.0
            self._asked = time.perf_counter()
            sampling = SamplingParameters(temperature=0.0, max_tokens=self._tokens, seed=1)
            self._facades.chat.send(conversation.summary.id, self._prompt, (), sampling)

    @Slot(object)
    def _on_delta(self, delta: Any) -> None:
        if delta.content and not self._first:
            self._first = time.perf_counter()

    @Slot(object)
    def _on_message(self, message: Any) -> None:
        if (
            message.role == "assistant"
            and message.state == "done"
            and message.stats is not None
            and self._first
        ):
            now = time.perf_counter()
            self._rounds.append(
                {
                    "first": self._first - self._asked,
                    "rate": message.stats.completion_tokens / (now - self._asked),
                    "tokens": message.stats.completion_tokens,
                }
            )
            self._first = 0.0
            if len(self._rounds) < 7:
                self._facades.chat.create()
                return
            print(json.dumps({"rounds": self._rounds}), flush=True)
            self._application.quit()


def main() -> int:
    from genai_desktop.app import build

    if not os.environ.get("DISPLAY"):
        os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    application = build([])
    if sys.argv[1] == "stall":
        scenario: Any = Scenario(application, has_images="images" in sys.argv)
    else:
        scenario = Chat(application, sys.argv[2], int(sys.argv[3]))
    application.thread.opened.connect(scenario.start)
    return application.run()


if __name__ == "__main__":
    sys.exit(main())
