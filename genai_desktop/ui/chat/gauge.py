"""Under the composer: how full the context is, and how fast the model was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from genai_desktop.ui.widgets.format import duration, token_rate
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import row
from genai_desktop.ui.widgets.meter import MeterBar, Segment

if TYPE_CHECKING:
    from genai_desktop.core.chat import InferenceStats
    from genai_desktop.ui.theme import Theme


class ContextGauge(QWidget):
    """Stacked: read again, from the cache, written."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("chat.gauge")
        self._n_ctx = 0
        self._stats: InferenceStats | None = None
        line = row(self, space=theme.space.m, margins=(4, 0, 4, 0))
        self._bar = MeterBar(theme, height=6)
        self._bar.setMaximumWidth(180)
        self._text = label("", "meta")
        self._speed = label("", "meta")
        self._speed.setObjectName("chat.stats")
        line.addWidget(self._bar)
        line.addWidget(self._text)
        line.addStretch(1)
        line.addWidget(self._speed)
        self._refresh()

    def set_context(self, n_ctx: int) -> None:
        self._n_ctx = n_ctx
        self._refresh()

    def set_stats(self, stats: InferenceStats | None) -> None:
        self._stats = stats
        self._refresh()

    def _refresh(self) -> None:
        stats, n_ctx = self._stats, self._n_ctx
        used = stats.total_tokens if stats else 0
        self._bar.setVisible(bool(n_ctx))
        self._text.setVisible(bool(n_ctx))
        if n_ctx:
            fresh = max(0, (stats.prompt_tokens - stats.cached_tokens)) if stats else 0
            cached = stats.cached_tokens if stats else 0
            written = stats.completion_tokens if stats else 0
            self._bar.set_segments(
                (
                    Segment("cached", cached, "rest"),
                    Segment("read", fresh, "vram"),
                    Segment("written", written, "accent"),
                ),
                n_ctx,
            )
            text = self.tr("{used} of {total} tokens").format(used=f"{used:,}", total=f"{n_ctx:,}")
            self._text.setText(text)
            self.setAccessibleName(self.tr("Context: {text}").format(text=text))
            self.setToolTip(
                self.tr("From the cache {cached}, read {fresh}, written {written}").format(
                    cached=f"{cached:,}", fresh=f"{fresh:,}", written=f"{written:,}"
                )
            )
        parts = []
        if stats and stats.tokens_per_second:
            parts.append(token_rate(stats.tokens_per_second))
            if stats.prompt_tokens_per_second:
                parts.append(self.tr("prompt {rate}").format(rate=token_rate(stats.prompt_tokens_per_second)))
            parts.append(self.tr("first token {time}").format(time=duration(stats.first_token_seconds)))
        self._speed.setText(" · ".join(parts))
