"""The parts of an image model: their roles, order and flags, what each family needs, and whether the files
fit.

Families and needs: contracts/sdcpp.md section 5. A wrong or missing file makes the engine crash or paint
noise minutes later, so it is refused here with a sentence before anything runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from genai_desktop.core.component_guess import FileGuess, Header, family_title, guess_file
from genai_desktop.core.models import ComponentRole

COMPONENT_ORDER: Final[tuple[ComponentRole, ...]] = tuple(ComponentRole)
COMPONENT_FLAGS: Final[Mapping[str, str]] = {
    ComponentRole.DIFFUSION_MODEL: "--diffusion-model",
    ComponentRole.CLIP_L: "--clip_l",
    ComponentRole.CLIP_G: "--clip_g",
    ComponentRole.T5XXL: "--t5xxl",
    ComponentRole.LLM: "--llm",
    ComponentRole.LLM_VISION: "--llm_vision",
    ComponentRole.VAE: "--vae",
    ComponentRole.TAESD: "--taesd",
}
ROLE_TITLES: Final[Mapping[str, str]] = {
    "diffusion_model": "diffusion model",
    "clip_l": "CLIP-L text encoder",
    "clip_g": "CLIP-G text encoder",
    "t5xxl": "T5 text encoder",
    "llm": "language model (text encoder)",
    "llm_vision": "vision projector",
    "vae": "VAE",
    "taesd": "tiny autoencoder",
    "checkpoint": "checkpoint",
}


@dataclass(frozen=True)
class Family:
    """What one family of image models needs beside the diffusion model, and settings that suit it.

    required: roles without which it crashes; wanted: roles without which it paints badly. encoder: which
    LLM or T5, in words. recommended: width, height, steps, cfg_scale, as the engine's own documentation says.
    """

    key: str
    required: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    encoder: str = ""
    vae: str = ""
    is_video: bool = False
    recommended: tuple[tuple[str, float], ...] = ()


def _family(key: str, needs: str, encoder: str, vae: str, *settings: float) -> Family:
    """needs: roles in words, those in brackets wanted only; settings: size, steps, cfg_scale."""
    words = needs.split()
    return Family(
        key,
        tuple(word for word in words if not word.startswith("(")),
        tuple(word.strip("()") for word in words if word.startswith("(")),
        encoder,
        vae,
        recommended=tuple(
            zip(("width", "height", "steps", "cfg_scale"), settings[:1] + settings, strict=True)
        ),
    )


_SD_VAE: Final = "a Stable Diffusion VAE"
_AE: Final = "the FLUX.1 VAE (ae)"
_KLEIN: Final = "Qwen3-4B for the 4B model, Qwen3-8B for the 9B model"
_FAMILY_LIST: Final = (
    _family("sd1", "clip_l vae", "", _SD_VAE, 512, 20, 7.0),
    _family("sd2", "clip_l vae", "", _SD_VAE, 768, 20, 7.0),
    _family("sdxl", "clip_l clip_g vae", "", "the SDXL VAE", 1024, 25, 6.0),
    _family("sd3", "clip_l clip_g (t5xxl) vae", "T5-XXL", "the SD3 VAE", 1024, 24, 4.5),
    _family("flux", "clip_l (t5xxl) vae", "T5-XXL", _AE, 1024, 20, 1.0),
    _family("chroma", "t5xxl vae", "T5-XXL", _AE, 1024, 20, 4.0),
    _family("chroma-radiance", "t5xxl", "T5-XXL", "", 1024, 20, 4.0),
    _family("flux2", "llm vae", "Mistral-Small-3.2-24B", "the FLUX.2 VAE", 1024, 20, 1.0),
    _family("flux2-klein", "llm vae", _KLEIN, "the FLUX.2 VAE", 1024, 4, 1.0),
    _family("qwen-image", "llm vae", "Qwen2.5-VL-7B", "the Qwen-Image VAE", 1024, 20, 2.5),
    _family("z-image", "llm vae", "Qwen3-4B", _AE, 1024, 8, 1.0),
    _family("anima", "llm vae", "Qwen3-0.6B-Base", "the Qwen-Image VAE", 1024, 20, 6.0),
    _family("ovis-image", "llm vae", "Ovis 2.5", _AE, 1024, 20, 5.0),
    _family("ernie-image", "llm vae", "Ministral-3-3B", "the FLUX.2 VAE", 1024, 20, 5.0),
    _family("wan", "t5xxl vae", "UMT5-XXL", "the Wan VAE", 832, 20, 6.0),
    Family("ltx", is_video=True),
    Family("hunyuan-video", is_video=True),
    Family("svd", is_video=True),
)
FAMILIES: Final[Mapping[str, Family]] = {family.key: family for family in _FAMILY_LIST}


@dataclass(frozen=True)
class RoleProblem:
    """One thing wrong with a set of files.

    An "error" must stop the run; a "warning" is shown. role: which slot.
    """

    level: Literal["error", "warning"]
    role: str
    message: str
    remedy: str


def check_roles(files: Mapping[str, Header | FileGuess]) -> tuple[RoleProblem, ...]:
    """What is wrong with the files of one image model; empty when they fit together.

    files: header (or guess) by role; the role of a single file given with `-m` is "checkpoint" (or "").
    """
    guesses = {role or "checkpoint": _guess(file) for role, file in files.items()}
    problems = [problem for role, guess in guesses.items() for problem in _check_slot(role, guess)]
    main = guesses.get("diffusion_model") or guesses.get("checkpoint")
    if main is None:
        problems.append(
            RoleProblem(
                "error",
                "diffusion_model",
                "The model has no diffusion model: the part that paints is missing.",
                "Add the file of the diffusion model.",
            )
        )
    elif not problems and main.family in FAMILIES:
        problems += _check_family(FAMILIES[main.family], main, guesses)
    return tuple(problems)


def recommended_settings(family: str) -> dict[str, float]:
    """Settings that suit a family; empty when nobody knows."""
    known = FAMILIES.get(family)
    return dict(known.recommended) if known else {}


def component_arguments(paths: Mapping[str, str]) -> list[str]:
    """sd-cli arguments for the components, in the fixed order."""
    argv: list[str] = []
    for role in COMPONENT_ORDER:
        path = paths.get(role)
        if path:
            argv += [COMPONENT_FLAGS[role], path]
    return argv


def _guess(file: Header | FileGuess) -> FileGuess:
    return file if isinstance(file, FileGuess) else guess_file(file)


def _check_slot(role: str, guess: FileGuess) -> list[RoleProblem]:
    """Is the file the kind of thing its slot wants? An unknown file passes: the engine may know more than
    we do.
    """
    if guess.role in ("unknown", role):
        return []
    if role == "checkpoint" and guess.role == "diffusion_model":
        needs = FAMILIES.get(guess.family)
        wanted = f" ({_list(needs.required)})" if needs and needs.required else ""
        return [
            RoleProblem(
                "error",
                role,
                f"The file is a bare {guess.title}: its text encoder and VAE are separate files.",
                f"Add the other parts{wanted} and give this file the role 'diffusion_model'.",
            )
        ]
    if role == "diffusion_model" and guess.role == "checkpoint":
        return []  # its diffusion part is used, the rest ignored
    expected = ROLE_TITLES.get(role, role)
    return [
        RoleProblem(
            "error",
            role,
            f"The file given as {expected} is something else: {_article(guess.title or guess.role)}.",
            f"Choose the file of the {expected}"
            + (f", or give this one the role '{guess.role}'." if guess.role in COMPONENT_FLAGS else "."),
        )
    ]


def _check_family(family: Family, main: FileGuess, guesses: Mapping[str, FileGuess]) -> list[RoleProblem]:
    title = family_title(family.key)
    if family.is_video:
        return [
            RoleProblem(
                "error",
                "diffusion_model",
                f"{title} makes videos, not pictures.",
                "Choose a model for pictures.",
            )
        ]
    problems = []
    have = set(guesses) | main.parts
    if "taesd" in have:  # replaces the VAE
        have.add("vae")
    for role in (*family.required, *family.wanted):
        if role in have:
            continue
        which = family.vae if role == "vae" else family.encoder if role in ("llm", "t5xxl") else ""
        problems.append(
            RoleProblem(
                "error" if role in family.required else "warning",
                role,
                f"{title} needs a {ROLE_TITLES[role]}, and none is given."
                if role in family.required
                else f"{title} paints badly without its {ROLE_TITLES[role]}.",
                f"Add {'the file of ' + which if which else 'its file'} with the role '{role}'.",
            )
        )
    problems += _check_encoder(family, main, guesses, title)
    vae = guesses.get("vae")
    if vae and vae.latent and main.latent and vae.latent != main.latent:
        problems.append(
            RoleProblem(
                "error",
                "vae",
                f"The VAE does not belong to {title}: it is {_article(vae.title)}.",
                f"Use {family.vae or 'the VAE of the same family'}.",
            )
        )
    return problems


def _check_encoder(
    family: Family, main: FileGuess, guesses: Mapping[str, FileGuess], title: str
) -> list[RoleProblem]:
    role = "llm" if "llm" in family.required else "t5xxl"
    encoder = guesses.get(role)
    if encoder is None or not encoder.width or not main.width or encoder.width == main.width:
        return []
    return [
        RoleProblem(
            "error",
            role,
            f"The {ROLE_TITLES[role]} does not fit this {title} model: it makes text {encoder.width} wide, "
            f"the model reads {main.width}.",
            f"Use {family.encoder or 'the text encoder named on the page of the model'}.",
        )
    ]


def _article(title: str) -> str:
    return f"an {title}" if title[:1] in "aeiouAEIO" and not title.startswith("U") else f"a {title}"


def _list(roles: tuple[str, ...]) -> str:
    return ", ".join(ROLE_TITLES[role] for role in roles)
