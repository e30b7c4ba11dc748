"""HTTP as the fleet and the readers use it: one connection a thread, kept open, and what each call took."""

import http.client
import json
import re
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

COUNTS = re.compile(r'(hits|misses);desc="(\d+)"')  # in Server-Timing, see xyzsite/middleware.py
TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` is 0 where nothing did; `retry_after` is in seconds."""

    status: int
    seconds: float
    hits: int = 0
    misses: int = 0
    retry_after: float = 0.0
    document: Any = None


class Caller:
    """Calls one site. Not safe for threads: each has its own."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        parts = urlsplit(url)
        self._connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
        self._headers = headers

    def get(self, path: str) -> Answer:
        return self._call("GET", path, None)

    def post(self, path: str, document: Any) -> Answer:
        return self._call("POST", path, json.dumps(document).encode())

    def close(self) -> None:
        self._connection.close()

    def _call(self, method: str, path: str, body: bytes | None) -> Answer:
        headers = self._headers | ({"Content-Type": "application/json"} if body is not None else {})
        began = time.perf_counter()
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            content = response.read()
        except (http.client.HTTPException, OSError):  # the server's process was killed, or it does not answer
            self._connection.close()
            return Answer(0, time.perf_counter() - began)
        counts = {name: int(count) for name, count in COUNTS.findall(response.headers.get("Server-Timing", ""))}
        return Answer(
            response.status,
            time.perf_counter() - began,
            retry_after=float(response.headers.get("Retry-After", 0)),
            document=json.loads(content) if body is not None and response.status < 300 else None,
            **counts,
        )
