# SPDX-License-Identifier: Apache-2.0
"""What a running migration writes into Nova's database, and how often.

A database or message bus that does not answer costs a line of log, never the
monitor: every write here is one that a later one makes good.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova.compute import utils as compute_utils
from nova import exception as nova_exception
from oslo_log import log as logging

from nova_migpolicy.engine import sample as sample_mod

LOG = logging.getLogger(__name__)

POST_COPY_STATUS = 'running (post-copy)'
# Seconds to leave the database alone after a write that failed.
AFTER_FAILURE_S = 60.0
# The name of the event under the server's live-migration action.
EVENT_NAME = 'compute_live_migration_policy'


class StoppedByPolicy(nova_exception.NovaException):
    """Carries a reason into the server's instance action; it is never raised past this room."""

    msg_fmt = '%(reason)s'


class Reporter:
    """Nova's side of one migration.

    :param operation_done: whether the thread with the migrate call is over
    :param interval_s: the least time between two writes of progress
    """

    def __init__(
        self,
        instance: Any,
        migration: Any,
        operation_done: Callable[[], bool],
        interval_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._instance = instance
        self._migration = migration
        self.operation_done = operation_done
        self._interval_s = interval_s
        self._clock = clock
        self._next_s = float('-inf')
        self._owes_post_copy = False

    def report(self, sample: sample_mod.Sample, percent: int) -> None:
        """Write the sizes and the percentage, unless that was done a moment ago."""
        if self._clock() < self._next_s:
            return
        if self._owes_post_copy:
            self.post_copy_started()
        for kind in ('memory', 'disk'):
            for part in ('total', 'processed', 'remaining'):
                value = getattr(sample, f'{kind}_{part}_bytes')
                if value is not None:
                    setattr(self._migration, f'{kind}_{part}', value)
        self._instance.progress = percent
        # A save that fails may have blocked for as long as the bus waits for an
        # answer: the guest is looked after for a while before the next.
        written = self._save(self._migration) and self._save(self._instance)
        self._next_s = self._clock() + (
            self._interval_s if written else max(self._interval_s, AFTER_FAILURE_S))

    def post_copy_started(self) -> None:
        """Let Nova's API know that it cannot be cancelled any more."""
        self._migration.status = POST_COPY_STATUS
        self._owes_post_copy = not self._save(self._migration)

    def _save(self, thing: Any) -> bool:
        try:
            thing.save()
        except Exception as error:
            LOG.warning('Progress was not written: %s', error, instance=self._instance)
            return False
        return True


def explain(context: Any, instance: Any, host: str, reason: str) -> None:
    """Put the reason of a stop where the owner finds it: the server's instance action."""
    try:
        with compute_utils.EventReporter(
                context, EVENT_NAME, host, instance.uuid, graceful_exit=True):
            raise StoppedByPolicy(reason=reason)
    except StoppedByPolicy:
        # The reporter passes it on once it is written down.
        pass
    except Exception as error:
        LOG.warning('The reason was not written to the instance action: %s', error,
                    instance=instance)
