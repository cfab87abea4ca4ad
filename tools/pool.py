# SPDX-License-Identifier: Apache-2.0
"""Runs a folder of tests in several lanes at once, each a process that is given class after class.

How long a class has taken is kept for the next run, which takes the longest ones first.
"""

from __future__ import annotations

from concurrent import futures
import contextlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import board
import lane
import lanes
import runs

#: beside .venv: how long each class has taken here, in seconds
RECORD = runs.ROOT / '.test-seconds.json'
PROGRAM = runs.ROOT / 'tools/lane.py'
#: names a file into which tests write what they wait for (tests/telling.py)
TOLD = 'MIGPOLICY_TOLD'
#: the limits of what is asked of a lane's program but tests, in seconds
LIST_S, SWEEP_S = 300.0, 120.0
#: how long a class may take until one of its tests is over: so many times what is known of all of
#: it, and at least so long; then its lane is ended, and another one goes on with the rest
CLASS_TIMES, CLASS_S = 10.0, 1500.0
#: how long a lane may take to take down what it has up
DOWN_S = 300.0
_record_lock = threading.Lock()


class CannotListError(Exception):
    """A test module cannot be imported; the text is what Python said."""


def jobs(folder: str, how: runs.How, seconds_each: float) -> list[lanes.Job]:
    """Return the classes of a folder that have wanted tests.

    :param seconds_each: how long a test takes, where that is not known
    :raises CannotListError: if there is an error in them
    """
    try:
        done = subprocess.run([sys.executable, PROGRAM, '--list', folder], cwd=runs.ROOT,
                              env=runs.environment({}), capture_output=True, text=True,
                              check=False, timeout=how.most_s(LIST_S))
    except subprocess.TimeoutExpired as error:
        raise CannotListError(f'listing {folder} took more than {error.timeout:.0f} s') from None
    if done.returncode:
        raise CannotListError(done.stderr)
    return plan(json.loads(done.stdout), how, recorded(RECORD), seconds_each)


def plan(listed: list[dict[str, Any]], how: runs.How, known: dict[str, float],
         seconds_each: float) -> list[lanes.Job]:
    """Return the jobs of what a lane has listed.

    :param known: how long whole classes have taken
    """
    found = []
    for one in listed:
        wanted = tuple(test for test in one['tests'] if re.search(how.pattern, test))
        if wanted:
            whole = known.get(one['name'], one['seconds'] or seconds_each * len(one['tests']))
            stack, conf = one['needs']
            found.append(lanes.Job(one['name'], wanted, stack, conf,
                                   whole * len(wanted) / len(one['tests']), one['last']))
    return found


def recorded(path: pathlib.Path) -> dict[str, float]:
    """Return how long classes have taken; nothing if that is not known or cannot be read."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return {name: float(seconds) for name, seconds in found.items()
            if isinstance(seconds, (int, float))}


class Pool:
    """The lanes of a tier, while they run."""

    def __init__(self, label: str, queue: lanes.Queue, how: runs.How) -> None:
        self._label, self._queue, self._how = label, queue, how
        self._took: dict[str, float] = {}

    def run(self, number: int) -> runs.Count:
        """Run all in a number of lanes."""
        total = runs.Count()
        names = [f'{self._label} {lane}' for lane in range(1, number + 1)]
        with futures.ThreadPoolExecutor(number) as threads:
            for count in threads.map(self._lane, names):
                total.add(count)
        for job in self._queue.left():
            for test in job.tests:
                total.fail(test, 'it did not run: no lane came to it')
        self._keep()
        board.say(f'   {self._label}: {total}')
        return total

    def _lane(self, name: str) -> runs.Count:
        count = runs.Count()
        with tempfile.TemporaryDirectory() as folder:
            told = pathlib.Path(folder) / 'told'
            while not runs.STOPPING.is_set() and time.monotonic() < self._how.end:
                job = self._queue.take(name)
                if job is None:
                    break
                # Mostly there is one process; another one if it dies.
                _Lane(name, told, self._queue, self._how, count, self._took).run(job)
        self._how.board.clear(name)
        return count

    def _keep(self) -> None:
        with _record_lock, contextlib.suppress(OSError):
            RECORD.write_text(json.dumps({**recorded(RECORD), **self._took}, indent=1) + '\n')


class _Lane:
    """One process that is given class after class, as a StreamResult of what it says."""

    def __init__(self, name: str, told: pathlib.Path, queue: lanes.Queue, how: runs.How,
                 count: runs.Count, took: dict[str, float]) -> None:
        self._name, self._told, self._queue, self._how = name, told, queue, how
        self._count, self._took = count, took
        self._show = runs.Show(name, how, count, each=True)
        self._job: lanes.Job | None = None
        self._began = self._most_s = 0.0
        self._process: subprocess.Popen[bytes]
        self._late: runs.Deadline

    def run(self, job: lanes.Job) -> None:
        """Start it with a class, and follow it to its end."""
        with tempfile.TemporaryFile() as errors:
            self._process = runs.popen(
                [sys.executable, str(PROGRAM)], {TOLD: str(self._told)}, errors.fileno(),
                stdin=subprocess.PIPE)
            with runs.Deadline(self._process, self._how.end) as late:
                self._late = late
                self._give(job)
                runs.follow(self._process.stdout, self._show.test, self)
                self._process.wait()
            errors.seek(0)
            said = errors.read().decode(errors='replace')[-8000:]
        # At its own end as well: it may not have taken down what it had up.
        if self._job or late or self._process.returncode:
            self._lost('took too long' if late else f'ended with {self._process.returncode}', said)

    def startTestRun(self) -> None:         # noqa: N802
        """Do nothing: there is nothing to prepare."""

    def stopTestRun(self) -> None:          # noqa: N802
        """Do nothing: what was lost is seen when the process is over."""

    def status(self, test_id: str | None = None, test_status: str | None = None,
               file_name: str | None = None, timestamp: Any = None, **_: Any) -> None:
        """Take one event of the stream."""
        if test_id and test_status == 'inprogress':
            self._how.board.set(self._name, _short(test_id), self._told)
        elif test_id and test_status and self._job is not None:
            self._limit(self._most_s)
        elif file_name == lane.READY and test_id is None:
            self._done()

    def _done(self) -> None:
        assert self._job is not None
        self._fail_unseen(self._job, 'it did not run')
        if self._how.regex == '':
            self._took[self._job.name] = round(time.monotonic() - self._began, 1)
        self._job = None
        following = None if runs.STOPPING.is_set() else self._queue.take(self._name)
        if following is None:
            # It takes down what it has up, which takes a moment.
            self._limit(DOWN_S)
            self._how.board.set(self._name, 'taking down', self._told)
            _close(self._process.stdin)
        else:
            self._give(following)

    def _give(self, job: lanes.Job) -> None:
        self._job, self._began = job, time.monotonic()
        self._most_s = max(CLASS_S, CLASS_TIMES * job.seconds)
        self._limit(self._most_s)
        self._how.board.set(self._name, _short(job.name), self._told)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(job.tests).encode() + b'\n')
            self._process.stdin.flush()

    def _limit(self, seconds: float) -> None:
        self._late.change(min(self._how.end, time.monotonic() + seconds))

    def _fail_unseen(self, job: lanes.Job, why: str) -> int:
        """Count the tests of a class as failed of which nothing was seen; return their number."""
        missing = [test for test in job.tests if test not in self._show.seen]
        if f'setUpClass ({job.name})' in self._show.skipped:
            return 0
        for test in missing:
            self._count.fail(test, why)
        return len(missing)

    def _lost(self, why: str, said: str) -> None:
        """Count what one that has died or was ended has not come to, and clean up after it."""
        where = self._job.name if self._job else 'taking down'
        board.say(f'   {self._name}: {why} in {where}\n{runs.indent(said)}')
        if not (self._job and self._fail_unseen(self._job, f'{self._name} {why} before its end')):
            self._count.fail(where if self._job else f'{self._name}: {why} in {where}', said)
        sweep()


def sweep() -> None:
    """Take down what lanes and runs have left that were killed, and say if that fails."""
    try:
        done = subprocess.run([sys.executable, PROGRAM, '--sweep'], cwd=runs.ROOT,
                              env=runs.environment({}), stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True, check=False, timeout=SWEEP_S)
        problem = done.stderr if done.returncode else ''
    except subprocess.TimeoutExpired:
        problem = f'it takes more than {SWEEP_S:.0f} s'
    if problem:
        board.say(f'   what a killed run has left cannot be taken down:\n{runs.indent(problem)}')


def _close(pipe: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        pipe.close()


def _short(name: str) -> str:
    """Return a test's name without the folders."""
    return name.split('.', 2)[-1]
