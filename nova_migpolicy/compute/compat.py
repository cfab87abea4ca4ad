# SPDX-License-Identifier: Apache-2.0
"""The differences between the supported releases of Nova, and the check that this is one of them.

Nothing else in nova-compute asks for Nova's release.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
import functools
import inspect
import re
import sys
import time
from typing import Any, Protocol

from nova.compute import manager as manager_mod
import nova.conf
from nova import version as nova_version

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy import nova_contract

CONF = nova.conf.CONF

# Nova 34 keeps as much of the time of its shutdown for what comes after its tasks.
CLEANUP_S = 20.0
# Of the time after which oslo.service ends the process, this is for what comes after us.
RESERVE_S = 10.0
# Nova 34's name for a task that waits for a live migration from this host.
TASK = 'live_migration'

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
    if _has_time(getattr(manager_mod.ComputeManager, 'graceful_shutdown', None)):
        wrong += nova_contract.mismatches(nova_contract.STOP_NAMES)
    if number not in RELEASES:
        wrong.insert(0, f'its version is {text}')
    if wrong:
        known = ', '.join(f'{number} ({name})' for number, name in RELEASES.items())
        raise exception.UnsupportedNova(
            f'nova_migpolicy works with Nova {known}, and this Nova does not match: '
            f'{"; ".join(wrong)}. Until there is a nova_migpolicy for it, set [DEFAULT] '
            "compute_driver = libvirt.LibvirtDriver for Nova's own behaviour.")


def migrations_at_once() -> int:
    """Return how many live migrations Nova has under way from here at once; 0 for no limit."""
    return limits_mod.novas_at_once(CONF.max_concurrent_live_migrations, is_threaded())


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


class Stopping(Protocol):
    """What is done with migrations when the process is stopped; see stopping.Stopping."""

    def begin(self) -> None:
        """Begin nothing new."""

    def wait(self, within_s: float | None,
             needs_time: Callable[[Collection[str]], bool] = lambda servers: False) -> None:
        """Wait until the process may end for the sake of its migrations."""

    def leave(self) -> None:
        """Leave what is still under way."""


def hook_shutdown(manager: Any, stopping: Stopping) -> None:
    """Let `stopping` come first when Nova's manager is stopped, and have the time that Nova has.

    Nova 31 and 32 stop at once. Nova 33 first waits for a fixed time, and Nova 34 until its tasks
    are done; then the driver's `cleanup_host` is called, which leaves what is left.
    """
    graceful = getattr(manager, 'graceful_shutdown', None)
    if graceful is None:
        manager.cleanup_host = functools.partial(_at_once, stopping, manager.cleanup_host)
    elif _has_time(graceful):
        manager.graceful_shutdown = functools.partial(_within, stopping, manager, graceful)
    else:
        manager.graceful_shutdown = functools.partial(_beside, stopping, graceful)


def _has_time(graceful: Callable[..., None] | None) -> bool:
    """Whether Nova's way to stop is told how long it may take."""
    return graceful is not None and 'timeout' in inspect.signature(graceful).parameters


def _at_once(stopping: Stopping, cleanup: Callable[[], None]) -> None:
    # oslo.service ends the process then; 0 stands for never.
    within_s = float(CONF.graceful_shutdown_timeout)
    stopping.begin()
    stopping.wait(max(0.0, within_s - RESERVE_S) if within_s else None)
    cleanup()


def _beside(stopping: Stopping, graceful: Callable[[], None]) -> None:
    stopping.begin()
    graceful()


def _within(stopping: Stopping, manager: Any, graceful: Callable[[float], None],
            timeout: float) -> None:
    end_s = time.monotonic() + timeout
    stopping.begin()
    stopping.wait(max(0.0, timeout - CLEANUP_S), functools.partial(_has_other_tasks, manager))
    # So that Nova does not wait for them either.
    stopping.leave()
    graceful(max(0.0, end_s - time.monotonic()))


def _has_other_tasks(manager: Any, servers: Collection[str]) -> bool:
    return any(task['name'] != TASK or task['instance_uuid'] not in servers
               for task in list(manager._in_progress_tasks.values()))
