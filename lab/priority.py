# SPDX-License-Identifier: Apache-2.0
"""Gives libvirtd and its QEMUs the processors before what else this machine does.

Guests of the lab measure blackouts in ms, as on a host that has processors to spare; other work
of the machine is no part of what is tested. Where this kernel lets nobody weigh processes, they
have no more than others.
"""

from __future__ import annotations

from collections.abc import Sequence
import contextlib
import pathlib

#: where the processors are divided (version 1, version 2), the weight's file, and the weight:
#: twenty times the usual one
_WAYS = ((pathlib.Path('/sys/fs/cgroup/cpu'), 'cpu.shares', 20_480),
         (pathlib.Path('/sys/fs/cgroup'), 'cpu.weight', 2000))
_GROUP = 'migpolicy-lab'
#: joins the group and becomes the command
_JOIN = 'echo $$ > "$0"; exec "$@"'


def first(argv: Sequence[str]) -> list[str]:
    """Return a command that runs this one, and what it starts, before others.

    It is to be started outside of any lab machine.
    """
    for root, weight, value in _WAYS:
        group = root / _GROUP
        with contextlib.suppress(OSError):
            group.mkdir(exist_ok=True)
            (group / weight).write_text(str(value))
            return ['sh', '-c', _JOIN, str(group / 'cgroup.procs'), *argv]
    return list(argv)
