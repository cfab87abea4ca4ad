# SPDX-License-Identifier: Apache-2.0
"""Reports to Nova about a migration: progress, reasons, and at last which of Nova's ends it has.

A database or message bus that does not answer costs a line of log, never the
monitor: nothing here waits for one, and every write is one that a later one makes good.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from nova.compute import utils as compute_utils
from nova import exception as nova_exception
from oslo_log import log as logging

from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import saver
from nova_migpolicy.engine import samples
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

POST_COPY_STATUS = vocabulary.NOVA_POST_COPY
# The one value of the server's own; the others belong to Nova's record of the migration.
_PROGRESS = 'progress'
# The name of the event under the server's live-migration action.
EVENT_NAME = 'compute_live_migration_policy'
#: the length of an event's name in Nova's database
MOST_OF_NAME = 255


class StoppedByPolicy(nova_exception.NovaException):
    """Carries a reason into the server's instance action; it is never raised past this room."""

    msg_fmt = '%(reason)s'


class Reporter:
    """Nova's side of one migration; none of its methods blocks or raises.

    Its copies of Nova's objects are saved in a thread of their own. Nova's objects get the same
    values, but not as changes that are still to be saved: Nova sends these objects to other hosts,
    which save them when it has reset these values already. Values that it resets count as changed.

    :param operation_done: whether the thread with the migrate call is over
    :param interval_s: the least time between two writes of progress
    :param idle: called from time to time by that thread
    :param kept: our own record of it
    """

    def __init__(
        self,
        instance: Any,
        migration: Any,
        operation_done: Callable[[], bool],
        interval_s: float,
        clock: Callable[[], float],
        kept: kept_mod.Kept,
        idle: Callable[[], object] = lambda: None,
    ) -> None:
        self._instance = instance
        self._kept = kept
        self._migration = migration
        self._saved: tuple[Any, Any] | None = None
        try:
            self._saved = _unchanged_copy(instance), _unchanged_copy(migration)
        except Exception:
            # Nothing depends on it, and the migration runs already.
            LOG.exception('Progress of this migration is not written', instance=instance)
        self.operation_done = operation_done
        self._interval_s = interval_s
        self._clock = clock
        self._next_s = float('-inf')
        self._is_failing = False
        self._saver = saver.Saver(self._save, idle, ordered=('status',))

    def __enter__(self) -> Reporter:
        self._saver.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop writing: Nova's own final write is the last word.

        A late write of progress changes nothing that anybody reads after that, so the end of the
        migration does not wait for its answer, which may be lost with the bus.
        """
        self._saver.__exit__(*exc)

    def leave(self) -> None:
        """Do not wait for a write under way: nobody here writes anything after it."""
        self._saver.is_left = True

    def report(self, sample: samples.Sample, percent: int) -> None:
        """Write the sizes and the percentage, unless that was done a moment ago."""
        now_s = self._clock()
        if now_s < self._next_s:
            return
        self._next_s = now_s + self._interval_s
        sizes = {f'{kind}_{part}': getattr(sample, f'{kind}_{part}_bytes')
                 for kind in ('memory', 'disk') for part in ('total', 'processed', 'remaining')}
        sizes = {name: value for name, value in sizes.items() if value is not None}
        _learn(self._migration, sizes)
        _learn(self._instance, {_PROGRESS: percent})
        self._saver.put({**sizes, _PROGRESS: percent})

    def post_copy_started(self) -> None:
        """Let Nova's API know that it can no longer be cancelled, and whoever comes after us."""
        self._kept.change(written=kept_mod.Written.POST_COPY)
        _learn(self._migration, {'status': POST_COPY_STATUS})
        self._saver.put({'status': POST_COPY_STATUS})

    def policy_changed(self, in_force: Mapping[str, Any]) -> None:
        """Keep the policy for whoever takes this migration over."""
        self._kept.policy_changed(in_force)

    def _save(self, values: Mapping[str, Any]) -> bool:
        if self._saved is None:
            return True
        instance, migration = self._saved
        sizes = {name: value for name, value in values.items() if name != _PROGRESS}
        try:
            if sizes:
                _set(migration, sizes)
                migration.save()
            # Nova's own final write has to be the last word.
            if _PROGRESS in values and not self._saver.closed:
                instance.progress = values[_PROGRESS]
                instance.save()
        except Exception as error:
            if not self._is_failing:
                LOG.warning('Progress is not written until this works again: %s', error,
                            instance=self._instance)
            self._is_failing = True
            return False
        if self._is_failing:
            LOG.info('Progress is written again', instance=self._instance)
        self._is_failing = False
        return True


def _unchanged_copy(thing: Any) -> Any:
    """Return a copy of one of Nova's objects; saving it writes only values set from now on."""
    copy = thing.obj_clone()
    copy.obj_reset_changes(recursive=True)
    return copy


def _learn(thing: Any, values: Mapping[str, Any]) -> None:
    """Give an object values that are saved by another."""
    _set(thing, values)
    thing.obj_reset_changes(fields=list(values))


def _set(thing: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(thing, name, value)


def event_of(host: str) -> str:
    """Return the name of the events of one host of several.

    Nova ends the first event of a name, however many there are.
    """
    return f'{EVENT_NAME}_{host}'[:MOST_OF_NAME]


def explain(context: Any, instance: Any, host: str, reason: str,
            event: str = EVENT_NAME) -> None:
    """Put the reason of a stop where administrators find it: the server's instance action."""
    try:
        with compute_utils.EventReporter(
                context, event, host, instance.uuid, graceful_exit=True):
            raise StoppedByPolicy(reason=reason)
    except StoppedByPolicy:
        # The reporter passes it on once it is written down.
        pass
    except Exception as error:
        LOG.warning('The reason was not written to the instance action: %s', error,
                    instance=instance)


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
    """Let Nova finish or undo it; nothing where recovery has to find out which.

    :raises PostCopyBroken: either would lose the guest
    """
    if outcome.end is End.COMPLETED:
        post_method(context, instance, dest, block_migration, migrate_data)
    elif outcome.end is End.CANCELLED:
        recover_method(context, instance, dest, migrate_data, migration_status='cancelled')
    elif outcome.end is End.FAILED:
        recover_method(context, instance, dest, migrate_data)
    elif outcome.end is End.BROKEN:
        # Nova's wrapper asks for an abort then, which must not be tried.
        raise PostCopyBroken(reason=outcome.reason)
