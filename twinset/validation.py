"""What pydantic expected of a value, in our words."""

from collections.abc import Mapping
from typing import Any

_EXPECTED = {
    "missing": "this field",
    "extra_forbidden": "no field of this name",
    "json_invalid": "JSON",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "string_type": "text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "string_pattern_mismatch": "text like {pattern}",
    "literal_error": "{expected}",
    "enum": "{expected}",
}


def expected_of(error: Mapping[str, Any]) -> str:
    """Return what one of a ValidationError's `errors()` expected: "at most 100".

    What one of our own validators raised, a ValueError that says so, stays as it is.
    """
    words = _EXPECTED.get(error["type"])
    if words is None:
        return str(error["msg"]).removeprefix("Value error, ")
    limits = {name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in error.get("ctx", {}).items()}
    return words.format(**limits)
