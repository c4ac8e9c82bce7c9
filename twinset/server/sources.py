"""Where a search's photo comes from: the request, an address, the photos that are held, or a product."""

import logging
from typing import Any

from starlette.exceptions import HTTPException

from twinset.errors import DataError, NotFound
from twinset.fetch import fetch_url
from twinset.images import Photo, decode_photo
from twinset.server.access import Caller
from twinset.server.engine import Engine
from twinset.server.uploads import PhotoForm
from twinset.stages import stage

FETCH_S = 10.0
log = logging.getLogger(__name__)


def photo_of(form: PhotoForm, engine: Engine, caller: Caller) -> tuple[bytes, Photo]:
    """Return a form's photo, as it came and decoded. Raises what is wrong with it."""
    settings = engine.settings
    data = _bytes_of(form, engine, caller)
    with stage("decode"):
        return data, decode_photo(data, "photo", settings.max_bytes, settings.max_pixels)


def held(form: PhotoForm, engine: Engine, caller: Caller, data: bytes, keep: bool) -> dict[str, Any]:
    """Return what an answer says of the photo's being held: nothing, where nobody asked for it."""
    if form.image_id is not None:
        return {"image_id": form.image_id}
    if not keep:
        return {}
    return {"image_id": engine.photos.put(data, caller.name), "image_seconds": engine.photos.seconds}


def _bytes_of(form: PhotoForm, engine: Engine, caller: Caller) -> bytes:
    settings = engine.settings
    if form.photo is not None:
        return form.photo
    if form.image_id is not None:
        return engine.photos.get(form.image_id, caller.name)
    if form.url is not None:
        with stage("fetch"):
            fetched = fetch_url(form.url, settings.max_bytes, FETCH_S, allow_private=settings.allow_private, attempts=1)
        return fetched.data or b""
    assert form.product_id is not None  # uploads.py lets no form through without a source
    return _picture(form.product_id, caller.shop_for(form.text("shop")), engine)


def _picture(product_id: str, shop: str, engine: Engine) -> bytes:
    try:
        return engine.ready().shop.product_image(product_id, shop, engine.settings.allow_private)
    except NotFound:
        raise
    except DataError as exc:  # the message names a path of this machine
        log.warning("%s: no picture: %s", product_id, exc)
        raise HTTPException(404, "the product's picture can't be read") from exc
