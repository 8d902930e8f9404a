"""stable-diffusion.cpp as the wheel brings it, for one run of sd-cli.

Only the low-level binding is used: the structures and functions of `stable-diffusion.h`, in the version the
wheel was built from. The high-level class of the wheel hides the log and keeps the weights after use.
"""

from __future__ import annotations

import ctypes
from typing import Any

from genai_desktop.engines.embedded.sd_console import Console

# The library does not know its own version: (version, commit) by the version of the wheel.
_UPSTREAM = {"0.4.7": ("master-596-90e87bc", "90e87bc")}


class Library:
    """The loaded library, its parameter structures and its names of things."""

    def __init__(self) -> None:
        import stable_diffusion_cpp
        import stable_diffusion_cpp.stable_diffusion_cpp as binding

        self._wheel: str = stable_diffusion_cpp.__version__
        self.binding: Any = binding
        self._lib = binding._lib  # the binding leaves out the functions that are declared below
        self._callbacks: list[object] = []  # C keeps no reference
        for name in ("sample_method", "scheduler", "rng_type", "prediction", "lora_apply_mode", "preview"):
            self._declare(f"str_to_{name}", ctypes.c_int, ctypes.c_char_p)
            self._declare(f"sd_{name}_name", ctypes.c_char_p, ctypes.c_int)
        for name, to_name in (("sd_type", "sd_type_name"), ("sd_hires_upscaler", "sd_hires_upscaler_name")):
            self._declare(f"str_to_{name}", ctypes.c_int, ctypes.c_char_p)
            self._declare(to_name, ctypes.c_char_p, ctypes.c_int)
        for name in ("sd_ctx_params", "sd_img_gen_params"):
            structure = ctypes.POINTER(getattr(binding, f"{name}_t"))
            self._declare(f"{name}_init", None, structure)
            self._declare(f"{name}_to_str", ctypes.c_char_p, structure)

    def _declare(self, name: str, result: Any, *arguments: Any) -> None:
        function = getattr(self._lib, name)
        function.argtypes, function.restype = list(arguments), result

    def version(self) -> tuple[str, str]:
        """The version and the commit of stable-diffusion.cpp inside the wheel."""
        version, commit = self.binding.sd_version().decode(), self.binding.sd_commit().decode()
        if version == "unknown":
            return _UPSTREAM.get(self._wheel, (version, commit))
        return version, commit

    def context_params(self) -> Any:
        """The parameters of a context with the library's defaults and no files."""
        params = self.binding.sd_ctx_params_t()
        self._lib.sd_ctx_params_init(ctypes.byref(params))
        for name, kind in params._fields_:
            if kind is ctypes.c_char_p:
                setattr(params, name, b"")
        return params

    def generation_params(self) -> Any:
        """The parameters of a generation with the library's defaults and an empty prompt."""
        params = self.binding.sd_img_gen_params_t()
        self._lib.sd_img_gen_params_init(ctypes.byref(params))
        params.prompt = params.negative_prompt = b""
        params.auto_resize_ref_image = True
        params.seed = 42
        return params

    def describe(self, name: str, params: Any) -> str:
        """The library's own dump of `sd_ctx_params` or `sd_img_gen_params`."""
        text: bytes = getattr(self._lib, f"{name}_to_str")(ctypes.byref(params)) or b""
        return text.decode(errors="replace").rstrip()

    def value_of(self, kind: str, name: str) -> int | None:
        """The number of an enumeration's member, or None when this build has no such name."""
        value: int = getattr(self._lib, f"str_to_{kind}")(name.encode())
        return value if self._name(kind, value) == name else None

    def name_of(self, kind: str, value: int) -> str:
        return self._name(kind, value) or "NONE"

    def names_of(self, kind: str) -> list[str]:
        """Every name of an enumeration, in the library's order."""
        names: list[str] = []
        while (name := self._name(kind, len(names))) is not None:
            names.append(name)
        return names

    def _name(self, kind: str, value: int) -> str | None:
        function = {"sd_type": "sd_type_name", "sd_hires_upscaler": "sd_hires_upscaler_name"}.get(
            kind, f"sd_{kind}_name"
        )
        name: bytes | None = getattr(self._lib, function)(value)
        return None if name is None or name == b"NONE" else name.decode()

    def log_to(self, console: Console) -> None:
        """Send the library's log there. Progress bars it prints itself as long as nobody asks for them."""

        def write(level: int, text: bytes, data: object) -> None:
            del data
            console.write(level, text)

        callback = self.binding.sd_log_callback(write)
        self._callbacks.append(callback)
        self.binding.sd_set_log_callback(callback, None)

    def preview_to(self, show: Any, mode: int, interval: int, *, noisy: bool) -> None:
        """Call `show(frame)` with an image structure for every previewed step."""

        def step(number: int, count: int, frames: Any, is_noisy: bool, data: object) -> None:
            del number, is_noisy, data
            if count == 1:
                show(frames[0])

        callback = self.binding.sd_preview_callback(step)
        self._callbacks.append(callback)
        self.binding.sd_set_preview_callback(callback, mode, interval, not noisy, noisy, None)
