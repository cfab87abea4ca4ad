# SPDX-License-Identifier: Apache-2.0
"""A heap from which anything can be taken out, and in which anything can be moved."""

from __future__ import annotations

from collections import abc
import heapq
import typing

K = typing.TypeVar('K', bound=abc.Hashable)

#: entries that are out of date are thrown away when there are more of them than others, and these
_SPARE = 16


class Heap(typing.Generic[K]):
    """Keys by their ranks, the lowest first; of equal ranks the lower key is first.

    Each change takes O(log n), taken over many of them: an entry that was moved or taken out stays
    until it comes to the top, or until there are too many of its kind.
    """

    def __init__(self) -> None:
        self._ranks: dict[K, float] = {}
        self._heap: list[tuple[float, K]] = []

    def __len__(self) -> int:
        return len(self._ranks)

    def __contains__(self, key: object) -> bool:
        return key in self._ranks

    def put(self, key: K, rank: float) -> None:
        """Add a key, or move it."""
        self._ranks[key] = rank
        heapq.heappush(self._heap, (rank, key))
        if len(self._heap) > 2 * len(self._ranks) + _SPARE:
            self._heap = [(rank, key) for key, rank in self._ranks.items()]
            heapq.heapify(self._heap)

    def drop(self, key: K) -> float | None:
        """Take a key out, if it is there; return its rank."""
        return self._ranks.pop(key, None)

    def rank(self, key: K) -> float | None:
        """Return a key's rank, or None where it is not there."""
        return self._ranks.get(key)

    def first(self) -> tuple[float, K] | None:
        """Return the lowest rank and its key, or None where there are none."""
        heap, ranks = self._heap, self._ranks
        while heap:
            rank, key = heap[0]
            if ranks.get(key) == rank:
                return heap[0]
            heapq.heappop(heap)
        return None

    def until(self, rank: float) -> abc.Iterator[K]:
        """Take out all keys up to a rank, one after the other; others may be put in meanwhile."""
        while (first := self.first()) is not None and first[0] <= rank:
            self.drop(first[1])
            yield first[1]

    def in_order(self) -> list[K]:
        """Return all keys, the lowest rank first."""
        return [key for _, key in sorted((rank, key) for key, rank in self._ranks.items())]
