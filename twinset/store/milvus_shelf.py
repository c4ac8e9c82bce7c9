"""Open, make and remove the collections of a store in a Milvus server: one for each generation.

A collection's description names the format and the model.
"""

import json
from typing import Any

from twinset.errors import ModelMismatch, StoreError
from twinset.store.base import DIM, FORMAT
from twinset.store.generations import FIRST, Guard
from twinset.store.milvus import LIVE, MilvusStore
from twinset.store.milvus_notes import MilvusNotes, dim_of
from twinset.store.milvus_rows import FIELDS, index_params, schema
from twinset.store.milvus_server import Server, parse_address


class MilvusShelf:
    """See `Shelf`. A generation is a collection: the first, which the address names, holds the notes of all."""

    def __init__(self, uri: str) -> None:
        self._server = Server(parse_address(uri))
        self._notes = MilvusNotes(self._server)
        self._there = False

    @property
    def uri(self) -> str:
        return self._server.address.uri

    def read(self, note: str) -> str | None:
        if not self._there:
            name = self._server.address.collection
            if not _has(self._server, name):
                return None
            self._server.write(lambda client, timeout_s: _get_ready(client, name, timeout_s))
            self._there = True
        return self._notes.read(note, newest=True)

    def write(self, note: str, text: str) -> None:
        self._notes.write(note, text)

    def has(self, number: int) -> bool:
        return _has(self._server, self._collection(number))

    def open(
        self, number: int, model_version: str | None, create: bool, dim: int = DIM, guard: Guard | None = None
    ) -> MilvusStore:
        server, name = self._server, self._collection(number)
        if not _has(server, name):
            _create(server, name, model_version, create, dim)
        about = server.read(lambda client, timeout_s: client.describe_collection(name, timeout=timeout_s))
        model = _check_description(self.uri, about, model_version)
        server.write(lambda client, timeout_s: _get_ready(client, name, timeout_s))
        return MilvusStore(server, name, self._notes, model, dim_of(about), guard)

    def remove(self, number: int) -> None:
        name = self._collection(number)
        if number != FIRST:
            self._server.write(lambda client, timeout_s: client.drop_collection(name, timeout=timeout_s))
            return
        self._server.write(lambda client, timeout_s: client.delete(name, filter=LIVE, timeout=timeout_s))

    def _collection(self, number: int) -> str:
        own = self._server.address.collection
        return own if number == FIRST else f"{own}_g{number}"


def _has(server: Server, name: str) -> bool:
    return bool(server.read(lambda client, timeout_s: client.has_collection(name, timeout=timeout_s)))


def _create(server: Server, name: str, model_version: str | None, create: bool, dim: int) -> None:
    uri = server.address.uri
    if not create:
        raise StoreError(
            f"store {uri}: expected a collection {name} written by twinset index, found none; "
            f"run twinset index FEED --store {uri}"
        )
    if model_version is None:
        raise ValueError("a new store needs the version of its model")
    about = json.dumps({"twinset": {"format": FORMAT, "model": model_version}})

    def make(client: Any, timeout_s: float) -> None:
        if not client.has_collection(name, timeout=timeout_s):
            client.create_collection(
                name, schema=schema(client, about, dim), num_shards=1, consistency_level="Strong", timeout=timeout_s
            )

    server.write(make)


def _check_description(uri: str, about: dict[str, Any], model_version: str | None) -> str:
    """Return the model whose vectors a collection keeps. Raises StoreError for one that is no store we can read."""
    advice = f"choose another collection: --store {uri.rstrip('/')}/NAME"
    try:
        own = json.loads(about["description"])["twinset"]
        written, model = int(own["format"]), str(own["model"])
    except (ValueError, KeyError, TypeError) as exc:
        raise StoreError(
            f"store {uri}: expected a collection written by twinset index, found one of another program; {advice}"
        ) from exc
    if written > FORMAT:
        raise StoreError(
            f"store {uri}: expected format {FORMAT} or older, found {written}; "
            f"a newer Twinset wrote it: upgrade this one"
        )
    lacking = set(FIELDS) - {field["name"] for field in about["fields"]}
    if lacking:
        raise StoreError(f"store {uri}: expected a field {min(lacking)!r}, found none; {advice}")
    if model_version is not None and model != model_version:
        raise ModelMismatch(
            f"store {uri}: expected vectors of model {model_version}, found those of {model}; "
            f"choose that --model, or roll this one out: twinset reindex --model NEW"
        )
    return model


def _get_ready(client: Any, name: str, timeout_s: float) -> None:
    """Make the indexes that are missing and load the collection: a creation that was killed is finished."""
    params = index_params(client)
    there = set(client.list_indexes(name))
    if not {index.index_name or index.field_name for index in params} <= there:
        client.create_index(name, params, timeout=timeout_s, sync=False)  # nothing to wait for: it is empty
    if "Loaded" not in str(client.get_load_state(name, timeout=timeout_s)["state"]):
        client.load_collection(name, timeout=timeout_s)
