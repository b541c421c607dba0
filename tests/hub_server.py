"""A model hub on the loopback address: real HTTP, the hub's routes, faults at will.

It speaks what huggingface_hub asks for: `GET /api/models/OWNER/NAME/revision/REV`, and `HEAD`
and `GET /OWNER/NAME/resolve/COMMIT/FILE` with ranges. Like the real one it keeps large files
with Git LFS and sends for them to another origin, which is not to see the token.

    with HubServer({"owner/name": {"config.json": b"{}"}}) as hub:
        hub.fail("config.json", cut=1, times=1)
        subprocess.run(command, env=hub.environ)
        assert [request.sent for request in hub.asked("config.json")] == [1, 1]
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

Content = bytes | Path
LFS = (".safetensors", ".onnx")
BLOCK = 1 << 16


@dataclass
class Fault:
    """A fault in a response.

    Attributes:
        end: End of the affected paths, of a file or of the metadata.
        status: Sent instead, with an empty body.
        html: A login page is sent instead.
        content: Sent instead of the file's content.
        cut: Bytes of a body after which the connection is closed.
        pace: Seconds of delay before every 1024 bytes of a body.
        silent: No response is sent at all.
        times: How often it happens; None for always.
    """

    end: str
    status: int | None = None
    html: bool = False
    content: bytes | None = None
    cut: int | None = None
    pace: float = 0
    silent: bool = False
    times: int | None = None


NO_FAULT = Fault("")


@dataclass
class Request:
    """A received request, and the number of body bytes sent."""

    method: str
    host: str
    path: str
    headers: Message
    sent: int = 0

    @property
    def range(self) -> str | None:
        return self.headers.get("Range")

    @property
    def token(self) -> str | None:
        return self.headers.get("Authorization")


@dataclass
class HubServer:
    """Two servers, the hub and the host of its large files, while the context is open.

    Attributes:
        repositories: Content by owner and name, then by path; it may be changed while running.
        faults: A request gets the first fault for its path that is not used up.
        token: If set, required to read repositories.
        ranges: Whether range requests are honoured.
        requests: All requests, in their order.
    """

    repositories: dict[str, dict[str, Content]]
    faults: list[Fault] = field(default_factory=list)
    token: str | None = None
    ranges: bool = True
    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> HubServer:
        self.closing = threading.Event()
        self._lock = threading.Lock()
        handler = partial(_Handler, self)
        self._servers = [_Server(("127.0.0.1", 0), handler) for _ in range(2)]
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        """The value for HF_ENDPOINT."""
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def storage(self) -> str:
        """The address of the large files."""
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a process that uses this hub, without a proxy."""
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return {**kept, "HF_ENDPOINT": self.url, "HF_HUB_OFFLINE": "0"}

    def asked(self, end: str, method: str = "GET") -> list[Request]:
        """Return the requests for paths with this end that were answered with a body."""
        return [
            request
            for request in self.requests
            if request.method == method and request.path.endswith(end) and request.sent
        ]

    def commit(self, repository: str) -> str:
        """Return the commit of a repository, which changes with its content."""
        files = self.repositories[repository]
        known = repr(sorted((name, etag(name, read(c))) for name, c in files.items()))
        return hashlib.sha1(known.encode()).hexdigest()

    def fail(self, end: str, **how: Any) -> None:
        """Add a fault, see :class:`Fault`."""
        self.faults.append(Fault(end, **how))

    def next_fault(self, path: str) -> Fault:
        """Return the fault for a path, and count it as used."""
        with self._lock:
            for fault in self.faults:
                if path.endswith(fault.end) and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return NO_FAULT


def read(content: Content) -> bytes:
    return content.read_bytes() if isinstance(content, Path) else content


def etag(name: str, content: bytes) -> str:
    """Return the ETag by which the hub identifies a file."""
    if name.endswith(LFS):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: object) -> None:
        """Ignore clients that hang up, as many tests do on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: HubServer, *arguments: Any) -> None:
        self.hub = hub
        super().__init__(*arguments)

    def log_message(self, *_: object) -> None:
        """Keep stderr for the program under test."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        host = f"http://{self.headers['Host']}"
        self.request_seen = Request(self.command, host, path, self.headers)
        self.hub.requests.append(self.request_seen)
        large = host == self.hub.storage
        if not large and self.hub.token not in {None, self.headers.get("Authorization", "")[7:]}:
            self._send(401, {}, json.dumps({"error": "Invalid username or password."}).encode())
            return
        match path.split("/")[1:]:
            case ["api", "models", owner, name, "revision", revision]:
                self._metadata(f"{owner}/{name}", revision)
            case [owner, name, "resolve", commit, *file]:
                self._file(f"{owner}/{name}", commit, "/".join(file), large=large)
            case _:
                self._refuse("RepoNotFound")

    def _metadata(self, repository: str, revision: str) -> None:
        fault = self.hub.next_fault(self.request_seen.path)
        if self._failed(fault):
            return
        if repository not in self.hub.repositories:
            self._refuse("RepoNotFound")
            return
        commit = self.hub.commit(repository)
        if revision not in {"main", commit}:
            self._refuse("RevisionNotFound")
            return
        files = self.hub.repositories[repository].items()
        siblings = [_sibling(name, read(content)) for name, content in files]
        answer = {"id": repository, "sha": commit, "siblings": siblings}
        # The client logs this, once per process.
        headers = {"Content-Type": "application/json", "X-HF-Warning": "topic; a word to users"}
        self._send(200, headers, json.dumps(answer).encode(), fault)

    def _file(self, repository: str, commit: str, name: str, large: bool) -> None:
        files = self.hub.repositories.get(repository)
        if files is None or name not in files:
            self._refuse("RepoNotFound" if files is None else "EntryNotFound")
            return
        content = read(files[name])
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        tag = f'"{etag(name, content)}"'
        if name.endswith(LFS) and not large:
            headers |= {"X-Linked-Etag": tag, "X-Linked-Size": str(len(content))}
            self._send(302, {**headers, "Location": self.hub.storage + self.request_seen.path}, b"")
            return
        fault = self.hub.next_fault(self.request_seen.path)
        if self._failed(fault):
            return
        content = content if fault.content is None else fault.content
        asked = self.headers.get("Range", "bytes=0-") if self.hub.ranges else "bytes=0-"
        start = int(asked[len("bytes=") : -1])
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(206 if start else 200, {**headers, "ETag": tag}, content[start:], fault)

    def _failed(self, fault: Fault) -> bool:
        if fault.silent:
            self.hub.closing.wait()
            self.close_connection = True
        elif fault.html:
            self._send(200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Log in</html>")
        elif fault.status:
            self._send(fault.status, {}, b"")
        return bool(fault.silent or fault.html or fault.status)

    def _refuse(self, code: str) -> None:
        self._send(404, {"X-Error-Code": code}, json.dumps({"error": code}).encode())

    def _send(
        self, status: int, headers: Mapping[str, str], body: bytes, fault: Fault = NO_FAULT
    ) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        whole, body = len(body), body[: fault.cut]
        step = 1024 if fault.pace else BLOCK
        for start in range(0, len(body), step):
            self.hub.closing.wait(fault.pace)
            block = body[start : start + step]
            self.request_seen.sent += len(block)
            self.wfile.write(block)
        self.close_connection = self.close_connection or len(body) < whole


def _sibling(name: str, content: bytes) -> dict[str, Any]:
    lfs = {"sha256": etag(name, content), "size": len(content), "pointerSize": 134}
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    pair = {"rfilename": name, "blobId": blob, "size": len(content)}
    return {**pair, "lfs": lfs} if name.endswith(LFS) else pair
