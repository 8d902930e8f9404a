"""The arguments, exactly as the command line promises them."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from genai_desktop.core.builds import ENGINES
from genai_desktop.core.ggml_types import CACHE_TYPES
from genai_desktop.core.models import ComponentRole

PORT_HELP = "a port number, or 'auto' for any free one"


def _port(text: str) -> int:
    """0 means any free port."""
    if text == "auto":
        return 0
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a port number nor 'auto'") from None
    if not 1 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{value} is not between 1 and 65535")
    return value


def _between(low: float, high: float, kind: type[int] | type[float]) -> Callable[[str], Any]:
    def check(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is not between {low:g} and {high:g}")
        return value

    return check


def _kv_types(text: str) -> tuple[str, str]:
    kinds = text.lower().split(",")
    for kind in kinds:
        if kind not in CACHE_TYPES or len(kinds) > 2:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not K or K,V with types of {', '.join(CACHE_TYPES)}"
            )
    return kinds[0], kinds[-1]


def _component(text: str) -> tuple[str, str]:
    role, separator, value = text.partition("=")
    if not separator or not value:
        raise argparse.ArgumentTypeError(f"{text!r} is not ROLE=FILE")
    if role not in [r.value for r in ComponentRole]:
        names = ", ".join(r.value for r in ComponentRole)
        raise argparse.ArgumentTypeError(f"{role!r} is no role; roles are {names}")
    return role, value


def build_parser() -> argparse.ArgumentParser:
    """A fresh parser."""
    parser = argparse.ArgumentParser(
        prog="genai-desktop",
        description="Language and image models on your own computer. Without a command it opens the window.",
    )
    parser.add_argument(
        "--data-dir", metavar="DIR", help="where everything is kept (default: the platform's place)"
    )
    parser.add_argument("--offline", action="store_true", help="make no outbound request")
    parser.add_argument("--minimized", action="store_true", help="start in the tray (the window only)")
    parser.add_argument("--version", action="version", version=_version())
    parser.set_defaults(command=None, module="", json=False)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="one JSON object per line on stdout")

    def add(group: Any, name: str, module: str, text: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = group.add_parser(name, parents=[common], help=text, description=text)
        sub.set_defaults(module=module)
        return sub

    add(commands, "doctor", "doctor", "what this computer can do, and what is missing")
    _add_models(add, commands)
    _add_engines(add, commands)
    _add_chat(add(commands, "chat", "chat", "ask a language model; '-' reads the prompt from standard input"))
    _add_image(add(commands, "image", "image", "paint a picture"))
    serve = add(commands, "serve", "serve", "run the servers until interrupted")
    serve.add_argument("--model", metavar="ID", help="language model")
    serve.add_argument("--image-model", metavar="ID", help="image model")
    serve.add_argument("--port", type=_port, default=8080, metavar="P", help=PORT_HELP)
    serve.add_argument("--image-port", type=_port, default=8081, metavar="P", help=PORT_HELP)
    add(commands, "demo", "demo", "the main job on the built-in model: a reply, a picture, one memory")
    return parser


def _add_models(add: Any, commands: Any) -> None:
    models = commands.add_parser("models", help="list, import, check and remove models")
    actions = models.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = add(actions, "list", "models", "the models on the shelf")
    listing.add_argument("--type", choices=("llm", "diffusion"))
    imported = add(actions, "import", "models", "use a file or folder where it is, without a copy")
    imported.add_argument("path", metavar="PATH")
    imported.add_argument("--name")
    imported.add_argument("--type", choices=("llm", "diffusion"))
    imported.add_argument("--component", type=_component, action="append", default=[], metavar="ROLE=PATH")
    download = add(actions, "download", "models", "download a model; interrupted downloads resume")
    source = download.add_mutually_exclusive_group(required=True)
    source.add_argument("--url", metavar="U")
    source.add_argument("--repo", metavar="R", help="repository on the hub, with --file")
    download.add_argument("--file", metavar="F")
    download.add_argument("--revision", default="main", metavar="V")
    download.add_argument("--name")
    download.add_argument("--type", choices=("llm", "diffusion"), default="llm")
    download.add_argument("--checksum", default="", metavar="sha256:HEX")
    download.add_argument("--component", type=_component, action="append", default=[], metavar="ROLE=SOURCE")
    for name, text in (
        ("info", "everything known about one model"),
        ("verify", "compare the files with their recorded digests"),
        ("remove", "take a model off the shelf (imported files stay where they are)"),
    ):
        add(actions, name, "models", text).add_argument("id", metavar="ID")
    _add_hub(add, actions)


def _add_hub(add: Any, actions: Any) -> None:
    search = add(actions, "search", "hub", "search the model hub")
    search.add_argument("text", metavar="TEXT")
    search.add_argument("--type", choices=("llm", "diffusion"))
    search.add_argument("--limit", type=_between(1, 200, int), default=20, metavar="N")
    files = add(actions, "files", "hub", "the files of a repository on the hub")
    files.add_argument("repo", metavar="REPO")
    files.add_argument("--revision", default="main", metavar="V")
    fit = add(actions, "fit", "hub", "would it run here? of a remote model only the header is read")
    fit.add_argument("target", metavar="ID|PATH|REPO:FILE|URL")
    fit.add_argument("--context", type=_between(0, 10_000_000, int), default=0, metavar="N")
    fit.add_argument("--parallel", type=_between(1, 256, int), default=1, metavar="N")
    fit.add_argument("--kv-type", type=_kv_types, default=(None, None), metavar="K[,V]")
    fit.add_argument("--flash-attention", choices=("on", "off"), default="on")
    fit.add_argument("--gpu-layers", type=_between(-1, 10_000, int), metavar="N")


def _add_engines(add: Any, commands: Any) -> None:
    engines = commands.add_parser("engines", help="list, test and choose engines")
    actions = engines.add_subparsers(dest="action", metavar="ACTION", required=True)
    add(actions, "list", "engines", "the engine builds of this computer")
    test = add(actions, "test", "engines", "really try a build")
    test.add_argument("engine", choices=ENGINES, metavar="ENGINE")
    test.add_argument("--build", metavar="B")
    use = add(actions, "use", "engines", "choose a build, or a binary of your own by path")
    use.add_argument("engine", choices=ENGINES, metavar="ENGINE")
    use.add_argument("build", metavar="BUILD|PATH")


def _add_chat(chat: argparse.ArgumentParser) -> None:
    chat.add_argument("--model", metavar="ID")
    chat.add_argument("--system", default="", metavar="S")
    chat.add_argument("--image", action="append", default=[], metavar="PATH")
    chat.add_argument("--max-tokens", type=_between(1, 1_000_000, int), metavar="N")
    chat.add_argument("--temperature", type=_between(0, 2, float), metavar="X")
    chat.add_argument("--seed", type=_between(-1, 2**32 - 1, int), metavar="N")
    chat.add_argument("--context", type=_between(0, 10_000_000, int), default=0, metavar="N")
    chat.add_argument("prompt", metavar="PROMPT")


def _add_image(image: argparse.ArgumentParser) -> None:
    image.add_argument("--model", required=True, metavar="ID")
    image.add_argument("--prompt", required=True, metavar="P")
    image.add_argument("--negative", default="", metavar="P")
    image.add_argument("--width", type=_between(64, 4096, int), default=512, metavar="W")
    image.add_argument("--height", type=_between(64, 4096, int), default=512, metavar="H")
    image.add_argument("--steps", type=_between(1, 200, int), default=20, metavar="N")
    image.add_argument("--cfg-scale", type=_between(0, 50, float), default=7.0, metavar="X")
    image.add_argument("--seed", type=_between(-1, 2**31 - 1, int), default=-1, metavar="N")
    image.add_argument("--sampler", default="", metavar="S")
    image.add_argument("--count", type=_between(1, 5, int), default=1, metavar="N")
    image.add_argument("-o", "--output", required=True, metavar="FILE")


def _version() -> str:
    from genai_desktop import __version__

    return f"GenAI Desktop {__version__}"
