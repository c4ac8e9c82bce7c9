"""Where a search's photo comes from: the request, an address, the photos that are held, or a product."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from twinset.errors import DataError, NotFound
from twinset.fetch import fetch_url
from twinset.images import Photo, decode_photo, read_image_bytes
from twinset.server.access import Caller
from twinset.server.engine import Engine
from twinset.server.uploads import PhotoForm
from twinset.stages import stage

FETCH_S = 10.0
log = logging.getLogger(__name__)


async def with_photo(form: PhotoForm, engine: Engine, caller: Caller, count: Callable[[int], None]) -> PhotoForm:
    """Return a form that has its photo's bytes, wherever they are. `count` is told of those that had to be read.

    Done before a turn is taken: another machine may keep us waiting. Raises what is wrong with the photo's place.
    """
    if form.photo is not None:
        return form
    if form.image_id is not None:
        return replace(form, photo=engine.photos.get(form.image_id, caller.name))
    if form.url is not None:
        data = await _fetched(form.url, engine)
    else:
        assert form.product_id is not None  # uploads.py lets no form through without a source
        data = await _picture(form.product_id, caller.shop_for(form.text("shop")), engine)
    count(len(data))
    return replace(form, photo=data)


def photo_of(form: PhotoForm, engine: Engine) -> tuple[bytes, Photo]:
    """Return the photo of a form that has it, as it came and decoded. Raises what is wrong with it."""
    settings = engine.settings
    assert form.photo is not None
    with stage("decode"):
        return form.photo, decode_photo(form.photo, "photo", settings.max_bytes, settings.max_pixels)


def held(form: PhotoForm, engine: Engine, caller: Caller, data: bytes, keep: bool) -> dict[str, Any]:
    """Return what an answer says of the photo's being held: nothing, where nobody asked for it."""
    if form.image_id is not None:
        return {"image_id": form.image_id}
    if not keep:
        return {}
    return {"image_id": engine.photos.put(data, caller.name), "image_seconds": engine.photos.seconds}


async def _fetched(url: str, engine: Engine) -> bytes:
    settings = engine.settings

    def fetch() -> bytes:
        fetched = fetch_url(url, settings.max_bytes, FETCH_S, allow_private=settings.allow_private, attempts=1)
        return fetched.data or b""

    return await engine.fetch(fetch)


async def _picture(product_id: str, shop: str, engine: Engine) -> bytes:
    opened = engine.ready().shop
    try:
        image = await asyncio.to_thread(opened.image_of, product_id, shop)
        if image.lower().startswith(("http://", "https://")):
            return await _fetched(image, engine)
        return await asyncio.to_thread(read_image_bytes, Path(image))
    except NotFound:
        raise
    except DataError as exc:  # the message names a path of this machine
        log.warning("%s: no picture: %s", product_id, exc)
        raise HTTPException(404, "the product's picture can't be read") from exc
