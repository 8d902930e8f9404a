"""Pictures between files and the library's pixel buffers."""

from __future__ import annotations

import ctypes
import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from genai_desktop.engines.embedded.sd_request import Request

if TYPE_CHECKING:
    from PIL.Image import Image

# extension -> Pillow's name of the format; others get ".png" appended by the caller
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".webp": "WEBP"}

_JPEG_QUALITY = 90
_JPEG_COMMENT_LIMIT = 65533
_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "I": 1, "LA": 2, "RGB": 3, "P": 3, "RGBA": 4}
_XMP = (
    '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'xmlns:sdcpp="https://github.com/leejet/stable-diffusion.cpp/ns/1.0/"><sdcpp:parameters>{}</sdcpp:parameters>'
    '</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
)


def load(request: Request, path: str, *, width: int = 0, height: int = 0, channels: int = 3) -> Any | None:
    """Read an image into the library's structure; return None after saying why it cannot be used.

    With a width and a height the image is cropped to that shape around its middle and then scaled. A grey
    image is refused where color is needed, as the real program does.
    """
    image = _open(request, path, channels)
    if image is None:
        request.console.error("main.cpp:560", f"load image from '{path}' failed")
        return None
    if width > 0 and height > 0 and image.size != (width, height):
        image = _fit(image, width, height)
    return from_pixels(request, image.width, image.height, channels, image.tobytes())


def _open(request: Request, path: str, channels: int) -> Image | None:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            present = _CHANNELS.get(opened.mode, 3)
            if present >= channels:
                return opened.convert("RGB" if channels == 3 else "L")
    except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError):
        return None
    message = f"the number of channels for the input image must be >= {channels}, but got {present} channels"
    request.console.error("media_io.cpp:542", f"{message}, image_path = {path}")
    return None


def _fit(image: Image, width: int, height: int) -> Image:
    from PIL.Image import Resampling

    crop_width = min(image.width, int(image.height * width / height))
    crop_height = min(image.height, int(image.width * height / width))
    left, top = (image.width - crop_width) // 2, (image.height - crop_height) // 2
    box = (left, top, left + max(crop_width, 1), top + max(crop_height, 1))
    return image.resize((width, height), Resampling.BICUBIC, box=box)


def from_pixels(request: Request, width: int, height: int, channels: int, pixels: bytes) -> Any:
    """Put pixels into the library's structure; the request keeps them alive."""
    buffer = request.keep((ctypes.c_uint8 * len(pixels)).from_buffer_copy(pixels))
    return request.library.binding.sd_image_t(
        width=width, height=height, channel=channels, data=ctypes.cast(buffer, ctypes.POINTER(ctypes.c_uint8))
    )


def save(image: Any, path: Path, parameters: str = "") -> bool:
    """Write the library's image to `path` in the format of its extension; return whether that worked.

    The file appears under its name complete or not at all: a cancelled run is a killed one.
    """
    from PIL import Image, PngImagePlugin

    if not image.data or path.suffix.lower() not in FORMATS:
        return False
    size = (image.width, image.height)
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[image.channel]
    pixels = ctypes.string_at(image.data, image.width * image.height * image.channel)
    picture = Image.frombytes(mode, size, pixels)
    kind = FORMATS[path.suffix.lower()]
    raw = parameters.encode(errors="replace")
    options: dict[str, Any] = {}
    if kind == "PNG" and raw:
        chunks = PngImagePlugin.PngInfo()
        chunks.add(
            b"tEXt", b"parameters\0" + raw
        )  # UTF-8, as sd-cli writes it, though the chunk is Latin-1 by its book
        options["pnginfo"] = chunks
    elif kind == "JPEG":
        options["quality"] = _JPEG_QUALITY
        if raw:
            options["comment"] = (b"parameters\0" + raw)[:_JPEG_COMMENT_LIMIT]
    elif kind == "WEBP":
        options["quality"] = _JPEG_QUALITY
        if raw:
            options["xmp"] = _XMP.format(escape(parameters)).encode(errors="replace")
    encoded = BytesIO()
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        picture.save(encoded, kind, **options)
        partial.write_bytes(encoded.getvalue())
        partial.replace(path)
    except (OSError, ValueError):
        partial.unlink(missing_ok=True)
        return False
    return True
