# SPDX-License-Identifier: Apache-2.0
"""How tools/tiers.py runs one command or one folder of tests, and counts what comes out.

A test's failure is shown at once, with all that the test attached and its traceback.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / '.venv/bin'
#: where no test may be skipped, a reason that begins so is accepted all the same
ALLOWED_SKIP = 'this kernel'
#: how many characters of an error the summary repeats
WHY = 240


@dataclasses.dataclass
class Run:
    """One command of a tier.

    :param argv: a command that passes or fails; empty for tests
    :param tests: folder of tests for stestr
    :param env: laid over the environment
    :param only: regex of the tests that are this run's, of the folder's
    :param serial: one test at a time, and each is shown with its time
    """

    label: str
    argv: tuple[str, ...] = ()
    tests: str = ''
    env: dict[str, str] = dataclasses.field(default_factory=dict)
    only: str = ''
    serial: bool = False


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

        :param said: what it said, of which the last error, or else the last line, is kept
        """
        errors = re.findall(r'^[ |]*([\w.]*(?:Error|Exception)\b.*)', said, re.MULTILINE)
        why = (errors or said.strip().split('\n'))[-1].strip()
        self.failed += 1
        self.failures.append(f'{name}: {why[:WHY]}' if why else name)


def command(run: Run, end: float, count: Count) -> None:
    """Run a command, until `end` on the monotonic clock, and count it as one test."""
    process = _popen(run.argv, run.env, stderr=subprocess.STDOUT)
    with _Deadline(process, end) as late:
        said = process.stdout.read().decode(errors='replace') if process.stdout else ''
        process.wait()
    good = process.returncode == 0 and not late
    count.passed += good
    if not good:
        count.fail(run.label, said)
    print(f'   {run.label} {"ok" if good else "FAILED"}', flush=True)
    if not good or run.label == 'mypy':
        print(_indent(said), flush=True)


def side_by_side(many: Sequence[Run], regex: str | None, end: float, count: Count, *,
                 strict: bool) -> None:
    """Run several folders of tests, or parts of one, at once; see `tests`."""
    counts = [Count() for _ in many]
    with futures.ThreadPoolExecutor(len(many)) as pool:
        under_way = [pool.submit(tests, run, regex, end, one, strict=strict)
                     for run, one in zip(many, counts, strict=True)]
        try:
            for one in futures.as_completed(under_way):
                one.result()
        except BaseException:
            for late in list(_UNDER_WAY):
                late.end()
            raise
    for done in counts:
        count.add(done)


def tests(run: Run, regex: str | None, end: float, count: Count, *, strict: bool) -> None:
    """Run a folder of tests, until `end` on the monotonic clock.

    :param regex: only tests whose name matches
    :param strict: a skipped test has failed
    """
    with tempfile.TemporaryDirectory() as folder:
        # A record of its own: two runs at once would write into the same one.
        subprocess.run([BIN / 'stestr', '--repo-url', folder, 'init'], check=True)
        _tests(run, regex, end, count, strict, folder)


def _tests(run: Run, regex: str | None, end: float, count: Count, strict: bool,
           record: str) -> None:
    wanted = (f'(?=.*(?:{regex}))' if regex else '') + run.only
    argv = [str(BIN / 'stestr'), '--test-path', str(ROOT / run.tests), '--top-dir', str(ROOT),
            '--repo-url', record, 'run', '--subunit', *(['--serial'] if run.serial else []),
            *([wanted] if wanted else [])]
    if not any((ROOT / run.tests).rglob('test_*.py')):
        print(f'   {run.label}: there are no tests in {run.tests}', flush=True)
        return
    process = _popen(argv, run.env, stderr=subprocess.PIPE)
    errors: list[bytes] = []
    reader = threading.Thread(
        target=lambda: errors.extend(process.stderr or ()), daemon=True)
    reader.start()
    before = dataclasses.replace(count)
    show = _Show(run, count, strict)
    with _Deadline(process, end) as late:
        _follow(process.stdout, show.test)
        process.wait()
    reader.join(timeout=5)
    show.finish()
    if late:
        count.fail(f'{run.label} took too long')
        print(f'   {run.label}: stopped, it took too long', flush=True)
    elif process.returncode and count.failed == before.failed:
        # Mostly a test module that cannot be imported, about which only `list` says more.
        listed = subprocess.run([*argv[:7], 'list', *([wanted] if wanted else [])], cwd=ROOT,
                                env=_environment(run.env), capture_output=True, text=True,
                                check=False)
        if regex and listed.returncode == 0 and not listed.stdout.strip():
            print(f'   {run.label}: no test has such a name', flush=True)
            return
        count.fail(f'{run.label} ended with {process.returncode}')
        said = b''.join(errors).decode(errors='replace')
        print(_indent((said if listed.returncode == 0 else listed.stdout + listed.stderr)[-8000:]),
              flush=True)
        print(f'   {run.label}: stestr ended with {process.returncode}', flush=True)
    print(f'   {run.label}: {count.passed - before.passed} passed, '
          f'{count.failed - before.failed} failed, {count.skipped - before.skipped} skipped',
          flush=True)


def _follow(stream: Any, on_test: Callable[[Any], None]) -> None:
    """Read a subunit stream and report each test when it is over."""
    import subunit
    import testtools
    result = testtools.StreamToDict(on_test)
    result.startTestRun()
    subunit.ByteStreamToStreamResult(stream, non_subunit_name='output').run(result)
    result.stopTestRun()


class _Show:
    """Counts tests as they end, and shows them: each if serial, else how many and the failures."""

    def __init__(self, run: Run, count: Count, strict: bool) -> None:
        self._run, self._count, self._strict = run, count, strict
        self._seen = 0

    def test(self, test: dict[str, Any]) -> None:
        """Take one test's outcome."""
        status, name = test['status'], test['id']
        if status == 'exists':
            return
        reason = _detail(test, 'reason')
        if status == 'skip' and self._strict and not reason.startswith(ALLOWED_SKIP):
            status = 'fail'
            reason += ' (in CI this may not be skipped)'
        good = status in ('success', 'xfail')
        self._count.passed += good
        self._count.skipped += status == 'skip'
        self._seen += 1
        first, last = test['timestamps']
        took = f'{(last - first).total_seconds():6.1f} s' if first and last else ''
        if not good and status != 'skip':
            said = _details(test) or reason
            self._count.fail(name, said)
            _say(f'   FAILED {name} {took}\n{_indent(said)}')
        elif self._run.serial:
            _say(f'   {"ok" if good else "skipped"} {took}  {name} {reason}'.rstrip())
        elif sys.stdout.isatty():
            print(f'\r   {self._run.label}: {self._seen}', end='', flush=True)

    def finish(self) -> None:
        """End the line of the counter."""
        if sys.stdout.isatty() and not self._run.serial:
            print('\r', end='')


def _say(lines: str) -> None:
    """Print in one piece: what runs at the same time prints, too."""
    sys.stdout.write(f'{lines}\n')
    sys.stdout.flush()


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


def _popen(argv: Any, env: dict[str, str], stderr: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv, cwd=ROOT, env=_environment(env), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=stderr, start_new_session=True)


def _environment(env: dict[str, str]) -> dict[str, str]:
    """Return the environment of a program that finds the virtual environment's first."""
    path = f'{BIN}{os.pathsep}{os.environ.get("PATH", "")}'
    # stestr hands the interpreter's path to a shell without quotes; a name alone has no spaces.
    return {**os.environ, 'PATH': path, 'PYTHON': 'python', **env}


class _Deadline:
    """Stops a process group when the time is over, or when the block is left in a hurry."""

    def __init__(self, process: subprocess.Popen[bytes], end: float) -> None:
        self._process, self._late = process, False
        self._timer = threading.Timer(max(1.0, end - time.monotonic()), self._stop)

    def __enter__(self) -> _Deadline:
        _UNDER_WAY.add(self)
        self._timer.start()
        return self

    def __exit__(self, *exc: object) -> None:
        _UNDER_WAY.discard(self)
        self._timer.cancel()
        if self._process.poll() is None:
            self.end()

    def __bool__(self) -> bool:
        return self._late

    def _stop(self) -> None:
        self._late = True
        self.end()

    def end(self) -> None:
        """Stop the group now."""
        # SIGINT first: tests that have a lab up take it down then.
        for number, seconds in ((signal.SIGINT, 20.0), (signal.SIGKILL, 10.0)):
            try:
                os.killpg(self._process.pid, number)
                self._process.wait(seconds)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue


_UNDER_WAY: set[_Deadline] = set()


def _indent(text: str) -> str:
    return textwrap.indent(text.rstrip(), ' ' * 6)
