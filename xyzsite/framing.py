"""Where an HTTP/1.1 request ends (RFC 9112), for a loop that gathers it; the server's parser judges it."""

import re

MAX_HEAD = 65_536  # bytes of a request's line and headers: cookies and a token take some hundred
MAX_BODY = 2_621_440  # bytes: no form and no list of readings is larger (Django's DATA_UPLOAD_MAX_MEMORY_SIZE)
MAX_FRAMED = MAX_BODY + MAX_BODY // 4  # bytes of a body in chunks, with what frames it

LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
CHUNKED = re.compile(rb"^transfer-encoding[ \t]*:", re.IGNORECASE | re.MULTILINE)
CONTINUE = re.compile(rb"^expect[ \t]*:[ \t]*100-continue[ \t]*\r$", re.IGNORECASE | re.MULTILINE)
SIZE = re.compile(rb"[0-9a-fA-F]{1,8}")
LINE = b"\r\n"


class Refused(Exception):
    """A request that is not read to its end."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Framing:
    """The bytes of a connection's next request. Where it is malformed it counts as whole: the parser refuses it."""

    def __init__(self) -> None:
        self.buffer = bytearray()
        self.expects_continue = False
        self._head = 0  # bytes, once it is whole
        self._length: int | None = 0  # of the body; None: in chunks
        self._at = 0  # where the next chunk begins

    def feed(self, data: bytes) -> bool:
        """Add bytes; return whether the request is whole. Raise Refused where it is too large."""
        searched = max(0, len(self.buffer) - 3)
        self.buffer += data
        if not self._head and not self._read_head(searched):
            return False
        if self._length is not None:
            return len(self.buffer) >= self._head + self._length
        return self._read_chunks()

    def _read_head(self, start: int) -> bool:
        while self.buffer.startswith(LINE):  # empty lines before a request are skipped (section 2.2)
            del self.buffer[:2]
            start = 0
        end = self.buffer.find(b"\r\n\r\n", start)
        if (len(self.buffer) if end < 0 else end) > MAX_HEAD:
            raise Refused(431, "Request Header Fields Too Large")
        if end < 0:
            return False
        self._head = self._at = end + 4
        head = self.buffer[: end + 2]
        length = LENGTH.search(head)
        self._length = None if CHUNKED.search(head) else int(length[1]) if length else 0
        if self._length is not None and self._length > MAX_BODY:
            raise Refused(413, "Content Too Large")
        self.expects_continue = CONTINUE.search(head) is not None
        return True

    def _read_chunks(self) -> bool:
        if len(self.buffer) - self._head > MAX_FRAMED:
            raise Refused(413, "Content Too Large")
        while (line := self.buffer.find(LINE, self._at)) >= 0:
            size = SIZE.match(self.buffer, self._at)
            if size is None:
                return True
            length = int(size[0], 16)
            if length == 0:  # the last; then trailers, and an empty line
                return self.buffer.find(b"\r\n\r\n", line) >= 0
            if line + 2 + length + 2 > len(self.buffer):
                return False
            self._at = line + 2 + length + 2
        return False
