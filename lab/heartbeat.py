# SPDX-License-Identifier: Apache-2.0
"""What the beats of the lab's guest on its serial line tell about a migration.

The guest sends a letter every 10 ms, a to j in turn, and before each hundredth its counters (see
guest.S). A Recorder reads the logs of that line on all hosts as they grow and keeps when each
beat was seen; a Crowd does so for many guests. *Blackout* is the time from the last beat in one
log to the first in another; *brownout* the beats that are missing while the guest runs. Any log
of the line will do, the console.log of an OpenStack compute as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence
import contextlib
import itertools
import os
import pathlib
import threading
import time
from types import TracebackType
from typing import NamedTuple

BEAT_S = 0.01
_LETTERS = b'abcdefghij'
_LOOK_S = 0.004


class Beat(NamedTuple):
    """One beat: when it was seen (time.monotonic), in which log, its number modulo 10.

    :param after_s: the look before, which had not seen it; long before at_s on a busy machine
    """

    at_s: float
    log: int
    number: int
    after_s: float


class Mark(NamedTuple):
    """The guest's counters: beats sent and pages written (both modulo 2^32), when and where."""

    at_s: float
    log: int
    beats: int
    pages: int


class Switch(NamedTuple):
    """The guest went from one log to another.

    :param blackout_ms: from the last beat there to the first here, as they were seen
    :param least_ms: what it was at least, however late they were seen
    :param most_ms: what it was at most
    :param same_guest: the first beat here is the one that follows the last one there
    """

    at_s: float
    source: int
    destination: int
    blackout_ms: float
    least_ms: float
    most_ms: float
    same_guest: bool


class Parser:
    """Reads the serial line; a log may begin and end anywhere."""

    def __init__(self) -> None:
        self._line = b''
        self._head = False

    def feed(self, data: bytes) -> list[int | tuple[int, int]]:
        """Return what is new, in order: a beat's number modulo 10, or the two counters."""
        found: list[int | tuple[int, int]] = []
        for byte in data:
            if byte == 10:
                self._line, self._head = b'', True
            elif self._head:
                self._line += bytes((byte,))
                words = self._line.split(b' ')
                if not all(not word or word.isdigit() for word in words):
                    self._head = False      # a line of text, e.g. the guest's greeting
                    self._line = b'text'
                elif len(words) == 3:
                    self._head, self._line = False, b''
                    found.append((int(words[0]), int(words[1])))
            elif byte in _LETTERS and self._line != b'text':
                found.append(byte - 97)
        return found


class _Log:
    """One log that may not exist yet, may be cut short, or replaced by a new file."""

    def __init__(self, path: pathlib.Path, from_start: bool) -> None:
        self.path = path
        self.parser = Parser()
        self._fd: int | None = None
        self._skip = not from_start

    def read(self) -> bytes:
        if self._fd is None:
            try:
                self._fd = os.open(self.path, os.O_RDONLY)
            except FileNotFoundError:
                self._skip = False
                return b''
            if self._skip:
                os.lseek(self._fd, 0, os.SEEK_END)
        data = os.read(self._fd, 1 << 20)
        if not data:
            self._renew()
        return data

    def _renew(self) -> None:
        assert self._fd is not None
        status = os.fstat(self._fd)
        with contextlib.suppress(FileNotFoundError):
            if not os.path.samestat(status, os.stat(self.path)):
                self.close()
                self._skip, self.parser = False, Parser()
                return
        if status.st_size < os.lseek(self._fd, 0, os.SEEK_CUR):
            os.lseek(self._fd, 0, os.SEEK_SET)
            self.parser = Parser()

    def close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Beats:
    """What is seen of one guest in its serial logs, whenever someone looks.

    :param logs: one log for each host that the guest may be on; they need not exist yet
    :param from_start: also read what the logs have already (seen "now")
    """

    def __init__(self, *logs: pathlib.Path | str, from_start: bool = False) -> None:
        self._logs = [_Log(pathlib.Path(log), from_start) for log in logs]
        self._beats: list[Beat] = []
        self._marks: list[Mark] = []
        self._looked_s = float('-inf')
        self.look()

    def look(self) -> None:
        """Read what is new in the logs; never two at a time."""
        before_s, self._looked_s = self._looked_s, time.monotonic()
        for index, log in enumerate(self._logs):
            data = log.read()
            now = time.monotonic()
            for found in log.parser.feed(data) if data else ():
                if isinstance(found, tuple):
                    self._marks.append(Mark(now, index, *found))
                else:
                    self._beats.append(Beat(now, index, found, before_s))

    def close(self) -> None:
        """Close the logs, when nobody looks any more; what was seen stays available."""
        for log in self._logs:
            log.close()

    def beats(self, log: int | None = None) -> list[Beat]:
        """Return the beats seen so far, of one log or of all, in order."""
        return [beat for beat in list(self._beats) if log is None or beat.log == log]

    def marks(self) -> list[Mark]:
        """Return the guest's counters as seen so far, in order."""
        return list(self._marks)

    def switches(self) -> list[Switch]:
        """Return each change from one log to another."""
        beats = list(self._beats)
        return [Switch(new.at_s, old.log, new.log, (new.at_s - old.at_s) * 1000,
                       max(0.0, new.after_s - old.at_s) * 1000, (new.at_s - old.after_s) * 1000,
                       new.number == (old.number + 1) % 10)
                for old, new in itertools.pairwise(beats) if old.log != new.log]

    @property
    def blackout_ms(self) -> float | None:
        """The blackout of the last switch in ms, to about 10 ms; None if there was none."""
        switches = self.switches()
        return switches[-1].blackout_ms if switches else None

    @property
    def least_blackout_ms(self) -> float | None:
        """What the last switch's blackout was at least, in ms, however late it was seen."""
        switches = self.switches()
        return switches[-1].least_ms if switches else None

    def longest_gap_ms(self, since_s: float = 0.0, until_s: float = float('inf')) -> float:
        """Return the longest time without a beat, in ms, among beats in a span of time."""
        seen = [beat.at_s for beat in list(self._beats) if since_s <= beat.at_s <= until_s]
        return max((b - a for a, b in itertools.pairwise(seen)), default=0.0) * 1000

    @property
    def longest_stop_ms(self) -> float:
        """The longest time without a beat between two beats of one log, in ms."""
        return max((new.at_s - old.at_s for old, new in itertools.pairwise(list(self._beats))
                    if old.log == new.log), default=0.0) * 1000

    def lost(self, since_s: float, until_s: float) -> int:
        """Return how many beats are missing in a span of time; blackouts in it do not count."""
        seen = [beat.at_s for beat in list(self._beats) if since_s <= beat.at_s <= until_s]
        dark = sum(switch.blackout_ms / 1000 for switch in self.switches()
                   if since_s <= switch.at_s <= until_s)
        return max(0, round((until_s - since_s - dark) / BEAT_S) - len(seen))

    def wait_for_beats(self, count: int = 1, log: int | None = None,
                       timeout: float = 120.0) -> bool:
        """Wait until that many more beats have come; returns False if they do not in time (s)."""
        goal = len(self.beats(log)) + count
        end = time.monotonic() + timeout
        while len(self.beats(log)) < goal:
            if time.monotonic() > end:
                return False
            time.sleep(BEAT_S)
        return True


class _Following:
    """A thread that looks at guests until it is stopped."""

    def __init__(self, followed: Sequence[Beats], look_s: float) -> None:
        self._followed = followed
        self._look_s = look_s
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name='heartbeat', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join()
        for one in self._followed:
            one.close()

    def _run(self) -> None:
        while not self._end.wait(self._look_s):
            for one in self._followed:
                one.look()


class Recorder(Beats):
    """Follows the serial logs of one guest on a thread of its own, from now on.

    :param logs: one log for each host that the guest may be on; they need not exist yet
    :param from_start: also read what the logs have already (seen "now")
    """

    def __init__(self, *logs: pathlib.Path | str, from_start: bool = False) -> None:
        super().__init__(*logs, from_start=from_start)
        self._following = _Following((self,), _LOOK_S)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop following; what was seen stays available."""
        self._following.stop()


class Crowd:
    """Follows the serial logs of many guests on one thread, from now on.

    It looks as often as they beat: a thread for each of a dozen guests would take a good part of
    a processor from them.

    :param logs: those of each guest, see Beats
    """

    def __init__(self, logs: Iterable[Sequence[pathlib.Path | str]]) -> None:
        self.guests = [Beats(*one) for one in logs]
        self._following = _Following(self.guests, BEAT_S)

    def stop(self) -> None:
        """Stop following; what was seen stays available."""
        self._following.stop()
