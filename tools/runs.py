# SPDX-License-Identifier: Apache-2.0
"""How tools/tiers.py runs one command or one folder of tests, and counts what comes out.

A test's failure is shown at once, with all that the test attached and its traceback.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import textwrap
import threading
import time
from typing import Any

import board

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / '.venv/bin'
#: where no test may be skipped, a reason that begins so is accepted all the same
ALLOWED_SKIP = 'this kernel'
#: how many characters of an error the summary repeats
WHY = 400
#: what runs in the background gets a third of the processor time of what it is in the way of
NICE = 5
#: how long tests that are interrupted have to take down what they have up
GRACE_S = 60.0


@dataclasses.dataclass(frozen=True)
class Run:
    """One command of a tier.

    :param argv: a command that passes or fails; empty for tests
    :param tests: folder of tests for stestr
    :param env: laid over the environment
    :param serial: in one process, which imports all but once
    """

    label: str
    argv: tuple[str, ...] = ()
    tests: str = ''
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    serial: bool = False


@dataclasses.dataclass(frozen=True)
class How:
    """How tests are run.

    :param end: when they are stopped, on the monotonic clock
    :param regex: only tests whose name matches
    :param modules: only tests of these modules; None for all
    :param strict: a skipped test has failed
    :param background: what else runs goes first
    """

    board: board.Board
    end: float
    regex: str = ''
    modules: frozenset[str] | None = None
    strict: bool = False
    background: bool = False

    def most_s(self, seconds: float) -> float:
        """Return so many seconds, or those that are left."""
        return max(1.0, min(seconds, self.end - time.monotonic()))

    @property
    def pattern(self) -> str:
        """A regex of the names of the tests that are wanted; '' for all."""
        only = '' if self.modules is None else (
            rf'^(?:{"|".join(map(re.escape, sorted(self.modules)))})\.')
        return (f'(?=.*(?:{self.regex}))' if self.regex else '') + only


@dataclasses.dataclass
class Count:
    """What came out of a tier; `failures` names what failed, and says why where it is known."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    note: str = ''
    failures: list[str] = dataclasses.field(default_factory=list)

    def add(self, other: Count) -> None:
        """Count what another has counted."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped
        self.failures += other.failures

    def fail(self, name: str, said: str = '') -> None:
        """Count a failure.

        :param said: what it said, of which the last error and what follows it, or else the last
            line, is kept
        """
        errors = list(re.finditer(r'^[ |]*([\w.]*(?:Error|Exception)\b)', said, re.MULTILINE))
        why = said[errors[-1].start(1):] if errors else said.strip().split('\n')[-1]
        why = ' '.join(why.split())
        self.failed += 1
        self.failures.append(f'{name}: {why[:WHY]}' if why else name)

    def __str__(self) -> str:
        return f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped'


def command(run: Run, how: How) -> Count:
    """Run a command, and count it as one test."""
    count = Count()
    how.board.set(run.label, '')
    process = popen(run.argv, run.env, stderr=subprocess.STDOUT, background=how.background)
    with Deadline(process, how.end) as late:
        said = process.stdout.read().decode(errors='replace') if process.stdout else ''
        process.wait()
    how.board.clear(run.label)
    good = process.returncode == 0 and not late
    count.passed += good
    if not good:
        count.fail(run.label, said)
    more = f'\n{indent(said)}' if not good or run.label == 'mypy' else ''
    board.say(f'   {run.label} {"ok" if good else "FAILED"}{more}')
    return count


def tests(run: Run, how: How) -> Count:
    """Run a folder of tests by stestr, in as many processes as there are processors, or in one."""
    count = Count()
    with tempfile.TemporaryDirectory() as folder:
        # A record of its own: two runs at once would write into the same one.
        subprocess.run([BIN / 'stestr', '--repo-url', folder, 'init'], check=True,
                       timeout=how.most_s(120))
        _tests(run, how, count, folder)
    return count


def _tests(run: Run, how: How, count: Count, record: str) -> None:
    wanted = [*(['--serial'] if run.serial else []), *([how.pattern] if how.pattern else [])]
    base = [str(BIN / 'stestr'), '--test-path', str(ROOT / run.tests), '--top-dir', str(ROOT),
            '--repo-url', record]
    if not any((ROOT / run.tests).rglob('test_*.py')):
        board.say(f'   {run.label}: there are no tests in {run.tests}')
        return
    show = Show(run.label, how, count)
    with tempfile.TemporaryFile() as errors:
        how.board.set(run.label, 'starting')
        process = popen([*base, 'run', '--subunit', *wanted], run.env, stderr=errors.fileno(),
                        background=how.background)
        with Deadline(process, how.end) as late:
            follow(process.stdout, show.test)
            process.wait()
        how.board.clear(run.label)
        errors.seek(0)
        said = errors.read().decode(errors='replace')
    if late:
        count.fail(f'{run.label} took too long')
        board.say(f'   {run.label}: stopped, it took too long')
    elif process.returncode and not count.failed:
        # Mostly a test module that cannot be imported, about which only `list` says more.
        listed = subprocess.run([*base, 'list', how.pattern], cwd=ROOT, env=environment(run.env),
                                capture_output=True, text=True, check=False,
                                timeout=how.most_s(300))
        if how.regex and listed.returncode == 0 and not listed.stdout.strip():
            board.say(f'   {run.label}: no test has such a name')
            return
        count.fail(f'{run.label} ended with {process.returncode}')
        said = (said if listed.returncode == 0 else listed.stdout + listed.stderr)[-8000:]
        board.say(f'{indent(said)}\n   {run.label}: stestr ended with {process.returncode}')
    board.say(f'   {run.label}: {count}')


def follow(stream: Any, on_test: Callable[[Any], None], *others: Any) -> None:
    """Read a subunit stream and report each test when it is over.

    :param others: StreamResults that get all of it as well
    """
    import subunit
    import testtools
    result = testtools.CopyStreamResult([testtools.StreamToDict(on_test), *others])
    result.startTestRun()
    subunit.ByteStreamToStreamResult(stream, non_subunit_name='output').run(result)
    result.stopTestRun()


class Show:
    """Counts tests as they end, and shows those that fail, or each with its time.

    :ivar seen: the ids of what has ended, and of classes that could not be set up
    :ivar skipped: those of them that were skipped
    """

    def __init__(self, label: str, how: How, count: Count, *, each: bool = False) -> None:
        self._label, self._how, self._count, self._each = label, how, count, each
        self.seen: set[str] = set()
        self.skipped: set[str] = set()

    def test(self, test: dict[str, Any]) -> None:
        """Take one test's outcome."""
        status, name = test['status'], test['id']
        if status == 'exists' or (self._each and status in ('inprogress', 'unknown')):
            return      # the latter were lost with their lane, which says so itself
        reason = _detail(test, 'reason')
        if status == 'skip':
            self.skipped.add(name)
        if status == 'skip' and self._how.strict and not reason.startswith(ALLOWED_SKIP):
            status = 'fail'
            reason += ' (in CI this may not be skipped)'
        good = status in ('success', 'xfail')
        self._count.passed += good
        self._count.skipped += status == 'skip'
        self.seen.add(name)
        first, last = test['timestamps']
        took = f'{(last - first).total_seconds():6.1f} s' if first and last else ''
        if not good and status != 'skip':
            said = _details(test) or reason
            self._count.fail(name, said)
            board.say(f'   {self._label}: FAILED {name} {took}\n{indent(said)}')
        elif self._each:
            word = 'ok' if good else 'skipped'
            board.say(f'   {self._label}: {word} {took}  {name} {reason}'.rstrip())
        else:
            self._how.board.update(self._label, f'{len(self.seen)} tests')


def _detail(test: dict[str, Any], name: str) -> str:
    return str(test['details'][name].as_text()).strip() if name in test['details'] else ''


def _details(test: dict[str, Any]) -> str:
    """Return all that a test attached: the traceback last, where one looks for it."""
    names = sorted(test['details'], key=lambda name: (name.startswith('traceback'), name))
    parts = []
    for name in names:
        content = test['details'][name]
        if content.content_type.type == 'text':
            text = content.as_text().strip()
            parts += [f'--- {name}', text[-12000:]] if text else []
    return '\n'.join(parts)


def popen(argv: Any, env: dict[str, str], stderr: int, *, background: bool = False,
          stdin: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a program in a process group of its own.

    :param background: with less of the processors than the rest
    """
    process = subprocess.Popen(
        argv, cwd=ROOT, env=environment(env), stdin=stdin, stdout=subprocess.PIPE,
        stderr=stderr, start_new_session=True)
    if background:
        _lower(process.pid)
    return process


def environment(env: dict[str, str]) -> dict[str, str]:
    """Return the environment of a program that finds the virtual environment's first."""
    path = f'{BIN}{os.pathsep}{os.environ.get("PATH", "")}'
    # stestr hands the interpreter's path to a shell without quotes; a name alone has no spaces.
    return {**os.environ, 'PATH': path, 'PYTHON': 'python', **env}


def _lower(pid: int) -> None:
    # Where the kernel groups processes by session, a nice value counts within the group alone,
    # and the group has another one.
    for way in (lambda: os.setpriority(os.PRIO_PROCESS, pid, NICE),
                lambda: pathlib.Path(f'/proc/{pid}/autogroup').write_text(str(NICE))):
        try:
            way()
        except OSError:
            continue    # it is over, or this kernel has no groups


class Deadline:
    """Stops a process group when the time is over, or when the block is left in a hurry."""

    def __init__(self, process: subprocess.Popen[bytes], end: float) -> None:
        self._process, self._late = process, False
        self._interrupted = threading.Lock()
        self._timer = self._until(end)

    def _until(self, end: float) -> threading.Timer:
        return threading.Timer(max(1.0, end - time.monotonic()), self._stop)

    def __enter__(self) -> Deadline:
        _UNDER_WAY.add(self)
        self._timer.start()
        if STOPPING.is_set():
            self.interrupt()
        return self

    def __exit__(self, *exc: object) -> None:
        _UNDER_WAY.discard(self)
        self._timer.cancel()
        if self._process.poll() is None:
            self.end()

    def __bool__(self) -> bool:
        return self._late

    def change(self, end: float) -> None:
        """Let the time be over at another one of the monotonic clock; within the block."""
        self._timer.cancel()
        self._timer = self._until(end)
        self._timer.start()

    def _stop(self) -> None:
        self._late = True
        self.end()

    def interrupt(self) -> None:
        """Tell the group to end, once: tests that have a lab up take it down then."""
        if self._interrupted.acquire(blocking=False):
            self._signal(signal.SIGINT)

    def end(self) -> None:
        """Stop the group now."""
        self.interrupt()
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return


#: nothing more is started
STOPPING = threading.Event()
_UNDER_WAY: set[Deadline] = set()


def stop() -> None:
    """End all that runs, and start nothing more."""
    STOPPING.set()
    under_way = list(_UNDER_WAY)
    for one in under_way:
        one.interrupt()
    for one in under_way:
        one.end()


def indent(text: str) -> str:
    """Return lines as they are shown below another."""
    return textwrap.indent(text.rstrip(), ' ' * 6)
