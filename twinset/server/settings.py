"""What the service allows and where it writes. config.py reads these from a file, the environment and flags."""

from dataclasses import dataclass
from pathlib import Path

from twinset.images import MAX_BYTES, MAX_PIXELS

STATE = "service"  # in the store's folder


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """What the service allows."""

    max_bytes: int = MAX_BYTES  # of an uploaded or fetched photo
    max_pixels: int = MAX_PIXELS
    workers: int = 2  # photos at once in one process
    queue: int = 64  # photos that may wait; more get 503
    wait_s: float = 5.0  # a photo may wait; then it gets 503
    state: str = ""  # folder of keys, events, jobs and the audit log; empty: STATE in the store's
    public_shop: str = ""  # once there are keys: the shop anybody may search without one; empty: none
    cors_origins: tuple[str, ...] = ()  # whose pages may call the API, beside the keys' own
    rate: float = 50.0  # requests a second a key may make, unless it has a rate of its own; 0: any number
    public_rate: float = 5.0  # requests a second an address may make without a key, once there are keys; 0: any number
    photo_s: float = 600.0  # a photo sent with keep=true is held in memory
    photo_bytes: int = 128 * 1024 * 1024  # of all held photos
    job_bytes: int = 256 * 1024 * 1024  # of a bulk request
    models: str = ""  # folder of models that may be rolled out over HTTP, beside those that ship; empty: none
    record_searches: bool = True  # write down what was searched and how close the best hit was; never the photo
    miss_score: float = 0.5  # an item whose best hit scores less is one the shop does not carry
    miss_crops: int = 0  # pictures of such items kept for a shop's merchants; 0: none, no photo is ever stored
    traces: bool = False  # send a span of each request and stage to OpenTelemetry
    samples: tuple[Path, ...] = ()  # photos the page offers to try
    allow_private: bool = False  # fetch photos from private addresses: for tests only


def state_folder(settings: ServerSettings, store_uri: str) -> Path:
    """Return the folder the service writes to."""
    if settings.state:
        return Path(settings.state)
    return Path("twinset-service") if "://" in store_uri else Path(store_uri) / STATE
