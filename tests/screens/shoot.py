"""Pictures of every screen: `python -m tests.screens.shoot OUT [scene ...] [--whole]`, offscreen.

--whole stretches scroll areas, so that a long page is on one picture.
"""

from __future__ import annotations

import argparse
import importlib
import os
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from PySide6.QtWidgets import QApplication, QScrollArea, QWidget

from genai_desktop.core.settings import Settings
from genai_desktop.ui.theme import Theme
from tests.screens import scenes

SIZES = {"small": (960, 640), "normal": (1280, 820)}


def all_scenes() -> dict[str, scenes.Scene]:
    found = dict(scenes.SCENES)
    for name in ("scenes_chat", "scenes_images"):
        try:
            found.update(importlib.import_module(f"tests.screens.{name}").SCENES)
        except ModuleNotFoundError as error:
            if name not in str(error):
                raise
    return found


def settle(app: QApplication) -> None:
    for _ in range(6):
        app.processEvents()


def shoot(
    app: QApplication, theme: Theme, name: str, scene: scenes.Scene, *, size: str, out: Path, whole: bool
) -> Path:
    facades = scenes.fresh_facades(name, theme)
    widget = scene(facades, theme)
    widget.resize(*SIZES[size])
    widget.show()
    settle(app)
    if whole:
        stretch(widget)
        settle(app)
    path = out / f"{name}-{theme.name}-{size}.png"
    widget.grab().save(str(path))
    widget.hide()
    if hasattr(widget, "prepare_quit"):
        widget.prepare_quit()
    widget.close()
    widget.deleteLater()
    settle(app)
    return path


def stretch(widget: QWidget) -> None:
    """Make the window as high as the page that is shown wants to be."""
    for area in widget.findChildren(QScrollArea):
        inner = area.widget()
        if area.isVisible() and inner is not None and inner.property("kind") == "page":
            needed = max(inner.sizeHint().height(), inner.minimumSizeHint().height())
            if inner.layout() is not None and inner.layout().hasHeightForWidth():
                needed = max(needed, inner.layout().totalHeightForWidth(area.viewport().width()))
            widget.resize(widget.width(), widget.height() + max(0, needed - area.viewport().height()))
            return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("scene", nargs="*")
    parser.add_argument("--whole", action="store_true")
    parser.add_argument("--theme", choices=["light", "dark", "both"], default="both")
    parser.add_argument("--size", choices=[*SIZES, "both"], default="both")
    parser.add_argument("--scale", type=int, default=100)
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    app = QApplication([])
    theme = Theme(app, Settings(theme="dark", text_scale=chosen.scale, reduced_motion=True))
    for mode in ("dark", "light") if chosen.theme == "both" else (chosen.theme,):
        theme.set_mode(mode)
        for name, scene in all_scenes().items():
            if chosen.scene and not any(name.startswith(wanted) for wanted in chosen.scene):
                continue
            for size in SIZES if chosen.size == "both" else (chosen.size,):
                print(shoot(app, theme, name, scene, size=size, out=chosen.out, whole=chosen.whole))


if __name__ == "__main__":
    main()
