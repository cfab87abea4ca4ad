# SPDX-License-Identifier: Apache-2.0
"""The differences between the supported releases of Nova, and the check that this is one of them.

No other module asks for Nova's release.
"""

from __future__ import annotations

from collections.abc import Callable
import re
import sys
from typing import Any

from nova import version as nova_version

from nova_migpolicy import exception
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy import nova_contract

# Nova's major version and the name of its release.
RELEASES = {31: '2025.1', 32: '2025.2', 33: '2026.1', 34: '2026.2'}


def nova_release() -> tuple[int | None, str]:
    """Return the installed Nova's major number, None if it has none, and its whole version."""
    text = nova_version.version_string()
    number = re.match(r'(?:\d+!)?(\d+)\.', text)
    return (int(number.group(1)) if number else None), text


def check_nova() -> None:
    """Refuse a Nova that this package does not know, or whose private names have moved.

    :raises exception.UnsupportedNova: with all that does not match.
    """
    number, text = nova_release()
    wrong = nova_contract.mismatches()
    if number not in RELEASES:
        wrong.insert(0, f'its version is {text}')
    if wrong:
        known = ', '.join(f'{number} ({name})' for number, name in RELEASES.items())
        raise exception.UnsupportedNova(
            f'nova_migpolicy works with Nova {known}, and this Nova does not match: '
            f'{"; ".join(wrong)}. Until there is a nova_migpolicy for it, set [DEFAULT] '
            "compute_driver = libvirt.LibvirtDriver for Nova's own behaviour.")


def is_threaded() -> bool:
    """Whether this process has native threads, not eventlet's.

    Nova tells only from 32 on, and importing eventlet in a threaded process is forbidden.
    """
    patcher = sys.modules.get('eventlet.patcher')
    return patcher is None or not patcher.is_monkey_patched('thread')


def make_inbox() -> inbox_mod.Inbox:
    """Make an inbox that fits this process's kind of threads."""
    return inbox_mod.Inbox() if is_threaded() else inbox_mod.PolledInbox()


def is_done(operation: Any) -> Callable[[], bool]:
    """Return a function that tells whether the operation's thread is over.

    Nova gives the monitor an eventlet event up to Nova 31 and a future from 32 on.
    """
    done: Callable[[], bool] = operation.done if hasattr(operation, 'done') else operation.ready
    return done
