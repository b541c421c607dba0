"""Merge near-duplicate files: files whose content is the same or nearly the same.

Files with the same content are duplicates.

Images are near-duplicates if their fingerprints match (:mod:`nmm.index.media.image.fingerprint`),
unless they were taken at different times: each image of a series stays a separate result. Images
that an older nmm indexed have no fingerprint. They are near-duplicates if they have the same aspect
ratio and nearly equal vectors, which finds fewer.

Texts are near-duplicates if the passages that were found and the texts as a whole have almost the
same words and the same numbers. So two programs that begin with the same licence are two
results, and so are two copies of a form with different amounts. Vectors do not show such
differences.

`bench/relevance.py` prints how many near-duplicates are merged, and how many other files.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING

from nmm.index.media.image.fingerprint import copies as copies_among
from nmm.index.store.catalog.comparison_data import Appearance, appearances, passages
from nmm.index.store.catalog.file_vectors import content_vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nmm.index.store.catalog.reader import Catalog
    from nmm.index.store.catalog.types import Hit

# Number of first results that are compared.
MAX_COMPARED = 512
# Minimum cosine of two images without fingerprints. With `mini`, half of the copies exceed it, and
# so do clock faces that show different times.
MIN_IMAGE_COSINE = 0.998
# Maximum relative difference of the aspect ratios of such images.
MAX_ASPECT_DIFFERENCE = 0.01
# Minimum proportion of the words of two texts that both contain.
MIN_WORD_OVERLAP = 0.9
WORD = re.compile(r"\w+")
# Bits of the signature of a passage's words. Most pairs already differ in it.
SIGNATURE_BITS = 256
# Maximum number of passages of a text that are compared.
MAX_PASSAGES = 256


def collapse_duplicates(catalog: Catalog, hits: Sequence[Hit]) -> list[list[int]]:
    """Group the positions of a ranked list so that near-duplicates are together.

    Args:
        catalog: The index's.
        hits: Files, best first.

    Returns:
        Groups in the order of their best files, each best first. Every position is in one group.

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
    """Return the number of the earlier near-duplicate of each image that has one."""
    known = appearances(catalog, [hit.content for hit in hits])
    seen = [known.get(hit.content, Appearance(None, None)) for hit in hits]
    prints = [look.fingerprint or b"" for look in seen]
    bare = [hit.content for hit, print_ in zip(hits, prints, strict=True) if not print_]
    # An image without a fingerprint is compared with all others by vector.
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


def taken_at_different_times(one: Appearance, other: Appearance) -> bool:
    """Return whether the metadata of two images have different times."""
    return None not in (one.taken_at, other.taken_at) and one.taken_at != other.taken_at


def _is_one_shape(one: Hit, other: Hit) -> bool:
    if not (one.width and one.height and other.width and other.height):
        return False
    ratio = one.width * other.height / (one.height * other.width)
    return abs(ratio - 1) <= MAX_ASPECT_DIFFERENCE


def _text_copies(catalog: Catalog, hits: Sequence[Hit]) -> dict[int, int]:
    """Return the number of the earlier near-duplicate of each text that has one."""
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
    """The words of some passages, for comparisons.

    Attributes:
        total: The number of words.
        bits: A signature with a bit for each word; words may share a bit. If two signatures differ
            in a bit, one of them contains a word that the other does not.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        words = self._words()
        self.total = len(words)
        self.bits = 0
        for word in set(words):
            # The hash differs between processes; a signature is never stored.
            self.bits |= 1 << hash(word) % SIGNATURE_BITS

    @cached_property
    def counts(self) -> Counter[str]:
        """The number of occurrences of each word. Most comparisons do not need it."""
        return Counter(self._words())

    def _words(self) -> list[str]:
        return [word for text in self._texts for word in WORD.findall(text.casefold())]


def is_near_duplicate_text(one: WordSet, other: WordSet) -> bool:
    """Return whether two passages have almost the same words, and the same numbers."""
    most, both = one.total, other.total
    if not MIN_WORD_OVERLAP * most <= both <= most / MIN_WORD_OVERLAP:  # a cheap bound
        return False
    # At most `shared` words are in both. At least one word for each differing bit is in only one.
    shared = min(most, both)
    if shared < MIN_WORD_OVERLAP * (shared + (one.bits ^ other.bits).bit_count()):
        return False
    if shared < MIN_WORD_OVERLAP * (shared + len(one.counts.keys() ^ other.counts.keys())):
        return False
    common = (one.counts & other.counts).total()
    if not most or common < MIN_WORD_OVERLAP * (most + both - common):
        return False
    return all(word.isalpha() for word in (one.counts - other.counts) + (other.counts - one.counts))
