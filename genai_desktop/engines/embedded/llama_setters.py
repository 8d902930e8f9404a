"""What the flags of the embedded llama-server do to `xllamacpp.CommonParams`.

Each factory returns the `apply` of a `Flag`. Where a value is refused, the words are the real server's.
Enumerations are given by number: the parameters accept it, and the table can be read without loading the
library.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genai_desktop.engines.embedded.cnumbers import stof, stoi
from genai_desktop.engines.embedded.llama_parser import is_falsey, is_truthy

Setter = Callable[[Any, Any], None]

MEBIBYTE = 2**20

CACHE_TYPES = {
    "f32": 0,
    "f16": 1,
    "bf16": 30,
    "q8_0": 8,
    "q4_0": 2,
    "q4_1": 3,
    "iq4_nl": 20,
    "q5_0": 6,
    "q5_1": 7,
}
LOAD_MODES = {"auto": -1, "none": 0, "mmap": 1, "mlock": 2, "mmap+mlock": 3, "dio": 4}
LAZY_MODES = {"off": 0, "auto": 1, "on": 2}
SPLIT_MODES = {"none": 0, "layer": 1, "row": 2, "tensor": 3}
POOLING_TYPES = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}
ROPE_SCALINGS = {"none": 0, "linear": 1, "yarn": 2}
NUMA_STRATEGIES = {"distribute": 1, "isolate": 2, "numactl": 3}
REASONING_FORMATS = {"none": 0, "auto": 1, "deepseek-legacy": 2, "deepseek": 3}
SPECULATIVE_TYPES = {
    "none": 0,
    "draft-simple": 1,
    "draft-eagle3": 2,
    "draft-mtp": 3,
    "draft-dflash": 4,
    "draft-dspark": 5,
    "ngram-simple": 6,
    "ngram-map-k": 7,
    "ngram-map-k4v": 8,
    "ngram-mod": 9,
    "ngram-cache": 10,
}


def _put(params: Any, path: str, value: object) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        params = getattr(params, parent)
    setattr(params, name, value)


def _get(params: Any, path: str) -> Any:
    for name in path.split("."):
        params = getattr(params, name)
    return params


def text(path: str) -> Setter:
    return lambda params, value: _put(params, path, value)


def integer(path: str, *, at_least: int | None = None) -> Setter:
    def apply(params: Any, value: str) -> None:
        number = stoi(value)
        if at_least is not None and number < at_least:
            raise ValueError("invalid value")
        _put(params, path, number)

    return apply


def number(path: str) -> Setter:
    return lambda params, value: _put(params, path, stof(value))


def switch(path: str) -> Setter:
    return lambda params, value: _put(params, path, bool(value))


def inverted(path: str) -> Setter:
    """For a field that says the opposite of its flag (`--kv-offload` and `no_kv_offload`)."""
    return lambda params, value: _put(params, path, not value)


def choice(path: str, values: Mapping[str, int], refusal: str = "invalid value") -> Setter:
    """One of the names in `values`; `refusal` may hold `{}` for the word that was given."""

    def apply(params: Any, value: str) -> None:
        if value not in values:
            raise ValueError(refusal.format(value))
        _put(params, path, values[value])

    return apply


def on_off_auto(path: str, flag: str, *, on: int, off: int, auto: int) -> Setter:
    def apply(params: Any, value: str) -> None:
        if is_truthy(value):
            _put(params, path, on)
        elif is_falsey(value):
            _put(params, path, off)
        elif value in ("auto", "-1"):
            _put(params, path, auto)
        else:
            raise ValueError(f"error: unknown value for {flag}: '{value}'\n")

    return apply


def sampling(path: str, bit: int, read: Callable[[str], Any]) -> Setter:
    """A sampling default. `bit` marks it as the user's choice, which outranks what the model suggests."""

    def apply(params: Any, value: str) -> None:
        _put(params, f"sampling.{path}", read(value))
        params.sampling.user_sampling_config |= bit

    return apply


def seed(params: Any, value: str) -> None:
    params.sampling.seed = stoi(value) & 0xFFFFFFFF  # -1 is the library's "random"


def threads(path: str) -> Setter:
    def apply(params: Any, value: str) -> None:
        count = stoi(value)
        _put(params, path, count if count > 0 else os.cpu_count() or 1)

    return apply


def context_size(params: Any, value: str) -> None:
    params.n_ctx = stoi(value)
    if params.n_ctx == 0:
        params.fit_params_min_ctx = (
            -1
        )  # an explicit 0 is the whole training context: fitting may not shrink it


def gpu_layers(path: str) -> Setter:
    def apply(params: Any, value: str) -> None:
        _put(params, path, {"auto": -1, "all": -2}[value] if value in ("auto", "all") else stoi(value))

    return apply


def parallel(params: Any, value: str) -> None:
    params.n_parallel = stoi(value)
    if params.n_parallel == 0:
        raise ValueError("error: invalid value for n_parallel\n")


def fit(params: Any, value: str) -> None:
    if not is_truthy(value) and not is_falsey(value):
        raise ValueError(f"error: unkown value for --fit: '{value}'\n")
    params.fit_params = is_truthy(value)


def fit_target(params: Any, value: str) -> None:
    margins = [stoi(part) * MEBIBYTE for part in value.replace("/", ",").split(",")]
    targets = list(params.fit_params_target)
    if len(margins) > len(targets):
        raise ValueError(f"got {len(margins)} input configs, but system only has {len(targets)} devices")
    params.fit_params_target = (
        margins * len(targets) if len(margins) == 1 else margins + targets[len(margins) :]
    )


def tensor_split(params: Any, value: str) -> None:
    shares = [stof(part) for part in value.replace("/", ",").split(",")]
    size = len(params.tensor_split)
    if len(shares) > size:
        raise ValueError(f"got {len(shares)} input configs, but system only has {size} devices")
    params.tensor_split = shares + [0.0] * (size - len(shares))


def device(params: Any, value: str) -> None:
    """`none`, one device or all of them: the parameters have no list of devices."""
    from xllamacpp import get_device_info

    names = [info["name"] for info in get_device_info() if info["type"] != 0]
    wanted = value.split(",")
    if wanted == ["none"]:
        params.n_gpu_layers = 0
        params.no_kv_offload = params.no_op_offload = True
        params.mmproj_use_gpu = False
        return
    for name in wanted:
        if name not in names:
            raise ValueError(f"invalid device: {name}")
    if len(wanted) == 1:
        params.main_gpu = names.index(wanted[0])
        params.split_mode = SPLIT_MODES["none"]
    elif set(wanted) != set(names):
        raise ValueError("the embedded engine takes one device or all of them")


def tensor_override(pattern: str | None = None) -> Setter:
    """Add placements `regex=buffer` (of `pattern`, else of the value) to those of earlier flags."""

    def apply(params: Any, value: Any) -> None:
        added = pattern if pattern is not None else str(value)
        try:
            params.tensor_buft_overrides = ",".join(filter(None, (params.tensor_buft_overrides, added)))
        except (ValueError, RuntimeError) as error:
            raise ValueError(str(error)) from error

    return apply


def layers_on_cpu(pattern: str) -> Setter:
    """Keep tensors that match `pattern` in the first N layers on the CPU."""

    def apply(params: Any, value: str) -> None:
        count = stoi(value)
        if count < 0:
            raise ValueError("invalid value")
        for layer in range(count):
            tensor_override(rf"blk\.{layer}\.{pattern}=CPU")(params, None)

    return apply


def lora(params: Any, value: str) -> None:
    from xllamacpp import CommonAdapterLoraInfo

    params.lora_adapters = [
        *params.lora_adapters,
        *(CommonAdapterLoraInfo(path, 1.0) for path in value.split(",")),
    ]


def lora_scaled(params: Any, value: str) -> None:
    from xllamacpp import CommonAdapterLoraInfo

    added = []
    for item in value.split(","):
        path, separator, scale = item.rpartition(":")
        if not separator:
            raise ValueError("lora-scaled format: FNAME:SCALE")
        added.append(CommonAdapterLoraInfo(path, stof(scale)))
    params.lora_adapters = [*params.lora_adapters, *added]


def speculative_types(params: Any, value: str) -> None:
    names = value.split(",")
    for name in names:
        if name not in SPECULATIVE_TYPES:
            raise ValueError(f"unknown speculative type: {name}")
    params.speculative.types = [SPECULATIVE_TYPES[name] for name in names]


def rope_scale(params: Any, value: str) -> None:
    params.rope_freq_scale = 1.0 / stof(value)


def cors_origins(params: Any, value: str) -> None:
    params.cors_origins = value
    params.cors_origins_explicit = True


def hosts(params: Any, value: str) -> None:
    params.hostnames = value.split(",")


def alias(params: Any, value: str) -> None:
    params.model_alias = {*params.model_alias, *(part.strip() for part in value.split(",") if part.strip())}


def tags(params: Any, value: str) -> None:
    params.model_tags = {*params.model_tags, *(part.strip() for part in value.split(",") if part.strip())}


def slot_save_path(params: Any, value: str) -> None:
    if not Path(value).is_dir():
        raise ValueError(f"not a directory: {value}")
    # The server glues the file name on: without the separator it would write beside the directory.
    params.slot_save_path = value if value.endswith(("/", os.sep)) else value + os.sep


def media_path(params: Any, value: str) -> None:
    if not Path(value).is_dir():
        raise ValueError(f"not a directory: {value}")
    params.media_path = value if value.endswith(("/", os.sep)) else value + os.sep


def _contents(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"error: failed to open file '{path}'\n") from error


def api_keys(params: Any, value: str) -> None:
    params.api_keys = [*params.api_keys, *(key for key in value.split(",") if key)]


def api_key_file(params: Any, value: str) -> None:
    lines = (line.strip("\r") for line in _contents(value).split("\n"))
    params.api_keys = [*params.api_keys, *(line for line in lines if line and not line.startswith("#"))]


def chat_template_file(params: Any, value: str) -> None:
    params.chat_template = _contents(value)


def template_arguments(params: Any, value: str) -> None:
    try:
        arguments = json.loads(value)
    except json.JSONDecodeError as error:
        raise ValueError(f"error: invalid JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ValueError("error: the value must be a JSON object")  # noqa: TRY004 - the parser reports ValueError
    _add_template_arguments(params, arguments)


def reasoning(params: Any, value: str) -> None:
    on_off_auto("enable_reasoning", "--reasoning", on=1, off=0, auto=-1)(params, value)
    if _get(params, "enable_reasoning") >= 0:
        _add_template_arguments(params, {"enable_thinking": bool(params.enable_reasoning)})


def reasoning_effort(params: Any, value: str) -> None:
    if value != "default":
        _add_template_arguments(params, {"reasoning_effort": value})


def _add_template_arguments(params: Any, arguments: Mapping[str, object]) -> None:
    """Template arguments are kept as JSON text, one per name."""
    encoded = {name: json.dumps(argument) for name, argument in arguments.items()}
    params.default_template_kwargs = {**params.default_template_kwargs, **encoded}


def reranking(params: Any, value: bool) -> None:
    params.embedding = value
    params.pooling_type = POOLING_TYPES["rank"]


def verbosity(params: Any, value: str) -> None:
    params.verbosity = stoi(value)


def verbose(params: Any, value: bool) -> None:
    params.verbosity = 2**31 - 1 if value else params.verbosity


def log_colors(params: Any, value: str) -> None:
    """Checked and then ignored: the library's log is never coloured."""
    del params
    if not is_truthy(value) and not is_falsey(value) and value not in ("auto", "-1"):
        raise ValueError(f"error: unknown value for --log-colors: '{value}'\n")


def timeout(params: Any, value: str) -> None:
    params.timeout_read = params.timeout_write = stoi(value)
