"""The exceptions Twinset raises. Catch `TwinsetError` to catch them all.

TwinsetError
  UsageError            a value the caller chose is wrong (exit code 2, HTTP 422)
    FilterError         a `--where` filter that can't be read
  DataError             something about data is wrong (exit code 1)
    ImageError          bytes that are not an image we read (HTTP 415)
      ImageTooLarge     too many bytes or pixels (HTTP 413)
    FetchError          a URL that couldn't be fetched (HTTP 422)
    FeedError           a product feed or label file that can't be read
    NotFound            an unknown product id (HTTP 404)
    StoreError          a store that is missing, damaged or of a newer format
      ModelMismatch     a store filled with another model's vectors
      StoreMoved        another generation of the store is in use by now: open it anew
    ModelError          weights that are missing or damaged
    ClusterError        a Ray cluster that can't be reached or gives up
    Diverged            a training whose loss is not finite
  MissingExtra          an optional dependency is not installed (exit code 1)

Every message is one line that says what was expected, what was found and what to do next.
"""


class TwinsetError(Exception):
    """Base of every error raised on purpose."""


class UsageError(TwinsetError):
    """A value the caller chose is wrong. `field`, `expected`, `found` feed HTTP's problem document."""

    def __init__(self, message: str, *, field: str = "", expected: str = "", found: str = "") -> None:
        super().__init__(message)
        self.field, self.expected, self.found = field, expected, found


class FilterError(UsageError):
    """A `--where` filter that can't be read."""


class DataError(TwinsetError):
    """Something about data is wrong."""


class ImageError(DataError):
    """Bytes that are not an image we read."""


class ImageTooLarge(ImageError):
    """An image with too many bytes or pixels."""


class FetchError(DataError):
    """A URL that couldn't be fetched."""


class FeedError(DataError):
    """A product feed or label file that can't be read."""


class NotFound(DataError):
    """An unknown product id."""


class StoreError(DataError):
    """A store that is missing, damaged or of a newer format."""


class ModelMismatch(StoreError):
    """A store filled with another model's vectors."""


class StoreMoved(StoreError):
    """Another generation of the store is in use by now; nothing was written to the one at hand."""


class ModelError(DataError):
    """Weights that are missing or damaged."""


class ClusterError(DataError):
    """A Ray cluster that can't be reached or gives up."""


class Diverged(DataError):
    """A training whose loss is not finite."""


class MissingExtra(TwinsetError):
    """An optional dependency is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed: pip install 'twinset[{extra}]'")
