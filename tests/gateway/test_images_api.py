"""The image HTTP API over a real socket, on the fake engine."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from genai_desktop.core.errors import BusyError, PortInUseError
from genai_desktop.gateway.images import FIELDS, PATH
from genai_desktop.gateway.server import ImageGateway
from genai_desktop.services.generation_registry import GenerationRegistry
from tests.aio import run, until
from tests.fakes.image_studio import Studio

BODY = {"prompt": "a cat", "width": 64, "height": 64, "steps": 2, "modelId": "tiny"}


class Open:
    """A studio with its gateway listening, and a client."""

    def __init__(self, studio: Studio, gateway: ImageGateway, client: httpx.AsyncClient) -> None:
        self.studio = studio
        self.gateway = gateway
        self.client = client

    async def ask(self, **body: Any) -> httpx.Response:
        return await self.client.post(PATH, json={**BODY, **body})

    async def poll(self, generation_id: str) -> dict[str, Any]:
        while True:
            state: dict[str, Any] = (await self.client.get(f"{PATH}/{generation_id}")).json()
            if state["status"] not in ("pending", "in_progress"):
                return state
            await asyncio.sleep(0.01)


def serve(tmp_path: Path, work: Callable[[Open], Coroutine[Any, Any, None]], **registry: Any) -> None:
    async def main() -> None:
        async with Studio(tmp_path) as studio:
            gateway = ImageGateway(studio, GenerationRegistry(**registry) if registry else None)
            url = await gateway.start("auto")
            async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as client:
                try:
                    await work(Open(studio, gateway, client))
                finally:
                    await client.aclose()
                    await gateway.stop()

    run(main())


def test_ask_poll_and_get_the_pictures(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        response = await open_.ask(count=2, seed=0, cfgScale=0)
        assert response.status_code == 201
        first = response.json()
        assert set(first) == {"id", "status", "createdAt"}
        assert first["status"] == "pending"
        assert isinstance(first["createdAt"], int)
        state = await open_.poll(first["id"])
        assert state["status"] == "complete"
        assert set(state) == {"id", "status", "createdAt", "updatedAt", "result"}
        result = state["result"]
        assert result["format"] == "png"
        assert isinstance(result["timeTaken"], int)
        assert [image["seed"] for image in result["images"]] == [0, 1]
        with Image.open(io.BytesIO(base64.b64decode(result["images"][1]["image"]))) as picture:
            assert picture.size == (64, 64)
        argv = open_.studio.diffusion.get_info().command_line
        assert argv[argv.index("--cfg-scale") + 1] == "0"
        assert (await open_.client.get("/health")).json() == {"status": "ok", "busy": False}

    serve(tmp_path, work)


def test_progress_while_it_is_painted(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        gate = open_.studio.hold("decode")
        generation = (await open_.ask()).json()["id"]
        await until((gate / "decode.reached").exists)
        await until(lambda: any(p.stage == "diffusion" and p.step == 4 for p in open_.studio.progress))
        state = (await open_.client.get(f"{PATH}/{generation}")).json()
        assert state["status"] == "in_progress"
        progress = state["progress"]
        assert set(progress) == {
            "currentStep", "totalSteps", "stage", "percentage", "currentImage", "totalImages",
        }  # fmt: skip
        assert (progress["stage"], progress["currentStep"], progress["totalSteps"]) == ("diffusion", 4, 4)
        assert (await open_.client.get("/health")).json()["busy"] is True
        (gate / "decode.go").touch()
        assert (await open_.poll(generation))["status"] == "complete"

    serve(tmp_path, work)


def test_two_at_the_same_moment_are_one_process_and_one_refusal(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        responses = await asyncio.gather(*(open_.ask() for _ in range(5)))
        assert sorted(r.status_code for r in responses) == [201, 503, 503, 503, 503]
        refused = next(r for r in responses if r.status_code == 503)
        assert refused.json()["error"]["code"] == "SERVER_BUSY"
        assert refused.headers["retry-after"]
        good = next(r for r in responses if r.status_code == 201)
        await open_.poll(good.json()["id"])
        assert len(open_.studio.engines.pids()) == 1

    serve(tmp_path, work)


def test_cancel(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        gate = open_.studio.hold("sample")
        generation = (await open_.ask()).json()["id"]
        await until((gate / "sample.reached").exists)
        for _ in range(2):  # a second time is no error
            response = await open_.client.delete(f"{PATH}/{generation}")
            assert response.status_code == 200
            assert response.json() == {"id": generation, "status": "cancelled"}
        assert open_.studio.living() == []
        assert (await open_.poll(generation))["status"] == "cancelled"
        open_.studio.engines.plan()
        done = (await open_.ask()).json()["id"]
        await open_.poll(done)
        response = await open_.client.delete(f"{PATH}/{done}")
        assert (response.status_code, response.json()["error"]["code"]) == (409, "ALREADY_TERMINAL")
        response = await open_.client.delete(f"{PATH}/gen_1_nope")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")

    serve(tmp_path, work)


def test_failures_are_told_with_the_codes_of_the_contract(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        open_.studio.engines.plan(signal=11)
        state = await open_.poll((await open_.ask()).json()["id"])
        assert state["status"] == "error"
        assert state["error"]["code"] == "BACKEND_ERROR"
        assert "crashed" in state["error"]["message"]
        open_.studio.engines.plan(files="none", transcript="m827_err_unwritable", exit=1)
        state = await open_.poll((await open_.ask()).json()["id"])
        assert state["error"]["code"] in ("IO_ERROR", "BACKEND_ERROR")

    serve(tmp_path, work)


def test_a_picture_that_was_removed_meanwhile(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        generation = (await open_.ask()).json()["id"]
        await open_.poll(generation)
        for item in await open_.studio.gallery.list():
            Path(item.path).unlink()
        state = (await open_.client.get(f"{PATH}/{generation}")).json()
        assert (state["status"], state["error"]["code"]) == ("error", "IO_ERROR")

    serve(tmp_path, work)


def test_results_expire(tmp_path: Path) -> None:
    now = [1000.0]

    async def work(open_: Open) -> None:
        generation = (await open_.ask()).json()["id"]
        await open_.poll(generation)
        now[0] += 301
        response = await open_.client.get(f"{PATH}/{generation}")
        assert (response.status_code, response.json()["error"]["code"]) == (404, "NOT_FOUND")

    serve(tmp_path, work, clock=lambda: now[0])


WRONG = [
    {"prompt": None}, {"prompt": ""}, {"prompt": "  "}, {"prompt": 3}, {"prompt": ["a"]},
    {"prompt": "a\0b"},
    {"prompt": "x" * 100_001}, {"prompt": "\ud800"}, {"negativePrompt": 5}, {"negativePrompt": {"a": 1}},
    {"width": 63}, {"width": 4097}, {"width": "64"}, {"width": 64.5}, {"width": True}, {"width": 1e400},
    {"height": 0}, {"height": -64}, {"height": []}, {"steps": 0}, {"steps": 201}, {"steps": "many"},
    {"cfgScale": -0.1}, {"cfgScale": 51}, {"cfgScale": "7"}, {"cfgScale": True},
    {"seed": -2}, {"seed": 2**31},
    {"seed": 0.5}, {"sampler": "cuda"}, {"sampler": 1}, {"scheduler": "nope"}, {"count": 0}, {"count": 6},
    {"count": "2"}, {"guidance": 99}, {"modelId": "nope"}, {"modelId": 7}, {"modelId": "../../etc/passwd"},
    {"step": 4}, {"negative_prompt": "x"}, {"init_image": "/etc/passwd"},
]  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG, ids=lambda w: json.dumps(w)[:40])
def test_every_parameter_is_checked(tmp_path: Path, wrong: dict[str, Any]) -> None:
    async def work(open_: Open) -> None:
        text = json.dumps({**BODY, **wrong}).replace("Infinity", "1e400")
        response = await open_.client.post(PATH, content=text, headers={"content-type": "application/json"})
        assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_REQUEST")
        (name,) = wrong
        assert name in response.json()["error"]["message"] or name == "modelId"
        assert open_.studio.engines.pids() == []
        assert (await open_.client.get("/health")).json()["busy"] is False

    serve(tmp_path, work)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"NaN", b"\xff\xfe", b"[" * 200_000, b'{"prompt": NaN}',
        b'{"a":' * 50_000,
    ],
    ids=lambda c: repr(c[:12]),
)  # fmt: skip
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    async def work(open_: Open) -> None:
        response = await open_.client.post(PATH, content=content)
        assert (response.status_code, response.json()["error"]["code"]) == (400, "INVALID_REQUEST")

    serve(tmp_path, work)


def test_seed_defaults_and_recommended_settings(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        def argument(flag: str) -> str:
            argv = open_.studio.diffusion.get_info().command_line
            return argv[argv.index(flag) + 1]

        minimal = {"prompt": "x", "modelId": "tiny", "width": 64, "height": 64}
        response = await open_.client.post(PATH, json=minimal)
        await open_.poll(response.json()["id"])
        assert (argument("--cfg-scale"), argument("--steps")) == ("7.5", "20")
        models = open_.studio.models
        models.model = replace(models.model, recommended={"cfg_scale": 1.0, "steps": 4, "width": 1024})
        response = await open_.client.post(PATH, json={**minimal, "negativePrompt": None})
        await open_.poll(response.json()["id"])
        assert (argument("--cfg-scale"), argument("--steps"), argument("--width")) == ("1", "4", "64")
        response = await open_.client.post(PATH, json={**minimal, "cfgScale": 3})
        await open_.poll(response.json()["id"])
        assert argument("--cfg-scale") == "3"

    serve(tmp_path, work)


def test_a_large_body_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        response = await open_.client.post(PATH, content=b"x" * (5 * 2**20))
        assert response.status_code == 413

        async def endless() -> Any:
            while True:
                yield b" " * 65536

        try:
            response = await open_.client.post(PATH, content=endless())
            assert response.status_code == 413
        except httpx.TransportError:
            pass  # the server hung up while we were still sending: as good an answer
        host, port = str(open_.client.base_url.host), open_.client.base_url.port
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(
            f"POST {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Length: 1000000000\r\n\r\n".encode()
        )
        assert b" 413 " in await reader.readline()
        writer.close()
        await writer.wait_closed()
        assert (await open_.client.get("/health")).status_code == 200

    serve(tmp_path, work)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:8081"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "192.168.1.5:8081"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "user@127.0.0.1"}, 403),
        ({"Host": "localhost:1"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Origin": "file://"}, 403),
        ({"Origin": "SELF"}, 200),
    ],
    ids=str,
)
def test_host_and_origin(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    async def work(open_: Open) -> None:
        own = str(open_.client.base_url).rstrip("/")
        sent = {name: own if value == "SELF" else value for name, value in headers.items()}
        response = await open_.client.get("/health", headers=sent)
        assert response.status_code == status
        assert "access-control-allow-origin" not in response.headers
        if status == 403:
            response = await open_.client.post(PATH, json=BODY, headers=sent)
            assert response.status_code == 403
            assert open_.studio.engines.pids() == []

    serve(tmp_path, work)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"), ("GET", PATH), ("PUT", PATH), ("OPTIONS", PATH), ("POST", f"{PATH}/x"),
        ("POST", "/health"), ("TRACE", "/"),
        ("GET", f"{PATH}/gen_1_x"), ("GET", f"{PATH}/../../health/x"), ("GET", f"{PATH}/%2e%2e%2f"),
    ],
)  # fmt: skip
def test_everything_else_is_not_found(tmp_path: Path, method: str, path: str) -> None:
    async def work(open_: Open) -> None:
        response = await open_.client.request(method, path)
        assert response.status_code == 404
        if method != "HEAD":
            assert response.json()["error"]["code"] == "NOT_FOUND"

    serve(tmp_path, work)


def test_it_listens_on_loopback_only_and_leaves_signals_alone(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler or signal.getsignal(
            signal.SIGINT
        )
        info = open_.studio.diffusion.get_info()
        assert info.url == str(open_.client.base_url).rstrip("/")
        assert info.port is not None
        own = socket.gethostbyname(socket.gethostname())
        if not own.startswith("127."):
            with pytest.raises(OSError, match=r".*"):
                socket.create_connection((own, info.port), timeout=2).close()

    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    serve(tmp_path, work)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_taken_port_is_told_and_starting_twice_refused(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        port = open_.studio.diffusion.get_info().port
        assert port is not None
        second = ImageGateway(open_.studio)
        with pytest.raises(PortInUseError, match=str(port)):
            await second.start(port)
        with pytest.raises(BusyError):
            await open_.gateway.start("auto")
        await open_.gateway.stop()
        assert open_.studio.diffusion.get_info().url is None
        assert await second.start(port) == f"http://127.0.0.1:{port}"
        await second.stop()
        await second.stop()

    serve(tmp_path, work)


def test_stopping_while_a_picture_is_painted_leaves_the_picture_alone(tmp_path: Path) -> None:
    async def work(open_: Open) -> None:
        gate = open_.studio.hold("sample")
        await open_.ask()
        await until((gate / "sample.reached").exists)
        await open_.gateway.stop()
        (gate / "sample.go").touch()
        await until(lambda: open_.studio.finished)

    serve(tmp_path, work)


def test_the_names_on_the_wire_are_those_of_the_contract() -> None:
    wanted = {"prompt", "negativePrompt", "width", "height", "steps", "cfgScale", "seed", "sampler", "count"}
    assert wanted <= set(FIELDS)
