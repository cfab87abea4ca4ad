# SPDX-License-Identifier: Apache-2.0
"""Takes up the migrations of this host that nobody watches: at the start, and while it runs.

Evidence is collected from libvirt here, from the destination and from Nova; what it means is the
table's business, and how it is done that of `hands`. A migration that is watched is left alone.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
import functools
import threading
import time
from typing import Any, Protocol

from oslo_log import log as logging

from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import plan
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy.recovery import staying
from nova_migpolicy.recovery import table
from nova_migpolicy import vocabulary
from nova_migpolicy import written as written_mod

LOG = logging.getLogger(__name__)

Action = plan.Action
Kind = table.Kind
Record = record_mod.Record
# Between two looks at what nobody watches; a fault is mended at most this long, and the time of
# the mending, after it is over.
LOOK_EVERY_S = 15.0
# Of these looks, each so-manieth is also at what no record tells of.
SEARCH_EVERY = 2
# Nova may change its records while the hosts are asked, or this process may be frozen: then they
# are asked again.
LOOKS = 3
# What is seen is written down where it has changed, and else once in so long.
SEEN_EVERY_S = 60.0
# What is undecided for longer is locked: most of it passes sooner.
LOCK_AFTER_S = 30.0
# What went wrong then is for operators: a server's owner sees the reason of its lock.
FAILED = 'the last step failed'
# These wait for something outside, and are told about each time that they change.
_UNDECIDED = frozenset({Kind.WAIT, Kind.HOLD, Kind.RESUME})
# How a migration has ended after these.
_OUTCOME = {Action.FINISH_IN_NOVA: vocabulary.COMPLETED,
            Action.ROLL_BACK_IN_NOVA: vocabulary.FAILED, Action.CLOSE_IN_NOVA: vocabulary.FAILED}


class World(Protocol):
    """What recovery has to ask, and what only the driver can do."""

    def source(self, server: str) -> tuple[evidence.Source, bool]:
        """Return the domain on this host, and whether libvirt has a job of its migration."""

    def destination(self, context: Any, host: str, server: str) -> evidence.Destination:
        """Ask another host for the domain there."""

    def is_watched(self, record: Record) -> bool:
        """Whether Nova prepares it or a monitor is at work on it, in this process."""

    def watch(self, record: Record) -> None:
        """Take over a job that runs, watch it to its end, and end the migration."""

    def resume_post_copy(self, record: Record) -> float | None:
        """Take up post-copy where it broke off.

        Returns the seconds until it is worth another look; None where the next one will do.
        """

    def discard(self, record: Record) -> None:
        """Remove what a deleted server has left here and on the destination."""

    def tell(self, record: Record, text: str) -> None:
        """Put a sentence into the timeline of the migration."""

    def end(self, record: Record, outcome: str, reason: str) -> None:
        """Put the end into the timeline of the migration, unless it has that already."""


class Recovery:
    """The recovery of this host's migrations.

    :param search: returns what nothing was written down of, made again as far as it is known
    :param clock: seconds; it goes on while this process is frozen
    """

    def __init__(self, records: written_mod.Records, hands: hands_mod.Hands, world: World,
                 search: Callable[[], Iterable[Record]] = lambda: (),
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._records = records
        self._search = search
        self._clock = clock
        self._looks = 0
        self._is_searching = False
        self._hands = hands
        self._world = world
        self._busy: set[str] = set()
        # The last look at each that is being taken up, and its time since the epoch.
        self._seen: dict[str, tuple[evidence.Evidence, float]] = {}
        # Since when each is undecided; what is written down may not be writable.
        self._undecided_s: dict[str, float] = {}
        # Seconds from a try to resume it until the next.
        self._rests_s: dict[str, float | None] = {}
        # The migrations that were written down at the last look, by their servers.
        self._written: Mapping[str, Iterable[str]] = {}
        self._touched: set[str] = set()
        # Releases that were dealt with, by the migration.
        self._let_go: set[str] = set()
        self._owed: dict[str, Callable[[], object]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._do: Mapping[Action, Callable[[Record, table.Step], object]] = {
            Action.WATCH: lambda record, step: world.watch(record),
            Action.MARK_FINISHING: functools.partial(
                self._mark, written=evidence.Written.FINISHING),
            Action.REMOVE_SOURCE_COPY: lambda record, step: hands.remove_source_copy(record),
            Action.END_SOURCE_COPY: lambda record, step: hands.end_copy(record),
            Action.FINISH_IN_NOVA: lambda record, step: hands.finish(record),
            Action.MARK_DONE: functools.partial(self._mark, written=evidence.Written.DONE),
            Action.CLOSE_IN_NOVA: lambda record, step: hands.close(record),
            Action.MARK_ROLLING_BACK: functools.partial(
                self._mark, written=evidence.Written.ROLLING_BACK),
            Action.LET_RUN: lambda record, step: hands.let_run(record),
            Action.ROLL_BACK_IN_NOVA: lambda record, step: hands.roll_back(record),
            Action.RESUME_POST_COPY: self._resume,
            Action.REMOVE_ALL_COPIES: lambda record, step: world.discard(record),
            Action.LOCK: lambda record, step: hands.lock(record, step.reason),
            Action.UNLOCK: lambda record, step: hands.unlock(record),
            Action.FORGET: self._forget,
        }

    def start(self) -> None:
        """Look again and again, in a thread of its own."""
        threading.Thread(target=self._run, name='recovery', daemon=True).start()

    def stop(self) -> None:
        """Begin nothing any more."""
        self._stopped.set()

    @property
    def is_busy(self) -> bool:
        """Whether a step is under way."""
        return bool(self._busy)

    def _run(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            try:
                self.look_around()
            except Exception:
                LOG.exception('Recovery looks again in %d s', LOOK_EVERY_S)

    def look_around(self) -> None:
        """Take up, each in a thread of its own, what is written down and not watched.

        What is not written down is searched for in a thread, too: the database may not answer.
        """
        self._looks += 1
        if self._looks % SEARCH_EVERY == 0 and not self._is_searching:
            self._is_searching = True
            threading.Thread(target=self._find, name='recovery of the unwritten',
                             daemon=True).start()
        found = self._records.all()
        written: dict[str, list[str]] = {}
        for record in found:
            written.setdefault(record.server, []).append(record.migration)
        self._written = written
        for gone in self._undecided_s.keys() - {record.migration for record in found}:
            self._undecided_s.pop(gone, None)
        for record in found:
            self.take_up(record)
        for release in self._records.releases(unused_only=True):
            if release.record.migration not in self._let_go:
                self._begin(release.record, functools.partial(self._let_server_go, release))

    def _find(self) -> None:
        """Write down, and take up, what nothing was written down of."""
        try:
            for record in self._search():
                if self._records.add(record):
                    LOG.warning('Nothing was written down of migration %s, which nobody is at '
                                'work on', record.migration, instance_uuid=record.server)
                    self.take_up(record)
        except Exception as error:
            LOG.warning('Migrations that nothing was written down of are searched for again in '
                        '%(time)d s: %(error)s', {'time': SEARCH_EVERY * LOOK_EVERY_S,
                                                  'error': error})
        finally:
            self._is_searching = False

    def is_at(self, migration: str) -> bool:
        """Whether a migration is being taken up just now."""
        return migration in self._busy

    def known(self) -> Callable[[str, str | None], bool]:
        """Read what is written down here, and return whether a migration is.

        It takes the UUIDs of a server and its migration; with None for this, any of the server's.
        """
        written = {(record.server, migration) for record in self._records.all()
                   for migration in (None, record.migration)}
        return lambda server, migration: (server, migration) in written

    def open_of(self, server: str) -> Record | None:
        """Return the unfinished migration of a server, watched or not; None for none."""
        found = [record for record in self._records.all() if record.server == server]
        return max(found, key=lambda record: record.started_s, default=None)

    def owe(self, record: Record, start: Callable[[], object]) -> None:
        """Take up a migration; call `start` once nothing is left of it."""
        self._owed[record.server] = start
        self.take_up(record)

    def finish(self, migration: str) -> None:
        """Take up a migration by its UUID."""
        record = self._records.get(migration)
        if record is not None:
            self.take_up(record)

    def has_touched(self, server: str) -> bool:
        """Whether Nova's records of a server may have changed since this process was started."""
        return server in self._touched

    def take_up(self, record: Record) -> None:
        """Begin on a migration that nobody watches; one that is being taken up already is not."""
        self._begin(record, functools.partial(self._go_on, record.migration))

    def _begin(self, record: Record, do: Callable[[], object]) -> None:
        with self._lock:
            if (self._stopped.is_set() or record.migration in self._busy
                    or self._world.is_watched(record)):
                return
            self._busy.add(record.migration)
            self._touched.add(record.server)
        try:
            threading.Thread(target=self._take_up, args=(record, do), daemon=True,
                             name=f'recovery of {record.migration}').start()
        except RuntimeError as error:
            LOG.warning('Migration %(migration)s is taken up at the next look: %(error)s',
                        {'migration': record.migration, 'error': error})
            with self._lock:
                self._busy.discard(record.migration)

    def _take_up(self, record: Record, do: Callable[[], object]) -> None:
        try:
            do()
        except Exception as error:
            LOG.exception('Migration %s is not recovered yet', record.migration)
            self._note_failure(record.migration, error)
        finally:
            self._seen.pop(record.migration, None)
            with self._lock:
                self._busy.discard(record.migration)
            self._pay(record.server)

    def _pay(self, server: str) -> None:
        """Do what is owed to a server of which no migration is left open."""
        # Not before this migration is no longer busy: who owes it afterwards takes it up again.
        if not self._stopped.is_set() and self.open_of(server) is None:
            start = self._owed.pop(server, None)
            try:
                if start is not None:
                    start()
            except Exception:
                LOG.exception('Nova has not looked after it as at each start',
                              instance_uuid=server)

    def _go_on(self, migration: str) -> None:
        """Do step after step until nothing is left, or something has to be waited for."""
        before = None
        while not self._stopped.is_set():
            # What was kept meanwhile counts.
            record = self._records.get(migration)
            if record is None:
                return
            step = plan.carry_out(functools.partial(self._look, record),
                                  functools.partial(self._act, record))
            if step.kind is Kind.NOTHING:
                return
            # Taken twice, it has not changed what it can: the rest passes by itself, or does not.
            if step.kind in _UNDECIDED or step == before:
                self._say(record, step)
                if not self._rest(migration):
                    return
            before = step

    def _resume(self, record: Record, step: table.Step) -> None:
        self._rests_s[record.migration] = self._world.resume_post_copy(record)

    def _rest(self, migration: str) -> bool:
        """Wait until a try to resume is due again; False where that is the next look's."""
        rest_s = self._rests_s.pop(migration, None)
        return (rest_s is not None and rest_s < LOOK_EVERY_S
                and not self._stopped.wait(rest_s))

    def _let_server_go(self, release: written_mod.Release) -> None:
        """Do for a server that an operator has released what an end of its migration would."""
        record = release.record
        self._owed.pop(record.server, None)
        if not self._hands.let_go(record):
            self._records.use_release(record.server, record.migration)
            return
        LOG.warning('%(by)s has released it from migration %(migration)s: it may be started once',
                    {'by': release.by, 'migration': record.migration},
                    instance_uuid=record.server)
        self._world.tell(record, f'recovery: released by {release.by}')
        self._let_go.add(record.migration)

    def _look(self, record: Record) -> evidence.Evidence:
        found = self.look(record)
        self._seen[record.migration] = found, time.time()
        return found

    def look(self, record: Record) -> evidence.Evidence:
        """Collect the evidence of a migration now.

        Where it does not come together in time, Nova counts as not known: nothing is done then.
        """
        now = self._records.get(record.migration)
        context = kept_mod.context_of(record)
        known = hands_mod.nova_knows(record, context)
        for _ in range(LOOKS):
            before, began_s = known, self._clock()
            # The source last: while the other was asked, its job may have ended.
            is_evacuated = (known.home is evidence.Home.OTHER
                            and self._is_evacuated(context, record))
            destination = self._world.destination(context, record.destination, record.server)
            source, job = self._world.source(record.server)
            known = hands_mod.nova_knows(record, context)
            if known == before and self._clock() - began_s <= plan.FRESH_S:
                break
        else:
            LOG.warning('What is asked of Nova and of both hosts is answered too slowly, or '
                        'changes meanwhile', instance_uuid=record.server)
            known = known._replace(home=evidence.Home.SILENT)
        if self._has_newer(record):
            known = known._replace(is_superseded=True)
        return evidence.Evidence(
            source=source, job=job, destination=destination,
            written=now.written if now is not None else evidence.Written.LOST,
            is_evacuated=is_evacuated, **known._asdict())

    def _has_newer(self, record: Record) -> bool:
        """Whether a later migration of the server is not finished, whatever Nova calls it.

        Its volumes and its guest are that one's then.
        """
        others = [self._records.get(one) for one in self._written.get(record.server, ())
                  if one != record.migration]
        return any(other is not None and other.started_s > record.started_s
                   and other.written is not evidence.Written.DONE for other in others)

    def stay_obstacle(self, record: Record) -> str | None:
        """Return why a guest may not be taken for the source's, once its monitor saw the end.

        :param record: as it was begun
        """
        return staying.obstacle(self.look(record))

    def _is_evacuated(self, context: Any, record: Record) -> bool:
        """Whether a third host runs the server since it was evacuated from here."""
        third = hands_mod.evacuated_to(record, context)
        return third is not None and self._world.destination(
            context, third, record.server) is evidence.Destination.ARRIVED

    def _act(self, record: Record, action: Action, step: table.Step) -> None:
        LOG.info('Recovery: %(action)s, for %(reason)s', {
            'action': action.value, 'reason': step.reason}, instance_uuid=record.server)
        if action not in (Action.LOCK, Action.FORGET, Action.UNLOCK):
            self._world.tell(record, f'recovery: {action.value}, for {step.reason}')
        self._do[action](record, step)
        if action is not Action.LOCK:
            # Something was decided.
            self._undecided_s.pop(record.migration, None)
        outcome = _OUTCOME.get(action)
        if outcome is not None:
            self._world.end(record, outcome, f'recovery: {step.reason}')

    def _forget(self, record: Record, step: table.Step) -> None:
        if record.written is not evidence.Written.DONE:
            self._hands.drop_allocation(record)
        self._records.drop(record.migration)

    def _mark(self, record: Record, step: table.Step, written: evidence.Written) -> None:
        self._records.change(record.migration, written=written)

    def _say(self, record: Record, step: table.Step) -> None:
        """Write down what is waited for, and tell where that is new."""
        before = record.undecided or {}
        since_s = self._undecided_s.setdefault(record.migration, time.time())
        since_s = min(since_s, before.get('since_s', since_s))
        now = {'since_s': since_s, 'kind': step.kind.value,
               'reason': step.reason, **self._last_look(record, before)}
        if (step.kind is not Kind.HOLD and now['since_s'] <= time.time() - LOCK_AFTER_S
                and not self._is_anothers(record)):
            self._lock_meanwhile(record, step)
        is_told = all(before.get(name) == now[name] for name in ('kind', 'reason'))
        if is_told and not _has_aged(before, now):
            return
        # First: whoever reads the log may ask for it at once.
        self._records.change(record.migration, undecided=now)
        if is_told:
            return
        LOG.warning('Migration %(migration)s is undecided: %(reason)s', {
            'migration': record.migration, 'reason': step.reason}, instance_uuid=record.server)
        self._world.tell(record, f'recovery: {step.kind.value}, for {step.reason}')

    def _is_anothers(self, record: Record) -> bool:
        """Whether a server is a newer migration's, which is not undecided for this one's sake."""
        seen = self._seen.get(record.migration)
        return seen is not None and seen[0].is_superseded

    def _lock_meanwhile(self, record: Record, step: table.Step) -> None:
        reason = FAILED if step.reason.startswith(FAILED) else step.reason
        try:
            self._hands.lock(record, reason)
        except Exception as error:
            LOG.warning('It is not locked, though its migration is undecided: %s', error,
                        instance_uuid=record.server)

    def _last_look(self, record: Record, before: record_mod.Mapping) -> dict[str, Any]:
        if record.migration not in self._seen:
            return {'seen': before.get('seen'), 'seen_s': before.get('seen_s')}
        seen, at_s = self._seen[record.migration]
        return {'seen': seen.to_dict(), 'seen_s': at_s}

    def _note_failure(self, migration: str, error: Exception) -> None:
        try:
            record = self._records.get(migration)
            if record is not None:
                self._say(record, table.Step(
                    Kind.WAIT, f'{FAILED}: {type(error).__name__}: {error}'[:500]))
        except exception.MigPolicyError as again:
            LOG.warning('Migration %(migration)s: %(error)s',
                        {'migration': migration, 'error': again})


def _has_aged(before: record_mod.Mapping, now: record_mod.Mapping) -> bool:
    """Whether what is written down of the last look is not what was seen, or is old."""
    if before.get('seen') != now['seen']:
        return True
    age_s = (now['seen_s'] or 0.0) - (before.get('seen_s') or 0.0)
    # The clock may have been set back.
    return not 0.0 <= age_s < SEEN_EVERY_S
