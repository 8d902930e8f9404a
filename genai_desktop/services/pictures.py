"""Attached pictures as the model server takes them."""

from __future__ import annotations

import base64
import io
from pathlib import Path

from genai_desktop.core.errors import InvalidInputError

# What the server's own decoder reads; everything else is converted to PNG.
_READABLE = {"PNG": "image/png", "JPEG": "image/jpeg", "BMP": "image/bmp", "GIF": "image/gif"}
_ORIENTATION = 0x0112  # EXIF: 1 is upright
MAX_SIDE = 2048  # pixels; vision towers look at far fewer
MAX_PIXELS = 89_000_000  # beyond it Pillow itself suspects an attack
MAX_BYTES = 50 * 1024 * 1024


def data_url(path: str) -> str:
    """The picture as a data URL: turned upright, at most MAX_SIDE pixels a side, in a format the server
    reads.

    Blocking. Raises InvalidInputError: missing, not a picture, damaged, or absurdly large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    name = Path(path).name
    try:
        if Path(path).stat().st_size > MAX_BYTES:
            raise _refused(name, "is larger than 50 MiB")
        data = Path(path).read_bytes()
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise _refused(name, "has too many pixels")
            picture.load()
            kind = _READABLE.get(picture.format or "")
            upright = ImageOps.exif_transpose(picture)
            if kind and max(upright.size) <= MAX_SIDE and picture.getexif().get(_ORIENTATION, 1) == 1:
                return _url(kind, data)
            upright.thumbnail((MAX_SIDE, MAX_SIDE))
            has_alpha = upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info
            buffer = io.BytesIO()
            upright.convert("RGBA" if has_alpha else "RGB").save(buffer, "PNG")
            return _url("image/png", buffer.getvalue())
    except FileNotFoundError:
        raise _refused(name, "is not there any more") from None
    except UnidentifiedImageError:
        raise _refused(name, "is not a picture this program can read") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise _refused(name, f"cannot be read ({error})") from error


def _url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _refused(name: str, why: str) -> InvalidInputError:
    return InvalidInputError(
        f"The picture {name!r} {why}.", code="INVALID_IMAGE", remedy="Attach a PNG, JPEG, GIF, BMP or WebP."
    )
