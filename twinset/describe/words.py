"""What a shopper's words ask for, in English and Korean: colours, types, genders, attributes, and what is unwanted.

Words come from taxonomy.toml and lexicon.toml; those that neither knows, such as brands, are kept as they are.
"""

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from twinset.store.texts import Words, word_stems
from twinset.taxonomy import Taxonomy, default_taxonomy, fold

LONGEST_PHRASE = 3  # words


@dataclass(frozen=True, slots=True)
class Concept:
    """One thing that words ask for."""

    field: str  # colour, category, article_type, gender or attributes.NAME
    value: str
    said: tuple[str, ...]  # words, as `word_stems` gives them, with which a product says it
    category: str | None = None  # of a category or an article type


@dataclass(frozen=True, slots=True)
class Asked:
    """What some words ask for."""

    wanted: tuple[Concept, ...] = ()
    unwanted: tuple[Concept, ...] = ()
    rest: tuple[str, ...] = ()  # other words, as `word_stems` gives them
    without: tuple[str, ...] = ()  # other words that are unwanted
    literal: tuple[str, ...] = ()  # the words of what is wanted, as they were said

    @property
    def category(self) -> str | None:
        """The category asked for, None for none or several."""
        named = {concept.category for concept in self.wanted if concept.category}
        return named.pop() if len(named) == 1 else None

    def values(self, field: str) -> tuple[str, ...]:
        """Return what is wanted of a field."""
        return tuple(concept.value for concept in self.wanted if concept.field == field)

    def words(self) -> Words:
        """Return what a product's texts are searched for: what is wanted, each in all words for it, and as said."""
        return Words((*(concept.said for concept in self.wanted), *((stem,) for stem in self.rest)), self.literal)


@dataclass(frozen=True, slots=True)
class Lexicon:
    """Words by what they mean."""

    concepts: Mapping[str, Concept]  # folded phrase -> what it means
    titles: Mapping[str, Mapping[str, tuple[str, ...]]]  # attribute -> value -> a title's words that say so
    tags: Mapping[str, Mapping[str, tuple[str, ...]]]  # attribute -> value -> values of the feed's column of that name
    genders: Mapping[str, str]  # word stem -> gender
    negate_next: frozenset[str]
    negate_last: frozenset[str]
    joins: frozenset[str]
    plus: frozenset[str]
    silent: frozenset[str]
    particles: tuple[str, ...]


def default_lexicon() -> Lexicon:
    """Return the lexicon Twinset ships."""
    return lexicon_of(default_taxonomy())


@lru_cache(maxsize=4)
def lexicon_of(taxonomy: Taxonomy) -> Lexicon:
    """Return the words of a model's taxonomy and of lexicon.toml."""
    return make_lexicon(_own_words(), taxonomy)


@cache
def _own_words() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_name("lexicon.toml").read_text(encoding="utf-8"))


def make_lexicon(data: Mapping[str, Any], taxonomy: Taxonomy) -> Lexicon:
    """Return the lexicon of a parsed lexicon.toml and a taxonomy."""
    concepts: dict[str, Concept] = {}

    def add(field: str, value: str, words: Iterable[str], category: str | None = None) -> None:
        kept = list(dict.fromkeys(words))
        stems = dict.fromkeys("".join(word_stems(word)) for word in kept)
        singles = {stem for word in kept if len(word_stems(word)) == 1 for stem in word_stems(word)}
        concept = Concept(field, value, tuple(stem for stem in stems if stem in singles), category)
        for word in kept:
            concepts.setdefault("".join(word_stems(word)), concept)

    for name, entry in data["attributes"].items():
        for value, words in entry.items():
            add(f"attributes.{name}", value, (*words["words"], *words.get("titles", ()), *words.get("tags", ())))
    for gender, words in data["genders"].items():
        add("gender", gender, words)
    for colour, names in taxonomy.colours.items():
        also = [word for word, base in taxonomy.colour_names.items() if base == colour]
        add("colour", colour, (colour, *names, *data["colours"].get(colour, ()), *also))
    for kind in taxonomy.article_types:
        words = [word for word, name in taxonomy.type_names.items() if name == kind.name]
        add("article_type", kind.name, (kind.name, kind.en, kind.ko, *words), kind.category)
    for category in taxonomy.categories:
        add("category", category.name, (category.name, category.en, category.ko), category.name)
    negation, silent = data["negation"], data["silent"]
    attributes = data["attributes"].items()
    return Lexicon(
        concepts,
        {name: {v: tuple(w.get("titles", ())) for v, w in entry.items()} for name, entry in attributes},
        {name: {v: tuple(w["tags"]) for v, w in entry.items() if "tags" in w} for name, entry in attributes},
        {stem: gender for gender, words in data["genders"].items() for word in words for stem in word_stems(word)},
        frozenset(negation["before"]),
        frozenset(negation["after"]),
        frozenset(negation["joins"]),
        frozenset(negation["plus"]),
        frozenset(silent["words"]),
        tuple(sorted(silent["particles"], key=len, reverse=True)),
    )


def read_words(text: str, lexicon: Lexicon | None = None) -> Asked:
    """Return what a text asks for. A text of no words asks for nothing."""
    known = lexicon or default_lexicon()
    words = re.findall(r"[^\W_]+(?:-[^\W_]+)*", unicodedata.normalize("NFKC", text).lower())
    found: list[tuple[Concept | str, bool]] = []  # and whether it is unwanted
    said: list[tuple[str, ...]] = []  # the words of each
    negated, place = False, 0
    while place < len(words):
        word = words[place]
        concept, length = _longest(words[place:], known)
        if concept is None and word in known.negate_next:
            negated = True
        elif concept is None and word in known.negate_last:
            found[-1:] = [(what, True) for what, _ in found[-1:]]
        elif concept is not None:
            found.append((concept, negated))
            said.append(tuple(stem for each in words[place : place + length] for stem in word_stems(each)))
        elif word in known.silent or word in known.joins:
            negated = negated and word not in known.plus
        else:
            found += [(stem, negated) for stem in word_stems(word)]
            said += [()] * (len(found) - len(said))
        place += length
    literal = (stem for stems, (_, no) in zip(said, found, strict=True) if not no for stem in stems)
    return Asked(
        tuple(dict.fromkeys(what for what, no in found if isinstance(what, Concept) and not no)),
        tuple(dict.fromkeys(what for what, no in found if isinstance(what, Concept) and no)),
        tuple(dict.fromkeys(what for what, no in found if isinstance(what, str) and not no)),
        tuple(dict.fromkeys(what for what, no in found if isinstance(what, str) and no)),
        tuple(dict.fromkeys(literal)),
    )


def gender_of(texts: Iterable[str], lexicon: Lexicon | None = None) -> str | None:
    """Return the gender some texts name, None for none or several."""
    known = (lexicon or default_lexicon()).genders
    named = {known[stem] for text in texts for stem in word_stems(text) if stem in known}
    return named.pop() if len(named) == 1 else None


def _longest(words: Sequence[str], lexicon: Lexicon) -> tuple[Concept | None, int]:
    """Return what the longest phrase at the start means and how many words it has; None and 1 for none."""
    for length in range(min(LONGEST_PHRASE, len(words)), 0, -1):
        key = "".join(stem for word in words[:length] for stem in word_stems(word))
        if key in lexicon.concepts:
            return lexicon.concepts[key], length
    word = words[0]
    for particle in lexicon.particles:
        key = fold(word.removesuffix(particle))
        if word.endswith(particle) and key in lexicon.concepts:
            return lexicon.concepts[key], 1
    return None, 1
