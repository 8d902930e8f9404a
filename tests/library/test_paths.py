"""The data folder, and small files replaced atomically."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genai_desktop.core.errors import InvalidInputError, StorageError
from genai_desktop.library.atomic import set_aside, write_atomic
from genai_desktop.library.paths import DataPaths, guide_model, resources_dir

# A child that may write only where it is told: root is nobody there, and a file may have 1000 bytes.
RESTRICTED = """
import os, resource, sys
from pathlib import Path
from genai_desktop.core.errors import StorageError
from genai_desktop.library.atomic import write_atomic
from genai_desktop.library.paths import DataPaths
from genai_desktop.library.settings import SettingsStore
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
if os.getuid() == 0:
    os.setgid(65534); os.setuid(65534)
work, place = sys.argv[1], Path(sys.argv[2])
try:
    if work == "ensure":
        DataPaths(place).ensure()
    elif work == "settings":
        SettingsStore(place).update(theme="dark")
    else:
        write_atomic(place, b"x" * 5000)
except StorageError as error:
    print(error.message, "|", error.remedy)
"""


def restricted(work: str, place: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", RESTRICTED, work, str(place)], capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def open_dir(tmp_path: Path) -> Path:
    """A folder anybody may write to, reachable for the restricted child."""
    for folder in (tmp_path, *tmp_path.parents):
        if os.access(folder, os.W_OK) and folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    tmp_path.chmod(0o777)
    return tmp_path


def test_where_data_lives() -> None:
    assert DataPaths.resolve("/a b/ü", {"GENAI_DESKTOP_HOME": "/other"}).root == Path("/a b/ü")
    assert DataPaths.resolve(None, {"GENAI_DESKTOP_HOME": "/other"}).root == Path("/other")
    assert DataPaths.resolve(None, {}).root.name == "genai-desktop"
    assert DataPaths.resolve("relative", {}).root == Path.cwd() / "relative"
    assert DataPaths.resolve("~/x", {}).root == Path.home() / "x"
    assert DataPaths.resolve(None, {"GENAI_DESKTOP_HOME": ""}).root.name == "genai-desktop"


@pytest.mark.parametrize("folder", ["", "  ", "a\0b"])
def test_no_folder_at_all(folder: str) -> None:
    with pytest.raises(InvalidInputError):
        DataPaths.resolve(folder, {})


def test_everything_is_created_below_the_root(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path / "daten 🗂" / "tief").ensure()
    for folder in (
        paths.llm, paths.diffusion, paths.engines, paths.logs, paths.runtime, paths.slots, paths.gallery,
        paths.thumbnails, paths.downloads, paths.temp,
    ):  # fmt: skip
        assert folder.is_dir()
        assert folder.is_relative_to(paths.root)
    assert paths.ensure() == paths
    assert list(paths.temp.iterdir()) == []


def test_conversations_on_disk_are_private(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path / "d")
    paths.slots.mkdir(parents=True, mode=0o777)
    paths.ensure()
    assert paths.slots.stat().st_mode & 0o777 == 0o700


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(StorageError, match="in the way"):
        DataPaths(tmp_path).ensure()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_folder_that_must_not_be_written(open_dir: Path) -> None:
    locked = open_dir / "locked"
    locked.mkdir(mode=0o755)
    said = restricted("ensure", locked / "data")
    assert "no permission" in said
    assert "choose another one" in said


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX permissions")
def test_settings_that_must_not_be_written(open_dir: Path) -> None:
    locked = open_dir / "locked"
    locked.mkdir(mode=0o755)
    assert "no permission" in restricted("settings", locked / "settings.json")


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_disk_that_does_not_take_the_new_content_keeps_the_old(open_dir: Path) -> None:
    folder = open_dir / "f"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    (folder / "file").write_text("old")
    said = restricted("write", folder / "file")
    assert "does not take files of that size" in said
    assert (folder / "file").read_text() == "old"
    assert [p.name for p in folder.iterdir()] == ["file"]


def test_resources_and_the_guide() -> None:
    assert resources_dir().is_dir()
    assert guide_model().parent.parent == resources_dir()


@pytest.mark.parametrize("name", ["plain.json", "🦙" * 63 + ".js", "x" * 255])
def test_atomic_write(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 1


def test_atomic_write_into_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone"):
        write_atomic(tmp_path / "none" / "f", b"")


def test_damaged_files_are_kept(tmp_path: Path) -> None:
    kept = []
    for number in range(3):
        (tmp_path / "f").write_text(str(number))
        kept.append(set_aside(tmp_path / "f"))
    assert [p.name for p in kept if p] == ["f.damaged", "f.damaged-2", "f.damaged-3"]
    assert set_aside(tmp_path / "f") is None
