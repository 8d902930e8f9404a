"""The settings file."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_desktop.core.errors import ConfigurationError
from genai_desktop.core.settings import Settings
from genai_desktop.library.settings import SettingsStore, _from_raw

ALL = Settings(
    theme="dark", language="de", offline=True, step_aside="never", pause_reply_for_image=True,
    llama_port=9000,
    image_port=0, close_to_tray=False, start_minimized=True, autostart=True, notifications=False,
    reduced_motion=True, text_scale=150, models_folders=("/a", "/b ü"), images_folder="/i", default_llm="x",
    default_image_model="y", onboarding_done=True, engine_paths={"llama.cpp": "/bin/x"}, system_prompt="🦙",
    llm={"": {"threads": 4}}, ui={"geometry": [1, 2], "tab": None},
)  # fmt: skip


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.json"


def test_defaults_without_a_file(path: Path) -> None:
    assert SettingsStore(path).load() == Settings()
    assert not path.exists()


def test_everything_survives(path: Path) -> None:
    assert not [f.name for f in fields(Settings) if getattr(ALL, f.name) == getattr(Settings(), f.name)]
    store = SettingsStore(path)
    store.load()
    store.save(ALL)
    assert SettingsStore(path).load() == ALL
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["settings.json"]


def test_change_is_announced(path: Path) -> None:
    store, seen = SettingsStore(path), []
    store.on("changed", seen.append)
    store.update(theme="dark")
    assert [s.theme for s in seen] == ["dark"]
    assert store.current.theme == "dark"
    store.update()
    assert len(seen) == 1


def test_unknown_keys_of_a_newer_version_are_kept(path: Path) -> None:
    path.write_text('{"theme": "dark", "hologram": {"depth": 3}}')
    store = SettingsStore(path)
    assert store.load().theme == "dark"
    store.update(language="de")
    assert json.loads(path.read_text())["hologram"] == {"depth": 3}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("theme", "purple"), ("theme", 3), ("offline", "yes"), ("offline", 1), ("llama_port", "8080"),
        ("llama_port", True), ("llama_port", 70000), ("text_scale", 1), ("models_folders", "/a"),
        ("models_folders", [1]), ("engine_paths", []), ("engine_paths", {"a": 1}), ("close_to_tray", 0),
        ("ui", None), ("llm", "x"), ("language", None),
    ],
)  # fmt: skip
def test_wrong_value_falls_back_to_its_default_alone(path: Path, key: str, value: Any) -> None:
    path.write_text(json.dumps({"system_prompt": "kept", key: value}))
    loaded = SettingsStore(path).load()
    assert getattr(loaded, key) == getattr(Settings(), key)
    assert loaded.system_prompt == "kept"
    with pytest.raises(ConfigurationError, match=key):
        SettingsStore(path).update(**{key: value})


def test_unknown_setting_is_refused_by_name(path: Path) -> None:
    with pytest.raises(ConfigurationError, match="hologram"):
        SettingsStore(path).update(hologram=1)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"null", b"\xff\xfe\0", b'{"a":' * 100_000])
def test_damaged_file_is_kept_aside(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    store = SettingsStore(path)
    assert store.load() == Settings()
    assert path.with_name("settings.json.damaged").read_bytes() == content
    store.update(theme="light")
    assert SettingsStore(path).load().theme == "light"


def test_two_windows_do_not_undo_each_other(path: Path) -> None:
    one, two = SettingsStore(path), SettingsStore(path)
    one.load()
    two.load()
    one.update(theme="dark")
    two.update(language="de")
    two.save(replace(two.current, text_scale=120))
    final = SettingsStore(path).load()
    assert (final.theme, final.language, final.text_scale) == ("dark", "de", 120)


def test_two_processes_at_once(path: Path) -> None:
    program = (
        "import sys;from pathlib import Path;from genai_desktop.library.settings import SettingsStore;"
        "s=SettingsStore(Path(sys.argv[1]));"
        "[s.update(**{sys.argv[2]: f'v{i}'}) for i in range(40)]"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(path), key])
        for key in ("language", "system_prompt", "default_llm")
    ]
    assert [child.wait(60) for child in children] == [0, 0, 0]
    final = SettingsStore(path).load()
    assert (final.language, final.system_prompt, final.default_llm) == ("v39", "v39", "v39")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([f.name for f in fields(Settings)]), JSON))
def test_no_content_can_break_loading(raw: dict[str, Any]) -> None:
    settings = _from_raw(raw)
    assert 100 <= settings.text_scale <= 150
    assert settings.theme in ("system", "light", "dark")
    assert isinstance(settings.models_folders, tuple)
