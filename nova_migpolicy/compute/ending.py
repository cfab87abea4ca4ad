# SPDX-License-Identifier: Apache-2.0
"""Hands a migration over to Nova at its end: exactly one of Nova's two ends, or neither.

How it ended is decided in ``monitor.outcome``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova import exception as nova_exception

from nova_migpolicy.monitor import outcome as outcome_mod

End = outcome_mod.End


class PostCopyBroken(nova_exception.NovaException):
    """The guest's memory is on two hosts: neither copy may be removed."""

    msg_fmt = ('%(reason)s. Its memory is on both hosts: do not delete either domain; once the '
               'link is back, continue with "virsh migrate --postcopy-resume" on the source.')


def conclude(
    outcome: outcome_mod.Outcome, context: Any, instance: Any, dest: str,
    post_method: Callable[..., None], recover_method: Callable[..., None],
    block_migration: bool, migrate_data: Any,
) -> None:
    """Let Nova finish or undo it.

    :raises PostCopyBroken: either would lose the guest
    """
    if outcome.end is End.COMPLETED:
        post_method(context, instance, dest, block_migration, migrate_data)
    elif outcome.end is End.CANCELLED:
        recover_method(context, instance, dest, migrate_data, migration_status='cancelled')
    elif outcome.end is End.FAILED:
        recover_method(context, instance, dest, migrate_data)
    else:
        # Nova's wrapper asks for an abort then, which must not be tried.
        raise PostCopyBroken(reason=outcome.reason)
