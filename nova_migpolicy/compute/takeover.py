# SPDX-License-Identifier: Apache-2.0
"""Recovery's view of this host, and its way to watch a migration that an earlier process began."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import MutableMapping
import contextlib
import dataclasses
import datetime
import functools
import time
from typing import Any

from oslo_log import log as logging

from nova_migpolicy.compute import compat
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import nova_records
from nova_migpolicy.compute import peers
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.monitor import adopted
from nova_migpolicy.monitor import breaking
from nova_migpolicy.monitor import domains
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import resuming
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy import vocabulary
from nova_migpolicy import written as written_mod

LOG = logging.getLogger(__name__)
End = outcome_mod.End


@dataclasses.dataclass(frozen=True)
class Here:
    """What the driver of this process gives.

    domain: what libvirt says of a server. guest: the calls on it, for a thread of its own.
    open_session: makes the session of a migration whose job runs. events: libvirt's, while in the
    block. disk_paths: of the disks that are copied. is_novas: whether Nova, in this process, has a
    migration in its queue or is at work on it, by the UUIDs of its server and its own. journal: of
    a migration that was begun before. interval_s: the least time between two writes of progress.
    call: the migrate call of a migration, to make it again. own_guest: as `guest`, on a connection
    of its own, for a call that lasts. libvirt_version: of this host's. resume_obstacle: why
    post-copy of a server to a host could not be taken up again; None where it could. adopt: counts
    a migration of a server as one that has its slots. give_slots_back: those of a migration, by
    its UUID.
    """

    domain: Callable[[str], domains.Answers]
    guest: Callable[[str], guest_mod.MigratingGuest]
    open_session: Callable[[migration_mod.Migration, record_mod.Record, Any, Any],
                           session_mod.Session]
    events: Callable[[Any, session_mod.Session], contextlib.AbstractContextManager[bool]]
    disk_paths: Callable[[Any, Any], list[str]]
    is_novas: Callable[[str, str], bool]
    journal: Callable[[record_mod.Record], journal_mod.Journal]
    interval_s: Callable[[], float]
    call: Callable[[record_mod.Record, Any, Any, Any], resuming.Call]
    own_guest: Callable[[str], contextlib.AbstractContextManager[guest_mod.MigratingGuest]]
    libvirt_version: Callable[[], int]
    resume_obstacle: Callable[[str, str], str | None]
    adopt: Callable[[record_mod.Record, Any], object]
    give_slots_back: Callable[[str], object]


class Takeover:
    """Recovery's view of the world, and the watching of what an earlier process began.

    :param current: by the server's UUID, the migrations that are watched
    :param channel: asks other hosts
    """

    def __init__(self, current: MutableMapping[str, migration_mod.Migration],
                 records: written_mod.Records, hands: hands_mod.Hands, channel: Any,
                 here: Here) -> None:
        self._current = current
        self._records = records
        self._hands = hands
        self._channel = channel
        self._here = here
        # Those of post-copies that broke off, by the UUID of the migration.
        self._tries: dict[str, resuming.Resuming] = {}

    def source(self, server: str) -> tuple[evidence.Source, bool]:
        """Return the domain on this host, and whether libvirt has a job of its migration."""
        found = self._here.domain(server)
        return found.source, found.job

    def destination(self, context: Any, host: str, server: str) -> evidence.Destination:
        """Ask another host for the domain there."""
        return peers.ask(self._channel, context, host, server).destination

    def is_watched(self, record: record_mod.Record) -> bool:
        """Whether Nova prepares it or a monitor is at work on it, in this process."""
        # In this order: Nova has it until its monitor has ended.
        return (record.server in self._current
                or self._here.is_novas(record.server, record.migration))

    def tell(self, record: record_mod.Record, text: str) -> None:
        """Put a sentence into the timeline of the migration."""
        self._journal(record).add(vocabulary.EVENT, time.monotonic(), text=text)

    def end(self, record: record_mod.Record, outcome: str, reason: str) -> None:
        """Put the end into the timeline of the migration, unless it has that already.

        Its monitor may have seen it, and knows more of it. One that no monitor has watched has no
        start there, by which it is known whose it is.
        """
        journal = self._journal(record)
        before = journal.outcome()
        if before == outcome or (before == vocabulary.CANCELLED and outcome == vocabulary.FAILED):
            return
        if before is None and not any(journal.of_kind(vocabulary.START)):
            began = datetime.datetime.fromtimestamp(record.started_s, datetime.timezone.utc)
            journal.add(vocabulary.START, journal.started_s, server=record.server,
                        destination=record.destination,
                        time=began.isoformat(timespec='milliseconds'))
        journal.add(vocabulary.END, time.monotonic(), outcome=outcome, reason=reason,
                    percent=100.0 if outcome == vocabulary.COMPLETED else 0.0,
                    total_seconds=round(max(0.0, time.time() - record.started_s), 3))

    def _journal(self, record: record_mod.Record) -> journal_mod.Journal:
        current = self._current.get(record.server)
        session = current.session if current is not None else None
        return self._here.journal(record) if session is None else session.journal

    def discard(self, record: record_mod.Record) -> None:
        """Remove what a deleted server has left here and on the destination.

        :raises exception.GuestError: it is not deleted
        :raises client.Refused: the destination has not done it
        """
        context = kept_mod.context_of(record)
        if self.source(record.server)[0] is not evidence.Source.ABSENT:
            self._hands.discard(context, record.server)
        if self.destination(context, record.destination,
                            record.server) is not evidence.Destination.ABSENT:
            self._channel.ask(context, record.destination, 'discard', server=record.server)

    def resume_post_copy(self, record: record_mod.Record) -> float | None:
        """Take up post-copy where it broke off, and break it off again where it hangs.

        Returns the seconds until it is worth another look; None where that is not known.
        """
        context = kept_mod.context_of(record)
        there = peers.look(self._channel, context, record.destination, record.server)
        if there is None:
            return None
        migrate_data, _ = kept_mod.objects_of(record, context)
        instance, _ = hands_mod.load(record, context)
        self._here.adopt(record, instance)
        tries = self._tries.setdefault(record.migration, resuming.Resuming())
        before = tries.tries
        say = functools.partial(self.tell, record)
        watch = breaking.Watch(self._here.guest(record.server), functools.partial(
            self._here.resume_obstacle, record.server, record.destination), say)
        try:
            with self._here.own_guest(record.server) as guest, watch:
                is_whole = tries.attempt(
                    guest, self._here.call(record, context, instance, migrate_data),
                    libvirt_here=self._here.libvirt_version(),
                    libvirt_there=there.libvirt_version, say=say)
        finally:
            # Nothing flows until the next try, which may be long to come.
            self._here.give_slots_back(record.migration)
        if is_whole:
            del self._tries[record.migration]
        self._records.change(record.migration, tries=record.tries + tries.tries - before)
        return 0.0 if is_whole else tries.rest_s

    def watch(self, record: record_mod.Record) -> None:
        """Take over a job that runs, watch it to its end, and end the migration."""
        context = kept_mod.context_of(record)
        instance, migration = hands_mod.load(record, context)
        kept = kept_mod.Kept(self._records, record.migration, record.policy['request'],
                             is_kept=True)
        with self._open(record, context, instance) as session:
            kept.change(undecided=None)
            self._here.adopt(record, instance)
            session.flowed = functools.partial(self._here.give_slots_back, record.migration)
            outcome = self._watch(record, session, context, instance, migration, kept)
            if outcome is not None:
                self._here.give_slots_back(record.migration)
            if outcome is None or outcome.end in (End.BROKEN, End.UNDECIDED):
                # The next look at it says what to do, by the next nova-compute where it is left.
                return
            if outcome.end is End.COMPLETED:
                kept.change(written=evidence.Written.FINISHING)
                self._hands.finish(record)
                return
            kept.change(written=evidence.Written.ROLLING_BACK)
            nova_records.explain(context, instance, record.source, outcome.reason)
            self._hands.roll_back(record, outcome.end.value)

    @contextlib.contextmanager
    def _open(self, record: record_mod.Record, context: Any,
              instance: Any) -> Iterator[session_mod.Session]:
        """Let it be found by the API, by its orders and by Nova's."""
        migrate_data, _ = kept_mod.objects_of(record, context)
        current = migration_mod.Migration(record.migration, compat.make_inbox())
        self._current[record.server] = current
        try:
            session = current.session = self._here.open_session(
                current, record, instance, migrate_data)
            yield session
        finally:
            current.close()
            if self._current.get(record.server) is current:
                del self._current[record.server]

    def _watch(self, record: record_mod.Record, session: session_mod.Session, context: Any,
               instance: Any, migration: Any,
               kept: kept_mod.Kept) -> outcome_mod.Outcome | None:
        disk_paths = self._here.disk_paths(context, instance) if record.block_migration else []
        with contextlib.ExitStack() as stack:
            session.has_events = stack.enter_context(self._here.events(instance, session))
            call = stack.enter_context(adopted.AdoptedCall(
                self._here.guest(record.server), session.call, session.inbox))
            reporter = stack.enter_context(nova_records.Reporter(
                instance, migration, call.is_over, self._here.interval_s(), session.inbox.clock,
                kept, session.look_from_outside))
            outcome = session.watch(reporter, disk_paths, time.sleep)
            if outcome is None:
                reporter.leave()
            return outcome
