"""HTTP as uvicorn reads it with httptools, with the limit of headers that httptools does not have."""

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD_BYTES = 64 * 1024  # of a request's line and headers, or of what stands between and behind a body's chunks


class LimitedProtocol(HttpToolsProtocol):
    """Closes a connection that sends more than `MAX_HEAD_BYTES` without any body among it, before all is in memory."""

    _head_bytes = 0  # that came since the last headers or piece of a body were whole

    def data_received(self, data: bytes) -> None:
        self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(f"Expected at most {MAX_HEAD_BYTES:,} bytes of headers, found more.")

    def on_headers_complete(self) -> None:
        self._head_bytes = 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)
