"""Who may do what: keys, roles, shops, origins and rates, asked before anything of a request is read.

As long as there are no keys, anybody who reaches the service may search it, and only this machine may write.
"""

import ipaddress
import math
from dataclasses import dataclass

from fastapi import Request
from starlette.exceptions import HTTPException

from twinset.server.engine import Engine, engine_of
from twinset.server.keys import ALL_SHOPS, Key, KeyFile
from twinset.server.problems import TooMany

FAILURES_PER_S = 2.0  # requests that an address may make with a wrong key, or without one that is needed


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str  # of the key, or an address: what limits and logs go by
    shop: str | None  # the only one it may see; None: any
    signed: bool  # pictures need a signature, since there are keys

    def shop_for(self, asked: str | None) -> str:
        """Return the shop a request is about. 403 for another than the key's."""
        if self.shop is None:
            return asked or "default"
        if asked not in (None, "", self.shop):
            raise HTTPException(
                403, f"this key is of shop {self.shop!r}; ask for that one, or use the other shop's key"
            )
        return self.shop


def admit(request: Request, role: str) -> Caller:
    """Return who asks, if they may. 401, 403, 429, and 503 until the keys can be read."""
    engine = engine_of(request)
    keys = engine.ready().keys
    text = _given(request)
    address = request.client.host if request.client else "unknown"
    if text is not None:
        caller = _of_key(request, engine, keys, text, address, role)
    elif keys.all():
        caller = _of_public(engine, address, role)
    elif role == "search" or is_local(request):
        caller = Caller(address, None, signed=False)
    else:
        raise HTTPException(
            403, "writing without a key is for this machine alone; make a key: twinset keys add --role write"
        )
    request.state.caller = caller.name
    return caller


def is_local(request: Request) -> bool:
    """Tell whether a request comes from this machine and was not sent on by a proxy or made by another site's page."""
    headers = request.headers
    if any(name in headers for name in ("forwarded", "x-forwarded-for", "x-real-ip")):
        return False
    origin = headers.get("origin")
    host = headers.get("host", "")
    named = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
    return (
        request.client is not None
        and _is_loopback(request.client.host)
        and (named == "localhost" or _is_loopback(named.strip("[]")))  # a page of evil.example may resolve to us
        and (origin is None or origin.partition("://")[2] == host)
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _given(request: Request) -> str | None:
    kind, _, text = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and text.strip():
        return text.strip()
    return request.headers.get("x-api-key")


def _of_key(request: Request, engine: Engine, keys: KeyFile, text: str, address: str, role: str) -> Caller:
    key = keys.find(text)
    if key is None:
        raise _unknown(
            engine, address, "expected a key of this service, found another; twinset keys list names those there are"
        )
    origin = request.headers.get("origin")
    own = origin is not None and origin.partition("://")[2] == request.headers.get("host")
    if key.origins and origin is not None and not own and origin not in key.origins:
        raise HTTPException(403, f"this key is for pages of {', '.join(key.origins)}, found {origin[:200]}")
    _check_role(key, role)
    _limit(engine, key.id, engine.settings.rate if key.rate is None else key.rate)
    return Caller(key.id, None if key.shop == ALL_SHOPS else key.shop, signed=True)


def _of_public(engine: Engine, address: str, role: str) -> Caller:
    shop = engine.settings.public_shop
    if not shop or role != "search":
        raise _unknown(engine, address, "expected an API key, found none; send Authorization: Bearer KEY")
    _limit(engine, address, engine.settings.public_rate)
    return Caller(address, shop, signed=True)


def _check_role(key: Key, role: str) -> None:
    if not key.may(role):
        raise HTTPException(403, f"this needs a key of role {role}, found one of role {key.role}")


def _unknown(engine: Engine, address: str, detail: str) -> HTTPException:
    """Return the error of an unknown caller. Raises TooMany for an address that goes on and on."""
    _limit(engine, f"wrong {address}", FAILURES_PER_S)
    engine.metrics.refused.labels("key").inc()
    return HTTPException(401, detail, {"WWW-Authenticate": "Bearer"})


def _limit(engine: Engine, caller: str, rate: float) -> None:
    wait = engine.limiter.wait_s(caller, rate)
    if wait:
        engine.metrics.refused.labels("rate").inc()
        raise TooMany(math.ceil(wait), rate)
