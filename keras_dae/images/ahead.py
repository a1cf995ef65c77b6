"""Prefetch items in threads."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Key = tuple[int, int]


class Ahead:
    """Draws the next items in threads. Threads do not affect what an item contains.

    Args:
        draw: (epoch, index) -> the item; called in a thread.
        items: number of items to prefetch, each in its own thread.

    Attributes:
        waiting: items that are drawn or being drawn, by epoch and index.
    """

    def __init__(self, draw: Callable[[int, int], Any], items: int) -> None:
        self.items, self._draw = items, draw
        self._threads = ThreadPoolExecutor(items)
        self.waiting: dict[Key, Future[Any]] = {}

    def get(self, key: Key, count: int) -> Any:
        """Return item `key`, of `count` in its epoch, and start to draw the next ones.

        The next items follow in the same epoch. After the last one they are the first
        of the next epoch, so that they are drawn during validation.
        """
        # Items are stored by key, since fit requests some of them twice and out of
        # order.
        if key not in self.waiting:
            self._keep([key])
        item = self.waiting[key].result()
        epoch, index = key
        if index + 1 < count:
            last = min(count, index + 1 + self.items)
            self._keep([(epoch, after) for after in range(index + 1, last)])
        else:
            self._keep([(epoch + 1, first) for first in range(min(count, self.items))])
        return item

    def _keep(self, keys: list[Key]) -> None:
        """Start to draw these items if they are missing; discard all others."""
        for key in self.waiting.keys() - keys:
            self.waiting.pop(key).cancel()
        for key in keys:
            if key not in self.waiting:
                self.waiting[key] = self._threads.submit(self._draw, *key)
