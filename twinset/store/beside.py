"""Where this machine keeps what belongs to a store but is no product: reports of indexing, bodies that were fetched."""

import os
import re
from pathlib import Path


def folder_beside(uri: str) -> Path:
    """Return the folder: the store's own, or for one at a URL a folder of this user named after it.

    That one is in $XDG_STATE_HOME, else in ~/.local/state, under `twinset`. It is not made here.
    """
    if "://" not in uri:
        return Path(uri)
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "twinset" / re.sub(r"[^A-Za-z0-9.]+", "-", uri).strip("-")
