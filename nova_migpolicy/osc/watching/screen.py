# SPDX-License-Identifier: Apache-2.0
"""The display of watching: redrawn in place on a terminal, plain lines anywhere else.

A plain line is a time, the server's name where there are several, a word for the kind of the
line, and a sentence. The drawing is in `live`.
"""

from __future__ import annotations

from collections.abc import Sequence
import os
import time
from typing import Any, TextIO

from nova_migpolicy.osc.watching import watched
from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

Watch = watched.Watch


class Lines:
    """A display with one line for each new fact.

    :param many: begin each line with the server's name
    """

    def __init__(self, stream: TextIO, many: bool = False) -> None:
        self._stream = stream
        self._many = many

    def say(self, watch: Watch, lines: Sequence[watched.Line]) -> None:
        """Print the new lines of a migration."""
        for line in lines:
            who = f'{watch.name}: ' if self._many else ''
            self.tell(f'{who}{line.kind}: {line.text}', line.time)

    def tell(self, sentence: str, when: str = '') -> None:
        """Print a sentence with a time."""
        self._stream.write(f'{words.clock(when)} {sentence}\n')
        self._stream.flush()

    def draw(self, watches: Sequence[Watch]) -> None:
        """Print nothing: each line was printed when it was new."""

    def close(self) -> None:
        """Do nothing: nothing is buffered."""


class Live:
    """A picture that is redrawn in place.

    :param many: a line for each of several migrations, not many lines for one
    """

    def __init__(self, stream: TextIO, many: bool = False) -> None:
        # Here, not above: most commands do not draw, and need not wait for it.
        from rich import console
        from rich import live

        from nova_migpolicy.osc.watching import live as live_mod

        self._picture = live_mod
        self._many = many
        self._console = console.Console(file=stream, highlight=False, markup=False, emoji=False)
        self._live = live.Live(console=self._console, auto_refresh=False)
        self._story: list[tuple[str, watched.Line]] = []
        self._started = False

    def say(self, watch: Watch, lines: Sequence[watched.Line]) -> None:
        """Keep the new lines for the next picture; the status is in the picture anyway."""
        name = watch.name if self._many else ''
        told = (*vocabulary.NEWS, 'note', 'trouble')
        self._story.extend((name, line if line.time else _stamped(line)) for line in lines
                           if line.kind in told or (self._many and line.kind == 'outcome'))

    def tell(self, sentence: str, when: str = '') -> None:
        """Print a sentence above the picture, or below it when that is finished."""
        self._console.print(sentence)

    def draw(self, watches: Sequence[Watch]) -> None:
        """Draw all of them again."""
        if not self._started:
            self._live.start()
            self._started = True
        self._live.update(self._draw(watches), refresh=True)

    def close(self) -> None:
        """Leave the last picture standing."""
        if self._started:
            self._live.stop()
            self._started = False

    def _draw(self, watches: Sequence[Watch]) -> Any:
        size = self._console.size
        # Where lines end before the edge, a typed ^C does not push the picture down.
        width, height = min(words.WIDTH, size.width - len('^C')), size.height
        if self._many:
            return self._picture.several(watches, self._story, width, height)
        return self._picture.single(watches[0], self._story, width, height)


def choose(stream: TextIO, many: bool = False) -> Lines | Live:
    """Return the display that suits a stream."""
    if stream.isatty() and os.environ.get('TERM', 'dumb') != 'dumb':
        try:
            return Live(stream, many)
        except ImportError:
            pass    # Without rich, which only the extra "cli" brings: lines are as good.
    return Lines(stream, many)


def _stamped(line: watched.Line) -> watched.Line:
    now = time.strftime('%Y-%m-%dT%H:%M:%S+00:00', time.gmtime())
    return watched.Line(line.kind, line.text, now)
