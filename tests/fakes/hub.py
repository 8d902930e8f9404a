"""A model hub and its content delivery network on loopback, as strict as real ones, with faults on demand.

The hub is http://127.0.0.1:P, the network http://localhost:Q: another origin, so what must not be forwarded
is really tested. Every request is recorded in `requests`.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from tests.fakes.web_server import Fault, FileHandler, LoopbackServer, Seen, StoredFile

__all__ = ["FakeHub", "Fault", "Seen", "StoredFile"]


class FakeHub:
    """Start with `with FakeHub() as hub`; `add` files, fetch `hub.resolve_url(...)`, `hub.file_url(...)`."""

    def __init__(self) -> None:
        self.repos: dict[str, dict[str, StoredFile]] = {}
        self.plain: dict[str, StoredFile] = {}
        self.gated: dict[str, str] = {}  # repo -> the token that opens it
        self.commits: dict[str, str] = {}
        self.cards: dict[str, dict[str, Any]] = {}  # repo -> what its description says beside the defaults
        self.requests: list[Seen] = []
        self.release = threading.Event()  # ends every hang
        self._faults: list[tuple[str, Callable[[Seen], bool], Fault, list[int]]] = []
        self._signatures: set[str] = set()
        self._guard = threading.RLock()  # a `when` may call back
        self._hub = self._server("hub")
        self._cdn = self._server("cdn")

    def _server(self, name: str) -> LoopbackServer:
        members = {"server_name": name, "fake": self, "released": self.release}
        return LoopbackServer(type(f"{name.title()}Handler", (_HubHandler,), members), name)

    def __enter__(self) -> FakeHub:
        self._hub.start()
        self._cdn.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.release.set()
        self._hub.stop()
        self._cdn.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._hub.port}"

    @property
    def cdn_url(self) -> str:
        return f"http://localhost:{self._cdn.port}"

    def add(self, repo: str, name: str, content: bytes | Path, *, is_lfs: bool = True) -> StoredFile:
        """A file of a repository. Large files (LFS) are on the network, small ones on the hub itself."""
        stored = StoredFile(content, is_lfs)
        self.repos.setdefault(repo, {})[name] = stored
        self.commits[repo] = secrets.token_hex(20)
        return stored

    def add_plain(self, name: str, content: bytes | Path) -> StoredFile:
        """A file of a plain web server, without digest."""
        self.plain[name] = StoredFile(content, is_lfs=False)
        return self.plain[name]

    def resolve_url(self, repo: str, name: str, revision: str = "main") -> str:
        return f"{self.url}/{repo}/resolve/{revision}/{quote(name)}"

    def file_url(self, name: str) -> str:
        return f"{self.url}/files/{quote(name)}"

    def fail(
        self,
        fault: Fault,
        *,
        times: int = 1,
        on: str = "cdn",
        when: Callable[[Seen], bool] | None = None,
        with_probe: bool = False,
    ) -> None:
        """Let the next `times` answers of "cdn", "hub" or its "api" fail. Probes pass unless with_probe."""

        def matches(seen: Seen) -> bool:
            is_api = seen.path.startswith("/api/")
            if seen.server != ("hub" if on == "api" else on) or is_api != (on == "api"):
                return False
            if when is not None:
                return when(seen)
            return with_probe or not seen.is_probe

        self._faults.append((on, matches, fault, [times]))

    def heal(self) -> None:
        """No more faults."""
        self._faults.clear()

    def seen(self, server: str, *, with_probes: bool = False) -> list[Seen]:
        """What one server was asked, in order."""
        return [s for s in self.requests if s.server == server and (with_probes or not s.is_probe)]

    # for the handlers --------------------------------------------------------------------------------------

    def record(self, seen: Seen) -> Fault:
        with self._guard:
            self.requests.append(seen)
            for _, matches, fault, left in self._faults:
                if left[0] > 0 and matches(seen):
                    left[0] -= 1
                    return fault
        return Fault()

    def sign(self) -> str:
        signature = secrets.token_hex(8)
        with self._guard:
            self._signatures.add(signature)
        return signature

    def is_signed(self, signature: str) -> bool:
        with self._guard:
            return signature in self._signatures

    def expire_signatures(self) -> None:
        """Every address handed out so far stops working."""
        with self._guard:
            self._signatures.clear()


class _HubHandler(FileHandler):
    """Routes of both servers."""

    server_name = ""
    fake: FakeHub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        headers = {key.lower(): value for key, value in self.headers.items()}
        fault = self.fake.record(Seen(self.server_name, self.command, self.path, headers))
        if fault.redirect is not None:
            self.send(302, {"Location": fault.redirect})
        elif fault.status is not None:
            self.send(fault.status, fault.headers, fault.body or b"")
        else:
            path = unquote(urlsplit(self.path).path)
            if self.server_name == "cdn":
                self._cdn(path, fault)
            elif path.startswith("/api/"):
                self._api(path)
            elif path.startswith("/files/") and path[7:] in self.fake.plain:
                self.send_file(self.fake.plain[path[7:]], fault, {})
            elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self._resolve(match[1], match[2], match[3], fault)
            else:
                self.send(404, {}, b"Not found")

    # the hub ------------------------------------------------------------------------------------------------

    def _resolve(self, repo: str, revision: str, name: str, fault: Fault) -> None:
        error = self._repo_error(repo, revision)
        stored = self.fake.repos.get(repo, {}).get(name)
        if error is None and stored is None:
            error = (404, "EntryNotFound", "Entry not found")
        if error is not None:
            status, code, text = error
            self.send(status, {"X-Error-Code": code, "X-Error-Message": text, "X-Request-Id": "Root=1"})
            return
        assert stored is not None
        common = {"X-Repo-Commit": self.fake.commits[repo]}
        if not stored.is_lfs:
            self.send_file(stored, fault, common)
            return
        location = f"{self.fake.cdn_url}/{repo}/{quote(name)}?sig={self.fake.sign()}"
        self.send(
            302,
            {
                **common,
                "Location": location,
                "X-Linked-Size": str(stored.size),
                "X-Linked-ETag": f'"{stored.digest}"',
                "ETag": f'"{stored.digest}"',
                "Accept-Ranges": "bytes",
            },
        )

    def _repo_error(self, repo: str, revision: str) -> tuple[int, str, str] | None:
        if repo not in self.fake.repos:
            return 401, "RepoNotFound", "Invalid username or password."
        wanted = self.fake.gated.get(repo)
        if wanted is not None and self.headers.get("Authorization") != f"Bearer {wanted}":
            text = f"Access to model {repo} is restricted. You must have access to it and be authenticated."
            return (403 if self.headers.get("Authorization") else 401), "GatedRepo", text
        if revision not in ("main", self.fake.commits[repo]):
            return 404, "RevisionNotFound", f"Invalid rev id: {revision}"
        return None

    def _api(self, path: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        if path == "/api/whoami-v2":
            token = self.headers.get("Authorization", "").removeprefix("Bearer ")
            known = token in self.fake.gated.values()
            self._json(
                {"type": "user", "name": "tester"} if known else {"error": "Invalid"}, 200 if known else 401
            )
            return
        if path == "/api/models":
            names = [r for r in self.fake.repos if query.get("search", [""])[0].lower() in r.lower()]
            for tag in (*query.get("filter", []), *query.get("pipeline_tag", [])):
                names = [r for r in names if tag in self._tags(r)]
            limit, start = int(query.get("limit", ["1000"])[0]), int(query.get("cursor", ["0"])[0])
            link = {}
            if start + limit < len(names):
                link["Link"] = (
                    f'<{self.fake.url}/api/models?limit={limit}&cursor={start + limit}>; rel="next"'
                )
            self._json(
                [self._info(name, with_sizes=False) for name in names[start : start + limit]], 200, link
            )
            return
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path)
        error = self._repo_error(match[1], match[3] or "main") if match else (404, "RepoNotFound", "")
        if match is None or error is not None:
            status, code, text = error or (404, "RepoNotFound", "")
            self.send(status, {"X-Error-Code": code, "X-Error-Message": text})
        elif match[2] == "tree":
            self._json([
                {"type": "file", "path": name, "size": f.size, "oid": f.digest[:40]}
                | ({"lfs": {"oid": f.digest, "size": f.size, "pointerSize": 134}} if f.is_lfs else {})
                for name, f in self.fake.repos[match[1]].items()
            ])  # fmt: skip
        else:
            self._json(self._info(match[1], with_sizes="blobs" in query))

    def _info(self, repo: str, *, with_sizes: bool) -> dict[str, Any]:
        siblings = []
        for name, stored in self.fake.repos[repo].items():
            entry: dict[str, Any] = {"rfilename": name}
            if with_sizes:
                entry |= {"size": stored.size, "blobId": stored.digest[:40]}
                if stored.is_lfs:
                    entry["lfs"] = {"sha256": stored.digest, "size": stored.size, "pointerSize": 134}
            siblings.append(entry)
        gated = "manual" if repo in self.fake.gated else False
        return {
            "_id": repo, "id": repo, "modelId": repo, "sha": self.fake.commits[repo], "siblings": siblings,
            "gated": gated, "private": False, "downloads": 0, "likes": 0, "tags": [],
        } | self.fake.cards.get(repo, {})  # fmt: skip

    def _tags(self, repo: str) -> list[str]:
        card = self.fake.cards.get(repo, {})
        return [*card.get("tags", []), card.get("pipeline_tag", "")]

    # the content delivery network ---------------------------------------------------------------------------

    def _cdn(self, path: str, fault: Fault) -> None:
        signature = parse_qs(urlsplit(self.path).query).get("sig", [""])[0]
        if not self.fake.is_signed(signature):
            self.send(403, {"Content-Type": "application/xml"}, b"<Error><Code>AccessDenied</Code></Error>")
            return
        if "Authorization" in self.headers:  # two ways to authenticate: refused by the real ones
            self.send(400, {}, b"Only one auth mechanism allowed")
            return
        parts = path.strip("/").split("/", 2)
        stored = self.fake.repos.get("/".join(parts[:2]), {}).get(parts[2] if len(parts) > 2 else "")
        if stored is None:
            self.send(404, {}, b"")
            return
        self.send_file(stored, fault, {})

    def _json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.send(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())
