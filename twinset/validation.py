"""What pydantic expected of a value, without what it says around it."""

import re
from collections.abc import Mapping
from typing import Any

_AROUND = re.compile(r"^(?:Value error, |\w+ should (?:be|have|match) )| after validation, not .*$")
_UNNAMED = {"missing": "this field", "extra_forbidden": "no field of this name", "json_invalid": "JSON"}


def expected_of(error: Mapping[str, Any]) -> str:
    """Return what one of a ValidationError's `errors()` expected: "at most 50 items".

    What one of our own validators raised, a ValueError that says so, stays as it is.
    """
    return _UNNAMED.get(error["type"]) or _AROUND.sub("", str(error["msg"]))
