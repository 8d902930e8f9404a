"""The picture, as large as fits, with one line of progress under it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QImageReader, QPainter, QPixmap
from PySide6.QtWidgets import QSizePolicy, QWidget

from genai_desktop.ui.widgets.format import duration
from genai_desktop.ui.widgets.labels import label
from genai_desktop.ui.widgets.layouts import column, row
from genai_desktop.ui.widgets.meter import BusyBar

if TYPE_CHECKING:
    from PySide6.QtGui import QPaintEvent

    from genai_desktop.core.images import ImageProgress
    from genai_desktop.ui.theme import Theme


class Canvas(QWidget):
    """Draws one picture centred, never enlarged more than to fit."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._pixmap = QPixmap()
        self.path = ""
        self.setObjectName("images.canvas")
        self.setAccessibleName(self.tr("Picture"))
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(160, 160)
        theme.changed.connect(self.update)

    def show_picture(self, path: str, description: str = "") -> bool:
        """False when the file is no picture (any more)."""
        reader = QImageReader(path)
        reader.setAutoTransform(True)
        size = reader.size()
        if size.width() > 2048 or size.height() > 2048:  # what a screen cannot show costs memory only
            reader.setScaledSize(size.scaled(QSize(2048, 2048), Qt.AspectRatioMode.KeepAspectRatio))
        image = reader.read()
        if image.isNull():
            return False
        self._pixmap = QPixmap.fromImage(image)
        self.path = path
        self.setAccessibleDescription(description)
        self.update()
        return True

    def clear(self) -> None:
        self._pixmap, self.path = QPixmap(), ""
        self.update()

    def has_picture(self) -> bool:
        return not self._pixmap.isNull()

    def pixmap(self) -> QPixmap:
        return self._pixmap

    def sizeHint(self) -> QSize:
        return QSize(512, 512)

    def paintEvent(self, _event: QPaintEvent) -> None:
        if self._pixmap.isNull():
            return
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self._pixmap.width() > 128)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        size = self._pixmap.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        target = QRectF(
            (self.width() - size.width()) / 2,
            (self.height() - size.height()) / 2,
            size.width(),
            size.height(),
        )
        painter.drawPixmap(target, self._pixmap, QRectF(self._pixmap.rect()))


class ProgressLine(QWidget):
    """Stage, step, percent and time left."""

    def __init__(self, theme: Theme, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("images.progress")
        whole = column(self, space=theme.space.xs)
        words = row(space=theme.space.s)
        self._stage = label("", "body")
        self._time = label("", "meta")
        words.addWidget(self._stage)
        words.addStretch(1)
        words.addWidget(self._time)
        whole.addLayout(words)
        self.bar = BusyBar(theme)
        whole.addWidget(self.bar)

    def show_progress(self, progress: ImageProgress) -> None:
        stages = {
            "queued": self.tr("Waiting for its turn"),
            "suspending": self.tr("The language model steps aside"),
            "loading": self.tr("Loading the model"),
            "diffusion": self.tr("Painting"),
            "decoding": self.tr("Decoding"),
            "saving": self.tr("Saving"),
            "resuming": self.tr("The language model comes back"),
            "done": self.tr("Done"),
        }
        text = stages[progress.stage]
        if progress.stage == "diffusion" and progress.steps:
            text = self.tr("{stage}, step {step} of {steps}").format(
                stage=text, step=progress.step, steps=progress.steps
            )
        if progress.images > 1:
            text += " · " + self.tr("picture {n} of {total}").format(n=progress.image, total=progress.images)
        self._stage.setText(text)
        parts = []
        is_known = progress.percent > 0 or progress.eta is not None
        if is_known:
            parts.append(f"{progress.percent:.0f} %")
        if progress.eta is not None:
            parts.append(self.tr("{time} left").format(time=duration(max(1, round(progress.eta)))))
        self._time.setText(" · ".join(parts))
        self.bar.set_fraction(progress.percent / 100 if is_known else None)
        self.setAccessibleName(f"{text} {self._time.text()}")

    def text(self) -> str:
        return f"{self._stage.text()} {self._time.text()}".strip()
