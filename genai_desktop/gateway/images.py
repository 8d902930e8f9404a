"""The image HTTP API: ask, poll, cancel. The contract of seed 001."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from genai_desktop.core.errors import (
    BusyError,
    CancelledError,
    GenaiError,
    InvalidInputError,
    ModelNotFoundError,
    StorageError,
)
from genai_desktop.core.images import ImageGenerationConfig, ImageProgress, ImageResult
from genai_desktop.gateway.guard import BodyTooLargeError, error_response, read_json
from genai_desktop.services.generation_registry import GenerationRegistry, GenerationState

if TYPE_CHECKING:
    from collections.abc import Callable

    from genai_desktop.core.models import ModelInfo

_log = logging.getLogger(__name__)

PATH = "/v1/images/generations"
# Names on the wire and in ImageGenerationConfig.
FIELDS: Mapping[str, str] = {
    "prompt": "prompt",
    "negativePrompt": "negative_prompt",
    "width": "width",
    "height": "height",
    "steps": "steps",
    "cfgScale": "cfg_scale",
    "seed": "seed",
    "sampler": "sampler",
    "scheduler": "scheduler",
    "count": "count",
    "guidance": "guidance",
    "modelId": "model_id",
}
_WIRE_NAMES = {ours: wire for wire, ours in FIELDS.items()}
DEFAULTS: Mapping[str, Any] = {"cfg_scale": 7.5}  # the rest is the same as in ImageGenerationConfig
# Stages that the contract knows; what it does not know counts to its neighbour.
_STAGES = {"queued": "loading", "suspending": "loading", "saving": "decoding", "done": "decoding"}


class Images(Protocol):
    """What is needed of DiffusionServerManager."""

    async def enqueue(
        self,
        config: ImageGenerationConfig,
        on_progress: Callable[[ImageProgress], None] | None = None,
        *,
        only_if_idle: bool = False,
    ) -> str: ...

    async def wait(self, job_id: str) -> ImageResult: ...

    async def cancel(self, job_id: str | None = None) -> bool: ...

    async def model_for(self, config: ImageGenerationConfig) -> ModelInfo: ...

    @property
    def is_busy(self) -> bool: ...


class ImageApi:
    """Endpoints and the tasks that follow their jobs."""

    def __init__(self, images: Images, registry: GenerationRegistry) -> None:
        self._images = images
        self._registry = registry
        self._jobs: dict[str, str] = {}  # generation id -> job id
        self._followers: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        return [
            Route(PATH, self.create, methods=["POST"]),
            Route(PATH + "/{generation_id}", self.read, methods=["GET"]),
            Route(PATH + "/{generation_id}", self.cancel, methods=["DELETE"]),
            Route("/health", self.health, methods=["GET"]),
        ]

    async def close(self) -> None:
        """Stop following; the jobs themselves belong to the image service."""
        for task in self._followers:
            task.cancel()
        if self._followers:
            await asyncio.wait(self._followers)
        self._registry.destroy()

    # endpoints ----------------------------------------------------------------------------------------------

    async def create(self, request: Request) -> Response:
        try:
            body = await read_json(request)
        except BodyTooLargeError:
            return error_response(413, "INVALID_REQUEST", "The request is too large.")
        except ValueError as error:
            return error_response(400, "INVALID_REQUEST", f"The request is no valid JSON: {error}.")
        generation_id = ""
        try:
            config = await self._config(body)
            generation_id = self._registry.create({"prompt": config.prompt})
            job_id = await self._images.enqueue(
                config, lambda progress: self._follow(generation_id, progress), only_if_idle=True
            )
        except GenaiError as error:
            self._registry.delete(generation_id)
            return _refusal(error)
        self._jobs[generation_id] = job_id
        task = asyncio.ensure_future(self._finish(generation_id, job_id))
        self._followers.add(task)
        task.add_done_callback(self._followers.discard)
        state = self._registry.get(generation_id)
        created_at = state.created_at if state is not None else 0
        return JSONResponse({"id": generation_id, "status": "pending", "createdAt": created_at}, 201)

    async def read(self, request: Request) -> Response:
        state = self._registry.get(request.path_params["generation_id"])
        if state is None:
            return _not_found()
        body: dict[str, Any] = {
            "id": state.id,
            "status": state.status,
            "createdAt": state.created_at,
            "updatedAt": state.updated_at,
        }
        if state.status == "in_progress":
            body["progress"] = dict(state.progress or {})
        elif state.status == "error":
            body["error"] = dict(state.error or {})
        elif state.status == "complete":
            try:
                body["result"] = await asyncio.to_thread(_with_pictures, state)
            except OSError as error:
                body["status"] = "error"
                body["error"] = {"code": "IO_ERROR", "message": f"The picture is gone: {error.strerror}."}
        return JSONResponse(body)

    async def cancel(self, request: Request) -> Response:
        generation_id = request.path_params["generation_id"]
        state = self._registry.get(generation_id)
        if state is None:
            return _not_found()
        if not state.is_terminal:
            job_id = self._jobs.get(generation_id)
            if job_id is not None and await self._images.cancel(job_id):
                self._registry.update(generation_id, status="cancelled", progress=None)
            state = self._registry.get(generation_id) or state
        if state.status != "cancelled":
            return error_response(
                409, "ALREADY_TERMINAL", f"The generation has ended already: {state.status}."
            )
        return JSONResponse({"id": generation_id, "status": "cancelled"})

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"status": "ok", "busy": self._images.is_busy})

    # inside -------------------------------------------------------------------------------------------------

    async def _config(self, body: object) -> ImageGenerationConfig:
        """Raises InvalidInputError naming the field as the caller knows it."""
        if not isinstance(body, dict):
            raise InvalidInputError("The request must be a JSON object.")
        unknown = sorted(key for key in body if key not in FIELDS)
        if unknown:
            raise InvalidInputError(
                f"Unknown parameter {unknown[0][:100]!r}.", remedy=f"Known: {', '.join(FIELDS)}."
            )
        given = {FIELDS[key]: value for key, value in body.items() if value is not None}
        if "prompt" not in given:
            raise InvalidInputError("prompt is required.")
        if not isinstance(given.get("model_id", ""), str):
            raise InvalidInputError("modelId must be text.")
        try:
            config = ImageGenerationConfig(**{**DEFAULTS, **given}).validated()
        except InvalidInputError as error:
            raise InvalidInputError(_wire_words(error.message), remedy=error.remedy) from None
        if not config.prompt.strip():
            raise InvalidInputError("prompt is empty.")
        model = await self._images.model_for(config)
        known = {k: v for k, v in model.recommended.items() if k in ("steps", "cfg_scale", "sampler")}
        return ImageGenerationConfig(**{**DEFAULTS, **known, **given}).validated()

    def _follow(self, generation_id: str, progress: ImageProgress) -> None:
        state = self._registry.get(generation_id)
        if state is None or state.is_terminal:
            return
        self._registry.update(
            generation_id,
            status="in_progress",
            progress={
                "currentStep": progress.step,
                "totalSteps": progress.steps,
                "stage": _STAGES.get(progress.stage, progress.stage),
                "percentage": round(progress.percent, 1),
                "currentImage": progress.image,
                "totalImages": progress.images,
            },
        )

    async def _finish(self, generation_id: str, job_id: str) -> None:
        try:
            result = await self._images.wait(job_id)
        except CancelledError:
            self._registry.update(generation_id, status="cancelled", progress=None)
        except GenaiError as error:
            self._registry.update(
                generation_id,
                status="error",
                progress=None,
                error={"message": str(error), "code": _code(error)},
            )
        else:
            pictures = [
                {"path": image.path, "seed": image.seed, "width": image.width, "height": image.height}
                for image in result.images
            ]
            self._registry.update(
                generation_id,
                status="complete",
                progress=None,
                result={"images": pictures, "timeTaken": round(result.seconds * 1000)},
            )
        finally:
            self._jobs.pop(generation_id, None)


def _with_pictures(state: GenerationState) -> dict[str, Any]:
    """The result with the pictures in it. Blocking; they are read when they are asked for, not kept."""
    result = state.result or {}
    images = [
        {
            "image": base64.b64encode(Path(picture["path"]).read_bytes()).decode(),
            **{key: picture[key] for key in ("seed", "width", "height")},
        }
        for picture in result.get("images", ())
    ]
    return {"images": images, "format": "png", "timeTaken": result.get("timeTaken", 0)}


def _refusal(error: GenaiError) -> Response:
    if isinstance(error, BusyError):
        return error_response(503, "SERVER_BUSY", error.message, error.remedy)
    if isinstance(error, InvalidInputError | ModelNotFoundError):
        return error_response(400, "INVALID_REQUEST", error.message, error.remedy)
    return error_response(500, _code(error), error.message, error.remedy)


def _code(error: GenaiError) -> str:
    """One of the codes of the contract."""
    if isinstance(error, StorageError) or error.code == "IO_ERROR":
        return "IO_ERROR"
    return "INVALID_REQUEST" if isinstance(error, InvalidInputError) else "BACKEND_ERROR"


def _not_found() -> Response:
    return error_response(404, "NOT_FOUND", "There is no such generation, or its result has expired.")


def _wire_words(message: str) -> str:
    """The message begins with our name of the field; the caller knows another."""
    name, _, rest = message.partition(" ")
    return f"{_WIRE_NAMES.get(name, name)} {rest}"
