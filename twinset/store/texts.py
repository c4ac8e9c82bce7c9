"""Which stored rows say the words asked for: in title, article type, tags, attributes and colours.

An inverted index, made of a table's columns the first time words are asked for. A row's score is the share of the asked
words that it says, rare ones counting more (idf; Spärck Jones, 1972); of rows that say the same, short ones are first.
"""

import json
import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from twinset.store.columns import MAIN_COLOUR_SHARE

WORD_COLUMNS = ("title", "article_type", "tags", "attributes", "colours", "colour_shares")
BREVITY = 0.05  # of a score: how much a row that says nothing else is ahead of one that says much more
_SPLIT = r"[^\p{L}\p{N}]+"
_NO_ROWS = np.zeros(0, np.int32)
_SPELLINGS = ((r"\bt[- ]?shirt", "tshirt"), (r"\be-", "e"), (r"['’]s\b", ""))


@dataclass(frozen=True, slots=True)
class Words:
    """What is asked: groups of words that mean the same, as `word_stems` gives them.

    A row should say one of each of the `groups`, and the `literal` words, those that any row says at all.
    """

    groups: tuple[tuple[str, ...], ...]
    literal: tuple[str, ...] = ()


def word_stems(text: str) -> list[str]:
    """Return the words of a text as they are compared: without case, and without an English plural's ending."""
    lower = unicodedata.normalize("NFKC", text).lower()
    for pattern, spelling in _SPELLINGS:
        lower = re.sub(pattern, spelling, lower)
    return [_stem(word) for word in re.findall(r"[^\W_]+", lower)]


def _stem(word: str) -> str:
    word = word.casefold()  # beyond lower case: ß is ss, a final ς is σ
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us")):
        return word[:-1]
    return word


class TextIndex:
    """The words of some rows. Nothing in it changes, so any number of threads may ask."""

    def __init__(self, rows: pa.Table) -> None:
        self.rows = len(rows)
        texts = _texts(rows)
        for pattern, spelling in _SPELLINGS:
            texts = pc.replace_substring_regex(texts, pattern.replace("’", "\\x{2019}"), spelling)
        lists = pc.split_pattern_regex(texts, _SPLIT)
        parents = pc.list_parent_indices(lists).to_numpy()
        coded = lists.flatten().dictionary_encode()
        stems = [_stem(word) for word in coded.dictionary.to_pylist()]
        self._number = {stem: i for i, stem in enumerate(dict.fromkeys(stems))}
        codes = np.array([self._number[stem] for stem in stems], np.int64)[coded.indices.to_numpy()]
        said = np.array([bool(word) for word in stems], bool)[coded.indices.to_numpy()]  # what stands beside signs
        pairs = np.unique((codes * max(self.rows, 1) + parents)[said])  # a word counts once a row
        codes, self._rows = pairs // max(self.rows, 1), (pairs % max(self.rows, 1)).astype(np.int32)
        self._starts = np.searchsorted(codes, np.arange(len(self._number) + 1))
        self._lengths = np.maximum(np.bincount(self._rows, minlength=self.rows), 1)

    def said(self, words: Words) -> list[NDArray[np.int32]]:
        """Return the rows that say each of the groups, and then each of the literal words."""
        found = []
        for group in (*words.groups, *((stem,) for stem in words.literal)):
            rows = [self._postings(stem) for stem in group if stem in self._number]
            found.append(np.unique(np.concatenate(rows)) if len(rows) > 1 else rows[0] if rows else _NO_ROWS)
        return found

    def score(self, words: Words) -> NDArray[np.float32]:
        """Return (N,) scores in [0, 1] among its own rows, 0 for a row that says none of the words."""
        said = self.said(words)
        return self.weigh(said, worth_of(words, self.rows, [len(rows) for rows in said]))

    def weigh(self, said: Sequence[NDArray[np.int32]], worth: Sequence[float]) -> NDArray[np.float32]:
        """Return (N,) scores in [0, 1] of its rows by what they say, each of some worth; see `worth_of`."""
        scores, matched = np.zeros(self.rows, np.float32), np.zeros(self.rows, np.float32)
        for rows, value in zip(said, worth, strict=True):
            scores[rows] += value
            matched[rows] += value > 0
        total = sum(worth)
        if total <= 0:
            return scores
        brief = np.minimum(matched / self._lengths, 1)
        return (scores / total * (1 - BREVITY + BREVITY * brief)).astype(np.float32)

    def _postings(self, stem: str) -> NDArray[np.int32]:
        number = self._number[stem]
        return self._rows[self._starts[number] : self._starts[number + 1]]


def worth_of(words: Words, rows: int, said: Sequence[int]) -> list[float]:
    """Return what it is worth to say each of the groups and literal words, where `said` of so many rows do.

    A literal word that none says is worth nothing.
    """
    idf = [math.log(1 + rows / (count + 1)) for count in said]
    return [value if i < len(words.groups) or said[i] else 0.0 for i, value in enumerate(idf)]


def _texts(rows: pa.Table) -> pa.Array:
    """Return each row's texts joined, in lower case."""
    parts = []
    for name in WORD_COLUMNS[:-1]:
        column: Any = rows[name].combine_chunks() if isinstance(rows[name], pa.ChunkedArray) else rows[name]
        if name == "colours":
            column = _main_colours(column.to_pylist(), rows["colour_shares"].to_pylist())
        elif name in ("tags", "attributes"):
            column = _values(column)
        parts.append(pc.fill_null(column, ""))
    joined = pc.binary_join_element_wise(*parts, " ")
    return pc.utf8_lower(pc.utf8_normalize(joined, form="NFKC"))


def _main_colours(names: Sequence[Sequence[str]], shares: Sequence[Sequence[float]]) -> pa.Array:
    """Return the colours people would call each row's item."""
    return pa.array(
        [
            " ".join(
                name for i, (name, share) in enumerate(zip(*row, strict=True)) if i == 0 or share >= MAIN_COLOUR_SHARE
            )
            for row in zip(names, shares, strict=True)
        ],
        pa.string(),
    )


def _values(column: pa.Array) -> pa.Array:
    """Return the values of JSON objects, without their names."""
    coded = column.dictionary_encode()
    values = [" ".join(map(str, json.loads(text).values())) for text in coded.dictionary.to_pylist()]
    return pa.array(values, pa.string()).take(coded.indices)


def best_rows(
    scores: NDArray[np.float32], k: int, keys: NDArray[np.int32], allowed: NDArray[np.bool_] | None, first: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the rows with the best scores above 0 and those scores, best first, equal ones in order.

    `scores` and `allowed` are of the rows from `first` on. Of rows of one key, of all rows, the best counts; those are
    the `k` best keys, and what ties with the last.
    """
    kept = scores > 0 if allowed is None else (scores > 0) & allowed
    rows = np.flatnonzero(kept)
    values = scores[rows].astype(np.float64).round(5)
    order = np.argsort(-values, kind="stable")
    rows, values = rows[order] + first, values[order]
    _, firsts = np.unique(keys[rows], return_index=True)
    firsts.sort()
    if len(firsts) > k:
        firsts = firsts[values[firsts] >= values[firsts[k - 1]]]
    return rows[firsts], values[firsts]
