"""Every screen in its drawn states, played with fake facades."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QWidget

from genai_desktop.bridge.facade import Failure
from genai_desktop.core.hardware import Problem
from genai_desktop.core.models import DownloadConfig
from genai_desktop.core.recovery import Recovery
from genai_desktop.core.settings import Settings
from genai_desktop.ui.page_stack import call
from genai_desktop.ui.system.logs import LogWindow
from tests.ui import samples
from tests.ui.fakes import FakeFacades

if TYPE_CHECKING:
    from genai_desktop.ui.main_window import MainWindow
    from genai_desktop.ui.theme import Theme

Scene = Callable[["FakeFacades", "Theme"], QWidget]


def window(facades: FakeFacades, theme: Theme, page: str) -> MainWindow:
    """The whole frame with one page and a live status bar."""
    from genai_desktop.ui.main_window import MainWindow

    made = MainWindow(facades, theme)
    made.show_page(page)
    call(made.page(page), "complete")
    return made


def _live(facades: FakeFacades, gpus: int = 1) -> None:
    facades.system.capabilities_changed.emit(samples.capabilities(gpus))
    facades.system.history_loaded.emit(samples.history(gpus=gpus), 300.0)
    facades.system.sample_taken.emit(samples.sample(samples.NOW + 1, gpus))
    facades.system.markers_loaded.emit(samples.markers())
    facades.system.engines_changed.emit(samples.engines())
    facades.system.server_changed.emit(samples.llama_running())
    facades.jobs.jobs_changed.emit(samples.jobs())


def system_empty(facades: FakeFacades, theme: Theme) -> QWidget:
    return window(facades, theme, "system")


def system_full(facades: FakeFacades, theme: Theme) -> QWidget:
    made = window(facades, theme, "system")
    _live(facades)
    return made


def system_busy(facades: FakeFacades, theme: Theme) -> QWidget:
    made = window(facades, theme, "system")
    _live(facades, gpus=0)
    facades.system.server_changed.emit(samples.llama_starting())
    facades.system.engine_busy.emit("stable-diffusion.cpp", True)
    return made


def system_failed(facades: FakeFacades, theme: Theme) -> QWidget:
    made = window(facades, theme, "system")
    _live(facades)
    problem = Problem(
        "NVML_MISSING",
        "The NVIDIA driver answers, but its management library is missing: free graphics memory is a guess.",
        "Install the package nvidia-utils that belongs to the driver.",
    )
    facades.system.capabilities_changed.emit(samples.capabilities(1, (problem,)))
    facades.system.server_changed.emit(samples.llama_crashed())
    facades.system.failed.emit(samples.failure())
    return made


def models_empty(facades: FakeFacades, theme: Theme) -> QWidget:
    made = window(facades, theme, "models")
    facades.models.models_changed.emit(())
    facades.models.disk_changed.emit(312 * samples.GIB, 931 * samples.GIB)
    return made


def models_busy(facades: FakeFacades, theme: Theme) -> QWidget:
    made = models_full(facades, theme)
    facades.jobs.jobs_changed.emit(samples.jobs())
    page = made.page("models")
    page.downloads.note_start(DownloadConfig(name="mistral-7b.gguf"))
    page.downloads.show_jobs(())
    page.downloads.show_jobs(samples.jobs())
    page.show_view("downloads")
    return made


def models_full(facades: FakeFacades, theme: Theme) -> MainWindow:
    made = window(facades, theme, "models")
    _live(facades)
    facades.models.models_changed.emit(samples.models())
    facades.models.fits_changed.emit(samples.fits())
    facades.models.disk_changed.emit(312 * samples.GIB, 931 * samples.GIB)
    page = made.page("models")
    page.installed.select("qwen3-4b-instruct")
    facades.models.details_loaded.emit(samples.details())
    return made


def models_failed(facades: FakeFacades, theme: Theme) -> QWidget:
    made = models_full(facades, theme)
    page = made.page("models")
    page.installed.select("old-finetune")
    failure = Failure(
        "import",
        "BAD_MODEL_FILE",
        "'download.gguf' is a web page, not a model: the address led to a login form.",
        "Open the address in a browser, sign in, and download the file itself.",
    )
    facades.models.failed.emit(failure)
    return made


def models_discover(facades: FakeFacades, theme: Theme) -> QWidget:
    made = models_full(facades, theme)
    page = made.page("models")
    page.show_view("discover")
    page.discover.url.setText("https://huggingface.co/Qwen/Qwen3-4B-GGUF/resolve/main/Qwen3-4B-Q4_K_M.gguf")
    page.discover.digest.setText("abc123")
    return made


def models_parts(facades: FakeFacades, theme: Theme) -> QWidget:
    made = models_full(facades, theme)
    page = made.page("models")
    page.installed.show_parts()
    page.installed.parts.paths["diffusion_model"].setText("/home/me/models/flux/flux-2-klein-Q4_0.gguf")
    return made


def settings_full(facades: FakeFacades, theme: Theme) -> QWidget:
    made = window(facades, theme, "settings")
    made.set_data_folder("/home/someone/.local/share/genai-desktop")
    made.set_autostart_supported(True)
    _live(facades)
    return made


def welcome_busy(facades: FakeFacades, theme: Theme) -> QWidget:
    return window(facades, theme, "welcome")


def welcome_full(facades: FakeFacades, theme: Theme) -> QWidget:
    made = window(facades, theme, "welcome")
    facades.system.capabilities_changed.emit(samples.capabilities(0))
    facades.system.engines_changed.emit(samples.engines())
    facades.models.models_changed.emit((samples.guide(),))
    facades.models.fits_changed.emit(samples.fits())
    return made


def welcome_failed(facades: FakeFacades, theme: Theme) -> QWidget:
    made = welcome_full(facades, theme)
    facades.system.engines_changed.emit(())
    return made


def frame_jobs(facades: FakeFacades, theme: Theme) -> QWidget:
    """The popover, the banner and the toast."""
    made = models_full(facades, theme)
    facades.jobs.jobs_changed.emit(samples.jobs())
    facades.system.recovery_offered.emit(Recovery("qwen3-4b", "Qwen3 4B Instruct", (), 1, 0))
    made.rail.set_collapsed(True)
    made.show()
    made.popover.toggle()
    made.announcer.announce("The conversation was deleted.", "Undo", None)
    return made


def log_full(_facades: FakeFacades, theme: Theme) -> QWidget:
    made = LogWindow(theme, "llama", "Log of the LLM server")
    made.show_entries(samples.log_entries())
    return made


SCENES: dict[str, Scene] = {
    "system.empty": system_empty,
    "system.busy": system_busy,
    "system.full": system_full,
    "system.failed": system_failed,
    "models.empty": models_empty,
    "models.busy": models_busy,
    "models.full": models_full,
    "models.failed": models_failed,
    "models.discover": models_discover,
    "models.parts": models_parts,
    "settings.full": settings_full,
    "welcome.busy": welcome_busy,
    "welcome.full": welcome_full,
    "welcome.failed": welcome_failed,
    "frame.jobs": frame_jobs,
    "log.full": log_full,
}


def fresh_facades(name: str, theme: Theme) -> FakeFacades:
    """Facades for one scene, with settings that keep the theme as it is."""
    first = name.startswith("welcome")
    return FakeFacades(
        Settings(
            onboarding_done=not first, theme=theme.mode, text_scale=theme.text_scale, reduced_motion=True
        )
    )
