"""The service's settings from a flag, the environment, a file or the default, the first that has one; and which it was.

The file is TOML with a table [serve]; the environment has TWINSET_ and the name in capitals.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from twinset.errors import DataError, UsageError
from twinset.runtime import RUNTIMES
from twinset.server.keys import is_origin
from twinset.server.settings import ServerSettings

FILE = "twinset.toml"  # in the current folder, where no other is named
PREFIX = "TWINSET_"
CHOICES = {"log_format": ("text", "json"), "runtime": RUNTIMES}

HELP = {  # every setting, in the order they are shown
    "store": "The store's folder or address.",
    "model": "Weights: a name that twinset models lists, or a folder; empty: the store's, else default.",
    "host": "Address to listen on.",
    "port": "Port to listen on; 0: any that is free.",
    "threads": "CPU threads of a network; 0: all this container may use.",
    "runtime": "auto, onnxruntime or openvino; auto: OpenVINO where it is installed.",
    "processes": "Processes that serve; photos for a second tap are found only by the one that has them.",
    "log_format": "text: warnings for people; json: a line for each request too.",
    "workers": "Photos worked on at once in one process.",
    "queue": "Photos that may wait; more get 503.",
    "wait_s": "Seconds a photo may wait; then it gets 503.",
    "max_bytes": "Bytes of an uploaded or fetched photo.",
    "max_pixels": "Pixels of a photo.",
    "state": "Folder of keys, events, jobs and the audit log; empty: service/ in the store's.",
    "public_shop": "Once there are keys: the shop anybody may search without one; empty: none.",
    "cors_origins": "Origins whose pages may call the API, beside those of the keys.",
    "rate": "Requests a second a key may make, unless it has a rate of its own; 0: any number.",
    "public_rate": "Requests a second an address may make without a key, once there are keys; 0: any number.",
    "photo_s": "Seconds a photo sent with keep=true is held in memory.",
    "photo_bytes": "Bytes of all held photos; the oldest go first.",
    "job_bytes": "Bytes of a bulk request.",
    "models": "Folder of models that may be rolled out over HTTP, beside those that ship; empty: none.",
    "record_searches": "Write down what was searched and how close the best hit was; never the photo.",
    "traces": "Send a span of each request and stage to OpenTelemetry: pip install 'twinset[otel]'.",
    "miss_score": "An item whose best hit scores less is one the shop does not carry; for models that can't tell.",
    "miss_crops": "Pictures of such items kept for each shop's merchants, the newest; 0: none is ever stored.",
}
_LIMITS = {  # lowest and highest
    "port": (0, 65535),
    "threads": (0, 1024),
    "processes": (1, 64),
    "workers": (1, 256),
    "queue": (0, 100_000),
    "wait_s": (0.01, 3600),
    "max_bytes": (1, 2**31),
    "max_pixels": (1, 2**31),
    "rate": (0, 1e6),
    "public_rate": (0, 1e6),
    "photo_s": (0, 86_400),
    "photo_bytes": (0, 2**40),
    "job_bytes": (1, 2**40),
    "miss_score": (0, 1),
    "miss_crops": (0, 10_000),
}


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """All that `twinset serve` needs to know."""

    store: str = "twinset-store"
    model: str = ""
    host: str = "127.0.0.1"
    port: int = 8000
    threads: int = 0
    runtime: str = "auto"
    processes: int = 1
    log_format: str = "text"
    settings: ServerSettings = field(default_factory=ServerSettings)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it is, and where that was said."""

    name: str
    value: Any
    source: str  # flag, a variable's name, a file's path, or default


def resolve(flags: Mapping[str, object], environment: Mapping[str, str], file: Path | None) -> list[Setting]:
    """Return every setting. `file` None means FILE, if it is there. Raises UsageError, DataError for the file."""
    unknown = sorted(set(flags) - set(HELP))
    if unknown:
        raise _unknown("flag", unknown[0])
    named = file or environment.get(f"{PREFIX}CONFIG")
    path = Path(named or FILE)
    in_file = _read(path) if named or path.is_file() else {}
    return [_setting(name, flags, environment, in_file, path) for name in HELP]


def config_of(settings: list[Setting]) -> ServeConfig:
    """Return settings as what `twinset serve` needs."""
    values = {setting.name: setting.value for setting in settings}
    own = {entry.name for entry in fields(ServeConfig)}
    allowed = ServerSettings(**{name: value for name, value in values.items() if name not in own})
    return ServeConfig(**{name: value for name, value in values.items() if name in own}, settings=allowed)


def _setting(
    name: str, flags: Mapping[str, object], environment: Mapping[str, str], in_file: Mapping[str, object], path: Path
) -> Setting:
    variable = f"{PREFIX}{name.upper()}"
    if name in flags:
        return Setting(name, _value(name, flags[name], "flag"), "flag")
    if environment.get(variable):
        return Setting(name, _value(name, environment[variable], variable), variable)
    if name in in_file:
        return Setting(name, _value(name, in_file[name], str(path)), str(path))
    return Setting(name, _default(name), "default")


def _default(name: str) -> Any:
    plain = ServeConfig()
    return getattr(plain, name) if hasattr(plain, name) else getattr(plain.settings, name)


def _read(path: Path) -> dict[str, object]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        found = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise DataError(f"{path}: expected settings in TOML, found: {' '.join(found.split())}; check the file") from exc
    table = data.get("serve", {})
    if not isinstance(table, dict):
        raise DataError(f"{path}: expected a table [serve], found {type(table).__name__}; check the file")
    unknown = sorted(set(table) - set(HELP))
    if unknown:
        raise _unknown(str(path), unknown[0])
    return table


def _value(name: str, given: object, source: str) -> Any:
    """Return a setting's value in its own type. Raises UsageError."""
    default = _default(name)
    if isinstance(default, bool):
        word = str(given).lower()
        if word not in ("true", "false", "1", "0", "yes", "no", "on", "off"):
            raise _wrong(name, source, "true or false", given)
        return word in ("true", "1", "yes", "on")
    if isinstance(default, int | float):
        return _number(name, given, source, type(default))
    if isinstance(default, tuple):
        entries = [entry.strip() for entry in given.split(",")] if isinstance(given, str) else given
        if not isinstance(entries, list | tuple) or not all(isinstance(e, str) and is_origin(e) for e in entries if e):
            raise _wrong(name, source, "origins like https://shop.example", given)
        return tuple(entry for entry in entries if entry)
    if not isinstance(given, str) or given not in CHOICES.get(name, (given,)):
        raise _wrong(name, source, " or ".join(CHOICES.get(name, ("a text",))), given)
    return given


def _number(name: str, given: object, source: str, kind: type) -> Any:
    low, high = _LIMITS[name]
    try:
        value = kind(given) if not isinstance(given, bool | float) or kind is float else None
    except (ValueError, TypeError):
        value = None
    if value is None or not low <= value <= high:
        what = "a whole number" if kind is int else "a number"
        raise _wrong(name, source, f"{what} from {low:g} to {high:g}", given)
    return value


def _wrong(name: str, source: str, expected: str, found: object) -> UsageError:
    return UsageError(
        f"{name} ({source}): expected {expected}, found {found!r}", field=name, expected=expected, found=str(found)
    )


def _unknown(source: str, name: str) -> UsageError:
    return UsageError(
        f"{source}: expected a setting that twinset config show lists, found {name!r}; check its name", field=name
    )
