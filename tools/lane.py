# SPDX-License-Identifier: Apache-2.0
"""The program of one lane: runs the classes of tests that it is given, one after another.

    lane.py --list FOLDER      print the classes of a folder, and what each needs, as JSON
    lane.py --sweep            take down what lanes have left that were killed
    lane.py                    read a JSON list of tests' ids a line, and run them

What is up for a class (see tests/stack/support/base.py) stays up for the next one. The outcome
goes to the output as subunit, and after each line a file named READY. At the end of the input all
is taken down; if that fails, so does the lane.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import sys
from typing import Any
import unittest

READY = 'ready'
ROOT = pathlib.Path(__file__).resolve().parent.parent


def main() -> int:
    """Do it; 2 where tests cannot be imported."""
    # No test is to see the modules of this folder. Interrupts come also where they were ignored.
    sys.path[0] = str(ROOT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.argv[1:2] == ['--list']:
        return _list(sys.argv[2])
    if sys.argv[1:2] == ['--sweep']:
        from tests import folders
        folders.sweep()
        return 0
    from stestr.subunit_runner import run
    from subunit import StreamResultToBytes

    from tests import ending

    # What tests print must not come between. An error at exit would not be seen in the status.
    with os.fdopen(os.dup(1), 'wb', buffering=0) as out, contextlib.closing(ending.UP):
        os.dup2(2, 1)
        for line in sys.stdin:
            suite = unittest.defaultTestLoader.loadTestsFromNames(json.loads(line))
            run.SubunitTestRunner(stdout=out).run(suite)
            StreamResultToBytes(out).status(file_name=READY, file_bytes=b'.', eof=True)
    return 0


def _list(folder: str) -> int:
    loader = unittest.TestLoader()
    suite = loader.discover(str(ROOT / folder), top_level_dir=str(ROOT))
    if loader.errors:
        sys.stderr.write('\n'.join(map(str, loader.errors)))
        return 2
    found: dict[type, list[str]] = {}
    for test in _flat(suite):
        found.setdefault(type(test), []).append(test.id())
    json.dump([{'name': f'{kind.__module__}.{kind.__qualname__}', 'tests': tests,
                'needs': getattr(kind, 'needs', lambda: ('', ''))(),
                'last': getattr(kind, 'last', False),
                'seconds': getattr(kind, 'seconds', None)} for kind, tests in found.items()],
              sys.stdout)
    return 0


def _flat(suite: Any) -> list[unittest.TestCase]:
    if isinstance(suite, unittest.TestCase):
        return [suite]
    return [test for part in suite for test in _flat(part)]


if __name__ == '__main__':
    sys.exit(main())
