"""Measure search quality by vectors and keywords, low-confidence results, and near-duplicates.

    python bench/relevance.py [--folder DIR] [--no-emoji]

DIR keeps the images and the indexes for the next run. The model is `mini`. Three collections are
searched: colour emoji with Unicode's names and keywords (`emoji_set.py` lists the required
packages), the sample data, and the documentation of numpy, a file per page. Three parts are
printed.

Retrieval: how often a right item is among the first k, and the recall at k, for each mode. A query
by name has one right item, a keyword or subgroup three to sixty.

Cut-offs: which of the first ten results each rule keeps. Recall is the share of the right ones
among the ten, precision that of the kept ones; `quiet` is the share of the queries without an
answer that keep nothing. Thresholds are chosen by the mean of F1 and `quiet`. A threshold is chosen
on one half of a collection's queries, and all rules are judged on the other half; `elsewhere`
thresholds are chosen on the two other collections, as one must for an unknown collection. All of
this is by meaning alone; results that contain all query words are kept in any case. The rule in use
and its two constants were chosen among dozens on these collections, on both halves, so its rows are
optimistic.

Copies: images and texts that were saved again, resized or changed a little, in one index with their
originals: how many are merged with them, and how many different files are merged.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from copies import print_copies
from emoji_set import SIGNS, Emoji, draw, read_emoji
from mini import documentation
from relevance_queries import NOTHING, SAMPLE
from report import Figure, note

from nmm.index.indexing.indexer import build
from nmm.index.search.engine import SearchEngine, open_search
from nmm.index.search.query import Query, SearchMode
from nmm.index.search.request import SearchRequest
from nmm.index.search.result import SearchResult
from nmm.index.store.catalog.reader import Catalog
from nmm.index.store.catalog.types import KINDS, Calibration
from nmm.index.store.layout import IndexFolder

QUICK = "--no-emoji"
SAMPLE_DATA = Path(__file__).parent.parent / "sample_data"
KEPT = Path(tempfile.gettempdir(), "nmm-bench-relevance")
# Queries of each sort for each mode; results considered; items reported.
QUERIES, DEEP, FIRST = 100, 60, 10
FEWEST, MOST = 3, 60
IN_USE, FLAT = "in use: against the query's level", "flat cosine, chosen elsewhere"

Queries = dict[str, set[str]]


class Collection(NamedTuple):
    """An index, what its files show, and queries with their right items."""

    folder: IndexFolder
    item: Callable[[str], str]
    queries: dict[str, Queries]


class Answer(NamedTuple):
    """The first results of a query: for each, whether it is right, its cosine and its score."""

    right: list[bool]
    cosine: list[float]
    score: list[float]
    strong: list[bool]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=KEPT, metavar="DIR")
    parser.add_argument("--emoji", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    started = time.monotonic()
    collections = {
        **({"emoji": emoji_collection(folder / "emoji")} if arguments.emoji else {}),
        "sample data": sample_collection(folder / "sample"),
        "numpy": numpy_collection(folder / "numpy"),
    }
    print(f"indexes ready after {time.monotonic() - started:.0f} s\n")
    print(f"{'':34}" + "".join(f"{name:>12}" for name in ("hit@1", "hit@10", "recall@10", "MRR")))
    for name, collection in collections.items():
        print_retrieval(name, collection)
    by_meaning, with_words = (
        {name: answer(collection, mode) for name, collection in collections.items()}
        for mode in (SearchMode.SEMANTIC, SearchMode.HYBRID)
    )
    print_cut_offs(by_meaning, with_words)
    if arguments.emoji:
        print_copies(folder / "copies", folder / "emoji")
        print_cost(collections["emoji"])
    else:
        print("\nno emoji, and so no copies of them and no times")
    print(f"\n{time.monotonic() - started:.0f} s")


def emoji_collection(folder: Path) -> Collection:
    drawn = draw(folder / "pictures", read_emoji())
    found = {one.item: one for one in drawn.values() if one.group not in SIGNS}
    every = list(found.values())
    names: dict[str, Queries] = {}
    for title, captioned in (("names, that pictures tell", True), ("names, untold", False)):
        some = [one.item for one in every if one.captioned is captioned]
        names[title] = {name: {name} for name in random.Random(0).sample(sorted(some), QUERIES)}
    return Collection(
        indexed(folder / "index", folder / "pictures"),
        lambda path: drawn[Path(path).name].item,
        {**names, "keywords and subgroups": keywords(every)},
    )


def keywords(every: Sequence[Emoji]) -> Queries:
    """Return the items of each keyword and subgroup that is neither rare nor too frequent."""
    items: Queries = defaultdict(set)
    for one in every:
        for word in {*one.keywords, one.subgroup.replace("-", " ")}:
            items[word].add(one.item)
    return {
        word: found
        for word, found in sorted(items.items())
        if FEWEST <= len(found) <= MOST and word.isascii() and len(word) > 2
    }


def sample_collection(folder: Path) -> Collection:
    queries = {query: set(right.split()) for query, right in SAMPLE.items()}
    shutil.rmtree(folder, ignore_errors=True)  # it may belong to another checkout
    return Collection(
        indexed(folder / "index", SAMPLE_DATA),
        lambda path: Path(path).relative_to(SAMPLE_DATA.resolve()).as_posix(),
        {"written by hand": queries},
    )


def numpy_collection(folder: Path) -> Collection:
    pages = folder / "pages"
    pages.mkdir(parents=True, exist_ok=True)
    queries: Queries = {}
    for number, (summary, passage) in enumerate(documentation()):
        name = f"{number:04}.txt"
        if not (pages / name).exists():
            (pages / name).write_text(passage, "utf-8")
        queries[summary] = {name}
    return Collection(
        indexed(folder / "index", pages), lambda path: Path(path).name, {"summaries": queries}
    )


def indexed(folder: Path, files: Path) -> IndexFolder:
    index = IndexFolder(folder)
    build([files], index, model="mini", offline=True)
    return index


def print_retrieval(name: str, collection: Collection) -> None:
    with open_search(collection.folder) as search:
        for title, every in collection.queries.items():
            some = random.Random(0).sample(sorted(every), min(QUERIES, len(every)))
            queries = {query: every[query] for query in some}
            print(f"{name}: {title}, {len(queries)} queries")
            hits = {}
            for mode in SearchMode:
                ranked = [
                    (items_of(search, collection, query, mode), right)
                    for query, right in queries.items()
                ]
                figures = retrieval(ranked)
                hits[mode] = figures[1]
                print(f"  {mode.value:32}" + "".join(f"{x:12.3f}" for x in figures))
            both, alone = hits[SearchMode.HYBRID], hits[SearchMode.SEMANTIC]
            what = f"{name}, {title}: hit@{FIRST} by meaning and words"
            note(Figure(what, both, "", "by meaning", alone, both / max(alone, 1e-9)))


def find(engine: SearchEngine, query: str, limit: int, **fields: Any) -> Sequence[SearchResult]:
    """Return the results for a text, with near-duplicates as separate results by default."""
    fields = {"collapse_duplicates": False, **fields}
    return engine.search(SearchRequest(query=Query.of_text(query), limit=limit, **fields)).results


def items_of(
    search: SearchEngine, collection: Collection, query: str, mode: SearchMode
) -> list[str]:
    """Return the items found, best first: of several images of one item, the first counts."""
    results = find(search, query, DEEP, mode=mode)
    return list(dict.fromkeys(collection.item(result.path) for result in results))


def retrieval(ranked: Sequence[tuple[list[str], set[str]]]) -> tuple[float, ...]:
    hits = [[item in right for item in items] for items, right in ranked]
    ranks = [found.index(True) + 1 if True in found else np.inf for found in hits]
    recalls = [
        sum(found[:FIRST]) / min(len(right), FIRST)
        for found, (_, right) in zip(hits, ranked, strict=True)
    ]
    return (
        float(np.mean([rank <= 1 for rank in ranks])),
        float(np.mean([rank <= FIRST for rank in ranks])),
        float(np.mean(recalls)),
        float(np.mean([1 / rank for rank in ranks])),
    )


def answer(collection: Collection, mode: SearchMode) -> tuple[list[Answer], list[Answer]]:
    """Return the first results of queries with a right item, and of queries without one."""
    queries = list(collection.queries.values())[-1]
    with Catalog.open(collection.folder.catalog) as catalog:
        scales = {kind: scale for kind in KINDS if (scale := catalog.calibration(kind))}
    with open_search(collection.folder) as search:

        def ask(query: str, right: set[str]) -> Answer:
            seen: set[str] = set()
            found = Answer([], [], [], [])
            for result in find(search, query, DEEP, mode=mode):
                item = collection.item(result.path)
                if item in seen or len(found.right) == FIRST:
                    continue
                seen.add(item)
                scale: Calibration = scales[result.type]
                found.right.append(item in right)
                found.cosine.append(result.score * scale.spread + scale.median)
                found.score.append(result.score)
                found.strong.append(not result.weak)
            return found

        answered = [ask(query, right) for query, right in queries.items()]
        return answered, [ask(query, set()) for query in NOTHING]


Rule = Callable[[Answer], Sequence[bool]]


Answers = dict[str, tuple[list[Answer], list[Answer]]]


def print_cut_offs(answers: Answers, with_words: Answers) -> None:
    print(f"\n{'cut-offs':36}{'precision':>12}{'recall':>12}{'quiet':>12}{'figure':>12}")
    halves = {
        name: [(some[part::2], none[part::2]) for part in range(2)]
        for name, (some, none) in answers.items()
    }
    for name, (chosen_on, judged_on) in halves.items():
        elsewhere = [half for other, both in halves.items() if other != name for half in both]
        rules: dict[str, Rule] = {"everything": lambda found: [True] * len(found.right)}
        for field in ("cosine", "score"):
            for title, some in (("here", [chosen_on]), ("elsewhere", elsewhere)):
                rules[f"flat {field}, chosen {title}"] = best_flat(field, some)
        rules[IN_USE] = lambda found: found.strong
        print(f"{name}, {len(judged_on[0])} queries and {len(judged_on[1])} with no answer")
        judged = {title: judge(rule, *judged_on) for title, rule in rules.items()}
        for title, figures in judged.items():
            print(f"  {title:34}" + "".join(f"{x:12.2f}" for x in figures))
        ours, theirs = judged[IN_USE][-1], judged[FLAT][-1]
        what = f"{name}: weak results told, mean of F1 and quiet"
        note(Figure(what, ours, "", FLAT, theirs, ours / max(theirs, 1e-9)))
        some, none = with_words[name]
        figures = judge(lambda found: found.strong, some[1::2], none[1::2])
        print(f"  {'the same of hybrid results':34}" + "".join(f"{x:12.2f}" for x in figures))


def best_flat(field: str, halves: Sequence[tuple[list[Answer], list[Answer]]]) -> Rule:
    """Return the threshold with the best mean figure over some halves."""
    values = np.concatenate([getattr(a, field) for half in halves for part in half for a in part])

    def above(threshold: float) -> Rule:
        return lambda found: [value >= threshold for value in getattr(found, field)]

    thresholds = np.quantile(values, np.linspace(0, 1, 120)).tolist()
    figures = [np.mean([judge(above(t), *half)[-1] for half in halves]) for t in thresholds]
    return above(thresholds[int(np.argmax(figures))])


def judge(rule: Rule, some: Sequence[Answer], none: Sequence[Answer]) -> tuple[float, ...]:
    """Return precision, recall, quiet, and the mean of F1 and quiet."""
    kept = [(rule(found), found.right) for found in some]
    hits = sum(k and r for keeps, right in kept for k, r in zip(keeps, right, strict=True))
    precision = hits / max(sum(sum(keeps) for keeps, _ in kept), 1)
    recall = hits / max(sum(sum(right) for _, right in kept), 1)
    quiet = float(np.mean([not any(rule(found)) for found in none]))
    f1 = 2 * precision * recall / max(precision + recall, 1e-9)
    return precision, recall, quiet, (f1 + quiet) / 2


def print_cost(collection: Collection) -> None:
    """Print the time of a search: the first in an open index, and later ones."""
    print(f"\n{'milliseconds of a search among the emoji':44}{'first':>10}{'others':>10}")
    for title, fold, relevant in (("plain", False, False), ("folded", True, False)):
        with open_search(collection.folder) as search:
            times = []
            for query in [*SAMPLE, *NOTHING]:
                started = time.perf_counter()
                find(search, query, FIRST, collapse_duplicates=fold, drop_weak=relevant)
                times.append(1000 * (time.perf_counter() - started))
        print(f"  {title:42}{times[0]:10.1f}{np.median(times[1:]):10.1f}")


if __name__ == "__main__":
    main()
