# SPDX-License-Identifier: Apache-2.0
"""Run several commands of one administration program, importing that program only once.

    manage.py MODULE '[["program", "--option", "command"], …]'

Importing `nova.cmd.manage` takes longer than what it then does. Each command runs in a copy of
the process (a fork), so none sees what another has set. Ends with the first failure.
"""

import importlib
import json
import os
import sys


def main() -> int:
    """Do it; returns the exit code of the first command that failed, or 0."""
    program = importlib.import_module(sys.argv[1])
    for argv in json.loads(sys.argv[2]):
        pid = os.fork()
        if not pid:
            sys.argv = argv
            sys.exit(program.main())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code:
            print(f'{" ".join(argv)} ended with {code}', file=sys.stderr)
            return abs(code)
    return 0


if __name__ == '__main__':
    sys.exit(main())
