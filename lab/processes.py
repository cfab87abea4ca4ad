# SPDX-License-Identifier: Apache-2.0
"""Processes of the lab as seen from outside of its machines: found, watched and ended."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import os
import pathlib
import signal
import subprocess
import time


class Process:
    """A command left running in a machine."""

    def __init__(self, popen: subprocess.Popen[bytes], text: str) -> None:
        self._popen = popen
        self._text = text

    def __repr__(self) -> str:
        return f'<Process {self._text}>'

    @property
    def pid(self) -> int | None:
        """Its id as seen from outside, or None when it has ended."""
        while self.alive():
            found = child(self._popen.pid)
            if found is not None:
                return found
            time.sleep(0.002)       # it is being started
        return None

    def alive(self) -> bool:
        """Tell whether it still runs."""
        return self._popen.poll() is None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, in seconds; returns the exit code."""
        return self._popen.wait(timeout)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, number)


def kill(holder: int) -> None:
    """Kill process 1 of the namespace that an `unshare` holds; wait until all in it is gone."""
    inside = child(holder)
    space = link(f'/proc/{inside}/ns/pid') if inside else None
    # The holder is left to see its child's end and to end itself: the child would stay a zombie.
    with contextlib.suppress(ProcessLookupError):
        os.kill(inside or holder, signal.SIGKILL)
    # A stopped process inside has stopped the `nsenter` that waits for it outside, too: that one
    # must go on to see its end, or process 1 never ends.
    for pid in pids():
        if space and link(f'/proc/{pid}/ns/pid_for_children') == space:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    # Process 1 of a namespace is gone only when all others in it are; then whoever waits outside
    # for one of those ends.
    while any(pid is not None and alive(pid) for pid in (inside, holder)):
        time.sleep(0.005)
    end = time.monotonic() + 2
    while time.monotonic() < end and any(
            link(f'/proc/{pid}/ns/pid_for_children') == space for pid in pids() if space):
        time.sleep(0.005)


def child(pid: int) -> int | None:
    """Return the first child of a process."""
    try:
        words = pathlib.Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    except OSError:
        return None
    return int(words[0]) if words else None


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended but was not waited for does not."""
    try:
        stat = pathlib.Path(f'/proc/{pid}/stat').read_text()
    except OSError:
        return False
    return stat.rsplit(')', 1)[1].split()[0] != 'Z'


def pids() -> Iterator[int]:
    """Return the ids of all processes."""
    return (int(entry) for entry in os.listdir('/proc') if entry.isdigit())


def link(path: str) -> str | None:
    """Return where a link in /proc points to; None if it or its process is gone."""
    try:
        return os.readlink(path)
    except OSError:
        return None
