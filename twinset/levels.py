"""A taxonomy seen coarser or finer: its groups, or its article types, as the categories that are found.

What data sets label follows. A source that labels only some of a group, or that has one word for several article types,
says nothing by not labelling them: such categories are `partial` in it.
"""

from collections.abc import Mapping
from dataclasses import replace

from twinset.errors import UsageError
from twinset.taxonomy import Category, Source, Taxonomy, fold

LEVELS = ("group", "category", "article-type")


def at_level(taxonomy: Taxonomy, level: str) -> Taxonomy:
    """Return the taxonomy whose categories are those of a level. Raises UsageError."""
    if level not in LEVELS:
        raise UsageError(f"--level: expected one of {', '.join(LEVELS)}, found {level!r}", field="level")
    if level == "category":
        return taxonomy
    return _groups(taxonomy) if level == "group" else _article_types(taxonomy)


def _groups(taxonomy: Taxonomy) -> Taxonomy:
    group_of = {category.name: category.group for category in taxonomy.categories}
    members = {
        group: [c for c in taxonomy.categories if c.group == group] for group in dict.fromkeys(group_of.values())
    }
    categories = tuple(
        Category(group, group, group, group, tuple(other for other in members if _apart(inside, members[other])))
        for group, inside in members.items()
    )
    sources = {}
    for name, source in taxonomy.sources.items():
        known = source.categories
        labels = {label: group_of[category] if category else None for label, category in source.labels.items()}
        partial = frozenset(g for g, inside in members.items() if not all(c.name in known for c in inside))
        sources[name] = Source(name, labels, partial)
    words = {word: group_of[category] if category else None for word, category in taxonomy.type_words.items()}
    words |= {fold(name): group for name, group in group_of.items()}
    words |= {fold(group): group for group in members}
    types = tuple(replace(kind, category=group_of[kind.category]) for kind in taxonomy.article_types)
    return replace(
        taxonomy, categories=categories, article_types=types, sources=sources, type_words=words, level="group"
    )


def _apart(inside: list[Category], others: list[Category]) -> bool:
    """Return whether no category of one group is worn beside one of the other."""
    return all(other.name in category.apart for category in inside for other in others)


def _article_types(taxonomy: Taxonomy) -> Taxonomy:
    of_category: dict[str, list[str]] = {category.name: [] for category in taxonomy.categories}
    for kind in taxonomy.article_types:
        of_category[kind.category].append(kind.name)
    apart = {
        category.name: [t for other in category.apart for t in of_category[other]] for category in taxonomy.categories
    }
    categories = tuple(
        Category(kind.name, kind.category, kind.en, kind.ko, tuple(apart[kind.category]))
        for kind in taxonomy.article_types
    )
    sources = {name: _typed(source, taxonomy, of_category) for name, source in taxonomy.sources.items()}
    words = {word: taxonomy.type_names.get(word) for word in taxonomy.type_words}
    known = {word: kind for word, kind in words.items() if kind or taxonomy.type_words[word] is None}
    types = tuple(replace(kind, category=kind.name) for kind in taxonomy.article_types)
    return replace(
        taxonomy, categories=categories, article_types=types, sources=sources, type_words=known, level="article-type"
    )


def _typed(source: Source, taxonomy: Taxonomy, of_category: Mapping[str, list[str]]) -> Source:
    """Return a source's labels as article types. One word for all types of a category names none of them."""
    labels: dict[str, str | None] = {}
    partial = {t for category, types in of_category.items() if category not in source.categories for t in types}
    spoken = [category for category in source.labels.values() if category]
    for label, category in source.labels.items():
        if category is None:
            labels[label] = None
            continue
        types = of_category[category]
        named = taxonomy.type_names.get(fold(label))
        if len(types) == 1:
            labels[label] = types[0]
        elif named in types and spoken.count(category) > 1:
            labels[label] = named
        else:
            labels[label] = None
            partial.update(types)
    return Source(source.name, labels, frozenset(partial))
