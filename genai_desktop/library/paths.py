"""Where things are: the data folder, and the read-only files that come with the program."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from genai_desktop.core.errors import InvalidInputError, StorageError
from genai_desktop.library.disk import storage_error

HOME_VARIABLE = "GENAI_DESKTOP_HOME"
APPLICATION = "genai-desktop"


@dataclass(frozen=True)
class DataPaths:
    """Every place the program writes to, below one root."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "genai.sqlite3"

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def llm(self) -> Path:
        return self.models / "llm"

    @property
    def diffusion(self) -> Path:
        return self.models / "diffusion"

    @property
    def engines(self) -> Path:
        return self.root / "engines"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def runtime(self) -> Path:
        """The ledger of our child processes."""
        return self.root / "runtime"

    @property
    def slots(self) -> Path:
        """Saved KV caches: they hold conversations, so nobody else may read them."""
        return self.root / "slots"

    @property
    def gallery(self) -> Path:
        return self.root / "gallery"

    @property
    def thumbnails(self) -> Path:
        return self.root / "thumbnails"

    @property
    def downloads(self) -> Path:
        return self.root / "downloads"

    @property
    def temp(self) -> Path:
        return self.root / "temp"

    def ensure(self) -> DataPaths:
        """Itself, with every folder there and writable. Raises StorageError with what to do."""
        folders = (
            self.root, self.models, self.llm, self.diffusion, self.engines, self.logs, self.runtime,
            self.slots, self.gallery, self.thumbnails, self.downloads, self.temp,
        )  # fmt: skip
        for folder in folders:
            self._make(folder)
        self._make_private(self.slots)
        probe = self.temp / f".writable-{os.getpid()}"
        try:
            probe.write_bytes(b"")
            probe.unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error, "write to the data folder", self.root) from error
        return self

    def _make(self, folder: Path) -> None:
        try:
            folder.mkdir(mode=0o755 if folder is not self.root else 0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise StorageError(
                f"Could not use '{folder}' as a folder: a file of that name is in the way.",
                remedy="Move that file away, or choose another data folder (--data-dir).",
            ) from error
        except OSError as error:
            raise storage_error(error, "create the folder", folder) from error

    def _make_private(self, folder: Path) -> None:
        try:
            folder.chmod(0o700)
        except OSError as error:
            raise storage_error(error, "protect the folder", folder) from error

    @classmethod
    def resolve(cls, data_dir: str | None = None, environment: Mapping[str, str] | None = None) -> DataPaths:
        """`--data-dir`, else GENAI_DESKTOP_HOME, else the platform's place. Creates nothing."""
        variables = os.environ if environment is None else environment
        chosen = data_dir if data_dir is not None else variables.get(HOME_VARIABLE) or None
        if chosen is None:
            import platformdirs

            return cls(Path(platformdirs.user_data_dir(APPLICATION, appauthor=False)))
        if not chosen.strip() or "\0" in chosen:
            raise InvalidInputError(
                f"{chosen!r} is not a folder.", remedy="Give the path of a folder to --data-dir."
            )
        return cls(Path(chosen).expanduser().absolute())


def resources_dir() -> Path:
    """The read-only files of the program: in a wheel or a frozen app, else in the source tree."""
    package = Path(__file__).resolve().parent.parent
    frozen = getattr(sys, "_MEIPASS", None)
    candidates = [package / "resources"]
    if frozen:
        candidates += [Path(frozen) / "genai_desktop" / "resources", Path(frozen) / "resources"]
    candidates.append(package.parent / "resources")
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    return candidates[-1]


def guide_model() -> Path:
    """The tiny model the program carries, for tests of engines and for a first chat without a download."""
    return resources_dir() / "guide" / "guide.gguf"
