# SPDX-License-Identifier: Apache-2.0
"""Says from time to time what is under way, and for how long: a line for all of it."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import pathlib
import sys
import threading
import time

EVERY_S = 30.0


@dataclasses.dataclass
class _Entry:
    what: str
    since: float
    told: pathlib.Path | None


class Board:
    """What is under way, by name; may be used by many threads."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()
        self._over = threading.Event()

    def set(self, name: str, what: str, told: pathlib.Path | None = None) -> None:
        """Note what is done under a name from now on.

        :param told: a file in which who does it writes what it waits for
        """
        with self._lock:
            self._entries[name] = _Entry(what, time.monotonic(), told)

    def update(self, name: str, what: str) -> None:
        """Note how far that is that is done under a name."""
        with self._lock:
            self._entries[name].what = what

    def clear(self, name: str) -> None:
        """Forget a name."""
        with self._lock:
            self._entries.pop(name, None)

    def line(self, now: float) -> str:
        """Return what is under way at a time of the monotonic clock; '' if nothing is."""
        with self._lock:
            entries = sorted(self._entries.items())
        parts = []
        for name, entry in entries:
            waits = _read(entry.told)
            words = [f'{name}:', entry.what, f'({waits})' if waits else '',
                     f'{now - entry.since:.0f} s']
            parts.append(' '.join(word for word in words if word))
        return f'.. {now - self._began:4.0f} s  {"; ".join(parts)}' if parts else ''

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Print the line each EVERY_S seconds, until the block is left."""
        thread = threading.Thread(target=self._show, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _show(self) -> None:
        while not self._over.wait(EVERY_S):
            line = self.line(time.monotonic())
            if line:
                say(line)


def say(lines: str) -> None:
    """Print in one piece: what runs at the same time prints, too."""
    sys.stdout.write(f'{lines}\n')
    sys.stdout.flush()


def _read(path: pathlib.Path | None) -> str:
    try:
        return path.read_text().strip() if path else ''
    except OSError:
        return ''
