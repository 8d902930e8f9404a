"""Time from process start to the first painted window, and of `doctor`."""

from __future__ import annotations

import os
import subprocess
import time

from benchmarks.harness import PYTHON, ROOT, Row, data_folder, paired, seconds

# Both print when the first paint of the top-level window is over, and leave.
_EMPTY = """
import sys
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QMainWindow
class Window(QMainWindow):
    def paintEvent(self, event):
        super().paintEvent(event)
        QTimer.singleShot(0, self.painted)
    def painted(self):
        print('painted', flush=True); app.exit(0)
app = QApplication([]); window = Window(); window.resize(1280, 820); window.show(); app.exec()
"""
_OURS = """
import sys
from PySide6.QtCore import QEvent, QObject, QTimer
from genai_desktop.app import build
application = build([])
class Probe(QObject):
    seen = False
    def eventFilter(self, watched, event):
        if event.type() == QEvent.Type.Paint and not self.seen:
            self.seen = True
            QTimer.singleShot(0, self.painted)
        return False
    def painted(self):
        print('painted', flush=True); application.quit()
probe = Probe(); application.window.installEventFilter(probe)
sys.exit(application.run())
"""


def _painted(code: str) -> float:
    begun = time.perf_counter()
    process = subprocess.Popen(
        [PYTHON, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**_ENVIRONMENT, **_PLATFORM}
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    elapsed = time.perf_counter() - begun
    process.communicate(timeout=60)
    assert line.strip() == "painted"
    return elapsed


# as a person starts it: compiled modules are kept, and only the platform is ours
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
_PLATFORM = {} if os.environ.get("DISPLAY") else {"QT_QPA_PLATFORM": "offscreen"}


def measure() -> list[Row]:
    with data_folder():
        ours, empty = paired(lambda: _painted(_OURS), lambda: _painted(_EMPTY), runs=7)
        doctor, idle = paired(
            lambda: seconds([PYTHON, "-m", "genai_desktop", "doctor", "--json"]),
            lambda: seconds([PYTHON, "-c", "pass"]),
        )
    return [
        Row(
            "start to first painted window",
            "s",
            ours,
            empty,
            "an empty QMainWindow",
            "at most 2.0x",
            ours <= 2 * empty,
        ),
        Row("doctor, whole process", "s", doctor, 1.0, "limit", "under 1 s", doctor < 1.0),
        Row("bare interpreter", "s", idle, idle, "itself", "for scale", True),
    ]
