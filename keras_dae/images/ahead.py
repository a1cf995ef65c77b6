"""Items that threads draw before they are asked for."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

Key = tuple[int, int]


class Ahead:
    """Draws the items to come in threads; what each item holds does not depend on it.

    Args:
        draw: (epoch, index) -> the item, called in a thread.
        items: items to draw ahead, each in a thread of its own.

    Attributes:
        waiting: the items that are drawn or being drawn, by epoch and index.
    """

    def __init__(self, draw: Callable[[int, int], Any], items: int) -> None:
        self.items, self._draw = items, draw
        self._threads = ThreadPoolExecutor(items)
        self.waiting: dict[Key, Future[Any]] = {}

    def get(self, key: Key, count: int) -> Any:
        """Return item `key`, of `count` in its epoch, and begin with those after it.

        They are those that follow in the epoch, and after its last one the first of the
        next epoch, while this epoch is validated.
        """
        # Kept by key, since fit asks for some batches twice and out of turn.
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
        """Draw these items where they are not there yet; forget all others."""
        for key in self.waiting.keys() - keys:
            self.waiting.pop(key).cancel()
        for key in keys:
            if key not in self.waiting:
                self.waiting[key] = self._threads.submit(self._draw, *key)
