"""Copies become one result: files that are the same, or nearly, but for how they were saved.

Files of one content are. Beyond that:

Images are copies if their fingerprints are of one picture (:mod:`.fingerprint`),
and if they do not say that they were taken at different times: of a series, each is its own.
Of those that an older nmm indexed there is no fingerprint. They are copies if they have one
shape and vectors that are nearly equal, which finds fewer.

Texts are copies if the passages that were found, and the texts as a whole, have the same words but
for a few, and the same numbers. So the same licence at the head of two programs does not make
them one, nor does one form in which two amounts were filled in. Vectors do not see such amounts.

`bench/relevance.py` prints how many copies become one by that, and how many other files.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from nmm.index.media.image.fingerprint import copies as copies_among
from nmm.index.store.catalog.comparison_data import Look, looks, passages
from nmm.index.store.catalog.file_vectors import content_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Hit

# Results from the first on among which copies are looked for; more are not compared.
MAX_COMPARED = 512
# The least cosine of two pictures without fingerprints. Of `mini`, half the copies are above,
# and so are clock faces that show different times.
MIN_IMAGE_COSINE = 0.998
# By how much the shapes (width by height) of such pictures may differ.
MAX_ASPECT_DIFFERENCE = 0.01
# The least part of all words of two texts that is in both.
MIN_WORD_OVERLAP = 0.9
WORD = re.compile(r"\w+")
# Of a passage's words, by which most of the others are told from it.
SIGNATURE_BITS = 256
# Passages of a text that are compared, at most.
MAX_PASSAGES = 256


def collapse_duplicates(catalog: Catalog, hits: Sequence[Hit]) -> list[list[int]]:
    """Places in a ranked list, those of copies together.

    Args:
        catalog: The index.
        hits: Files, best first.

    Returns:
        Groups in the order of their best, each best first; every place is in one of them.

    Raises:
        CatalogError: The catalog cannot be read.
    """
    by_content: dict[int, list[int]] = {}
    for place, hit in enumerate(hits):
        by_content.setdefault(hit.content, []).append(place)
    firsts = [places[0] for places in by_content.values()]
    leader = {place: place for place in firsts}
    for kind, copies in (("image", _image_copies), ("text", _text_copies)):
        some = [place for place in firsts[:MAX_COMPARED] if hits[place].kind == kind]
        if len(some) > 1:
            for copy, of in copies(catalog, [hits[place] for place in some]).items():
                leader[some[copy]] = some[of]
    groups: dict[int, list[int]] = {}
    for place in firsts:
        groups.setdefault(leader[place], []).extend(by_content[hits[place].content])
    return [sorted(group) for group in groups.values()]


def _image_copies(catalog: Catalog, hits: Sequence[Hit]) -> dict[int, int]:
    """By its number, of which other one before it an image is a copy."""
    known = looks(catalog, [hit.content for hit in hits])
    seen = [known.get(hit.content, Look(None, None)) for hit in hits]
    prints = [look.fingerprint or b"" for look in seen]
    bare = [hit.content for hit, print_ in zip(hits, prints, strict=True) if not print_]
    # One without is compared by vectors to all.
    vectors = content_vectors(catalog, [hit.content for hit in hits]) if bare else None
    alike = copies_among(prints)
    copy_of: dict[int, int] = {}
    originals: list[int] = []
    for number, (hit, look) in enumerate(zip(hits, seen, strict=True)):
        for other in originals:
            if prints[number] and prints[other]:
                copies = other in alike[number]
            else:
                copies = _is_one_shape(hit, hits[other]) and (
                    vectors is not None
                    and float(vectors[number] @ vectors[other]) >= MIN_IMAGE_COSINE
                )
            if copies and not taken_at_different_times(look, seen[other]):
                copy_of[number] = other
                break
        else:
            originals.append(number)
    return copy_of


def taken_at_different_times(one: Look, other: Look) -> bool:
    """Whether two pictures say that they were taken at different times."""
    return None not in (one.taken_at, other.taken_at) and one.taken_at != other.taken_at


def _is_one_shape(one: Hit, other: Hit) -> bool:
    if not (one.width and one.height and other.width and other.height):
        return False
    ratio = one.width * other.height / (one.height * other.width)
    return abs(ratio - 1) <= MAX_ASPECT_DIFFERENCE


def _text_copies(catalog: Catalog, hits: Sequence[Hit]) -> dict[int, int]:
    """By its number, of which other one before it a text is a copy."""
    words = [WordSet([hit.text or ""]) for hit in hits]
    whole: dict[int, WordSet] = {}
    copy_of: dict[int, int] = {}
    for number, hit in enumerate(hits):
        for other in range(number):
            if other in copy_of or not is_near_duplicate_text(words[number], words[other]):
                continue
            for content in {hit.content, hits[other].content} - whole.keys():
                whole[content] = WordSet(passages(catalog, content, MAX_PASSAGES))
            if is_near_duplicate_text(whole[hit.content], whole[hits[other].content]):
                copy_of[number] = other
                break
    return copy_of


class WordSet:
    """The words of some passages.

    Attributes:
        total: How many there are.
        bits: One for each word, which it may share with others: where two passages differ in
            one, a word is in one of them alone.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        words = self._words()
        self.total = len(words)
        self.bits = 0
        for word in set(words):
            self.bits |= 1 << hash(word) % SIGNATURE_BITS

    @cached_property
    def counts(self) -> Counter[str]:
        """How often each is there; most passages are told apart without."""
        return Counter(self._words())

    def _words(self) -> list[str]:
        return [word for text in self._texts for word in WORD.findall(text.casefold())]


def is_near_duplicate_text(one: WordSet, other: WordSet) -> bool:
    """Whether two passages have the same words but for a few, and the same numbers."""
    most, both = one.total, other.total
    if not MIN_WORD_OVERLAP * most <= both <= most / MIN_WORD_OVERLAP:  # for speed
        return False
    # So many are in both, at most, and so many in one of them alone, at least: for speed, too.
    shared = min(most, both)
    if shared < MIN_WORD_OVERLAP * (shared + (one.bits ^ other.bits).bit_count()):
        return False
    if shared < MIN_WORD_OVERLAP * (shared + len(one.counts.keys() ^ other.counts.keys())):
        return False
    common = (one.counts & other.counts).total()
    if not most or common < MIN_WORD_OVERLAP * (most + both - common):
        return False
    return all(word.isalpha() for word in (one.counts - other.counts) + (other.counts - one.counts))
