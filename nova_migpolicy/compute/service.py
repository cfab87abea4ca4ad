# SPDX-License-Identifier: Apache-2.0
"""Answers requests about this host's migrations, and passes commands to their monitors.

Plain data in, answers out; transport is the channel's business. Nothing here calls libvirt, and no
caller waits here for longer than migration.ANSWER_S, except for Nova's database (the policy of a
migration that has not begun, and the check of a request's policy).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import pathlib
import time
from typing import Any

from nova import exception as nova_exception
from oslo_log import log as logging

from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import peers
from nova_migpolicy.compute import pending
from nova_migpolicy.compute import request_policies
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.compute import slots as slots_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import journal_reader
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy.recovery import account
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy.recovery import table
from nova_migpolicy import vocabulary
from nova_migpolicy import written as written_mod

LOG = logging.getLogger(__name__)

# A younger view is fresh enough for every caller.
FRESH_S = 1.0
LOOK_S = 0.3
#: entries of each list in an answer about recovery
MOST = 100
_NOT_YET = ('{}: not possible in the phase {}; wait until its memory is being sent, or cancel it '
            'and start it with another policy')
#: how many migrations Nova has under way from a host at once
NOVAS_LIMIT = 'max_concurrent_live_migrations'
TAKEN_UP = 'recovery, which takes it up within a minute'
_HOLD = table.Kind.HOLD.value
#: the phase of what recovery has yet to bring to its end, by what is written down
_MENDED = {evidence.Written.POST_COPY: vocabulary.POST_COPY,
           evidence.Written.ROLLING_BACK: vocabulary.ABORTING}
CANCELLED = outcome_mod.End.CANCELLED.value
Answer = protocol.Answer


class MigrationService:
    """The migrations of this host, as the channel's methods show and change them.

    :param current: by the server's UUID, those that Nova has handed over
    :param queue: Nova's own queue
    :param recall: takes early cancelled migrations out of it
    :param journals: the folder of journals; None where they are kept in memory alone
    :param resolve_for: the policy for a server, by its UUID, with the keys of a request
    :param whereabouts: what libvirt here says of a server, by its UUID
    :param take_over: finishes, on this host, a migration whose source is off
    :param discard: removes what a deleted server, by its UUID, has left on this host
    :param written: what is written down of this host's migrations
    :param slots: those of this host
    :param newest_request: the id of the newest request to migrate a server, by its UUID
    """

    def __init__(
        self,
        current: Mapping[str, migration_mod.Migration],
        *,
        early: pending.EarlyOrders,
        requests: request_policies.RequestPolicies,
        queue: pending.NovaQueue,
        recall: pending.QueueAborter,
        journals: pathlib.Path | None,
        resolve_for: Callable[[Any, str, Mapping[str, object]], resolve.Resolved],
        newest_request: Callable[[Any, str], str | None],
        whereabouts: Callable[[str], peers.Whereabouts],
        take_over: Callable[[Any, str, str], None],
        discard: Callable[[Any, str], None],
        written: written_mod.Records,
        slots: slots_mod.Slots | None,
    ) -> None:
        self._current = current
        self._early = early
        self._requests = requests
        self._journals = journals
        self._queue = queue
        self._recall = recall
        self._resolve_for = resolve_for
        self._newest_request = newest_request
        self._whereabouts = whereabouts
        self._places = peers.Places()
        self._changes = peers.Places(1, peers.MOST_CHANGES, peers.NOT_DONE)
        self._take_over = take_over
        self._discard = discard
        self._written = written
        self._slots = slots

    def policy(self, context: Any, server: str, migration: str) -> Answer:
        """Return the policy in force or, at last, of a migration that is over.

        For one that this host does not know, it is the policy that it would get now; 'begun' is
        False then.
        """
        session = self._session(server, migration)
        if session is not None:
            return Answer(protocol.OK, {**session.in_force(), 'begun': True})
        stock = self._stock_of(server, migration)
        if stock is not None and stock.resolved is None:
            return protocol.refusal(stock.sentence)
        records = self._records(server, migration)
        found = journal_reader.policy(records) if records else None
        if stock is not None and stock.resolved is not None:
            found = _untouched(stock.resolved)
        if found is not None:
            return Answer(protocol.OK, {**found, 'begun': True})
        current = self._here(server, migration)
        if current is not None and current.resolved is not None:
            return Answer(protocol.OK, {**_untouched(current.resolved), 'begun': True})
        place = self._queue.find(server, migration)
        request_id = place.request_id if place is not None else None
        try:
            # Where it has not reached this host yet, there is no newer request.
            request = self._requests.read(
                server, request_id or self._newest_request(context, server))
            resolved = self._resolve_for(context, server, request)
        except exception.PolicyError as error:
            return protocol.refusal(str(error))
        return Answer(protocol.OK, {**_untouched(resolved), 'begun': False})

    def progress(self, server: str, migration: str) -> Answer:
        """Return its status; without a body where this host does not know it."""
        session = self._session(server, migration)
        if session is not None:
            found = self._look(session)
            is_broken = found['outcome'] == vocabulary.BROKEN
            return Answer(protocol.OK, (
                is_broken and self._mended(server, migration, found)) or found)
        records = self._records(server, migration)
        ended = journal_reader.progress(records) if records else None
        ended = self._mended(server, migration, ended) or ended
        if ended is not None:
            return Answer(protocol.OK, ended)
        current = self._here(server, migration)
        if current is not None and current.is_preparing:
            wait = current.parked()
            return Answer(protocol.OK, vocabulary.blank_status(
                phase=current.phase_before, waits_for=wait and wait.sentence))
        place = self._queue.find(server, migration)
        if place is None:
            return Answer(protocol.OK, None)
        return Answer(protocol.OK, vocabulary.blank_status(
            phase=_phase(place), waits_for=place.waits_for))

    def _mended(self, server: str, migration: str,
                ended: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the status of one that recovery has yet to bring to its end; None for others.

        :param ended: as its monitor has seen it end; None where that has not
        """
        try:
            record = self._written.get(migration) if record_mod.is_uuid(migration) else None
        except exception.RecordNotRead:
            return None
        if record is None or record.server != server or record.written is evidence.Written.DONE:
            return None
        step = record.undecided
        if (step is None if ended is None else step is not None and step['kind'] == _HOLD):
            # It is under way, or nobody but an operator changes anything any more.
            return None
        reason = TAKEN_UP if step is None else f'recovery: {step["reason"]}'
        return {**(ended or vocabulary.blank_status()), 'outcome': None, 'reason': None,
                'final': None, 'phase': _MENDED.get(record.written, vocabulary.FINISHING),
                'waits_for': reason}

    def timeline(self, server: str, migration: str, after: int, limit: int,
                 kinds: Sequence[str]) -> Answer:
        """Return a page of its journal."""
        session = self._session(server, migration)
        if session is not None:
            session.note_silence()
        records = self._records(server, migration)
        if records is None:
            return Answer(protocol.OK, {'records': [], 'next': None})
        return Answer(protocol.OK, records.page(after, limit, kinds))

    def tune(self, server: str, migration: str, changes: Mapping[str, Any],
             release: Sequence[str]) -> Answer:
        """Change what a running migration may do, or give settings back to the engine."""
        current = self._here(server, migration)
        if current is None or not current.is_watched:
            return protocol.refusal(self._cannot_now(server, migration, 'retune'))
        return (current.order(inbox_mod.Retune(dict(changes), tuple(release)))
                or protocol.refusal(self._cannot_now(server, migration, 'retune')))

    def act(self, server: str, migration: str, action: str) -> Answer:
        """Carry out an order; a cancel or completion before the start is remembered."""
        if action not in vocabulary.ORDERS:
            return protocol.refusal(
                f'there is no action {exception.shown(action)}; there are '
                f'{", ".join(vocabulary.ORDERS)}', protocol.BAD_REQUEST)
        current = self._here(server, migration)
        now_or_never = action in (vocabulary.START_POST_COPY, vocabulary.PAUSE)
        if now_or_never and (current is None or not current.is_watched):
            return protocol.refusal(self._cannot_now(server, migration, action))
        if current is not None:
            # Under Nova's own monitor, its answer to the first caller is the true one.
            return current.order(inbox_mod.Command(action)) or Answer(protocol.ACCEPTED, None)
        records = self._records(server, migration)
        if records is not None:
            return self._after_its_end(records, action) or protocol.refusal(
                self._cannot_now(server, migration, action))
        if (action == vocabulary.FORCE_COMPLETE
                and self._early.command(migration) == vocabulary.CANCEL):
            return protocol.refusal(
                f'{action}: not possible, it is to be cancelled before it begins')
        place = self._queue.find(server, migration)
        self._early.remember(migration, action)
        if (self._here(server, migration) is not None
                and self._early.take(migration) is not None):
            # It was handed over in between, and had looked before this order was remembered.
            return self.act(server, migration, action)
        if action == vocabulary.CANCEL:
            self._recall.add(server, migration)
        return Answer(protocol.ACCEPTED, {
            'action': action, 'phase': _phase(place),
            'reason': ('It has not begun, and is ended before it does'
                       if action == vocabulary.CANCEL
                       else 'It has not begun; this is done as soon as it does')})

    def hold_request(self, context: Any, server: str, request_id: str,
                     values: Mapping[str, Any]) -> Answer:
        """Check the policy keys of a request to migrate, and store them for it."""
        try:
            resolved = self._resolve_for(context, server, values)
            self._requests.keep(server, request_id, values)
        except exception.PolicyError as error:
            return protocol.refusal(str(error), protocol.BAD_REQUEST)
        except ValueError as error:
            return protocol.refusal(str(error), protocol.BAD_REQUEST)
        except OSError as error:
            return protocol.refusal(
                f'the host cannot keep the policy of this request: {error}; ask again without '
                'one, or check the disk of the host', protocol.UNAVAILABLE)
        return Answer(protocol.OK, _untouched(resolved))

    def drop_request(self, server: str, request_id: str) -> Answer:
        """Forget the policy of a request that Nova refused."""
        self._requests.drop(server, request_id)
        return Answer(protocol.OK, {})

    def note_named(self, server: str, request_id: str) -> Answer:
        """Note that a request to migrate names its destination."""
        try:
            self._requests.note_named(server, request_id)
        except ValueError as error:
            return protocol.refusal(str(error), protocol.BAD_REQUEST)
        except OSError as error:
            return protocol.refusal(f'it is not noted: {error}', protocol.UNAVAILABLE)
        return Answer(protocol.OK, {})

    def request(self, server: str, request_id: str) -> Answer:
        """Tell another host what is known of a request to migrate."""
        return Answer(protocol.OK, {'values': self._requests.read(server, request_id),
                                    'names_host': self._requests.is_named(server, request_id)})

    def whereabouts(self, server: str) -> Answer:
        """Tell another host what libvirt here says of a server."""
        with self._places.taken(server) as obstacle:
            if obstacle is not None:
                return protocol.refusal(obstacle, protocol.UNAVAILABLE)
            return Answer(protocol.OK, self._whereabouts(server).to_dict())

    def take_over(self, context: Any, server: str, migration: str) -> Answer:
        """Finish a migration that has arrived here, for a host that was to start the guest."""
        with self._changes.taken(server) as obstacle:
            if obstacle is not None:
                return protocol.refusal(obstacle, protocol.UNAVAILABLE)
            try:
                self._take_over(context, server, migration)
            except nova_exception.NovaException as error:
                return protocol.refusal(str(error))
        return Answer(protocol.OK, {})

    def discard(self, context: Any, server: str) -> Answer:
        """Remove what a deleted server has left here, for the host that sent it here."""
        with self._changes.taken(server) as obstacle:
            if obstacle is not None:
                return protocol.refusal(obstacle, protocol.UNAVAILABLE)
            try:
                self._discard(context, server)
            except exception.GuestError as error:
                return protocol.refusal(str(error))
        return Answer(protocol.OK, {})

    def use_release(self, server: str, migration: str) -> Answer:
        """Use up, for another host, what an operator has released here; `by` is who did."""
        found = self._written.use_release(server, migration)
        return Answer(protocol.OK, {'by': None if found is None else found.by})

    def slots(self, messages: Sequence[Mapping[str, Any]]) -> Answer:
        """Take what another host says of slots; one that is nonsense costs the others nothing."""
        slots, wrong = self._known_slots(), []
        for message in messages:
            try:
                slots.receive(message)
            except exception.BadMessage as error:
                wrong.append(str(error))
        if wrong:
            more = f', and {len(wrong) - 1} more' if len(wrong) > 1 else ''
            return protocol.refusal(f'{wrong[0]}{more}', protocol.BAD_REQUEST)
        return Answer(protocol.OK, {})

    def capacity(self, most: int) -> Answer:
        """Tell the limits of this host, and who has its slots or waits for them."""
        return Answer(protocol.OK, self._known_slots().state(most))

    def set_capacity(self, max_outgoing: int | None, max_incoming: int | None) -> Answer:
        """Go by other limits, until this process ends or nova.conf is changed and read again."""
        slots = self._known_slots()
        given = {name: value for name, value in (
            ('max_outgoing', max_outgoing), ('max_incoming', max_incoming)) if value is not None}
        try:
            before, now = slots.change_limits(given)
        except exception.BadOption as error:
            return protocol.refusal(str(error), protocol.BAD_REQUEST)
        LOG.info('Slots: %(before)s becomes %(now)s, as asked through the API',
                 {'before': before, 'now': now})
        return Answer(protocol.OK, {
            'before': {name: getattr(before, name) for name in given},
            'now': {name: getattr(now, name) for name in given},
            NOVAS_LIMIT: slots.most_at_once})

    def _known_slots(self) -> slots_mod.Slots:
        if self._slots is None:
            raise RuntimeError('this host has no slots yet')
        return self._slots

    def undecided(self) -> Answer:
        """List what is undecided of this host's migrations, since the longest ago first.

        `left_out` is how many more there are, and files that are not used.
        """
        try:
            records, unused = self._written.look()
        except OSError as error:
            return protocol.refusal(
                f'what is written down there cannot be read: {error.strerror}',
                protocol.UNAVAILABLE)
        now_s = time.time()
        found = sorted((account.entry(one, now_s) for one in records if one.undecided),
                       key=lambda one: one['since_s'])
        return Answer(protocol.OK, {
            'migrations': found[:MOST],
            'unused': [{'file': str(one.path), 'reason': one.reason} for one in unused[:MOST]],
            'left_out': len(found[MOST:]) + len(unused[MOST:])})

    def recovery(self, server: str, migration: str) -> Answer:
        """Tell what is written down of a migration; `migration` is None where nothing is."""
        try:
            found = self._written.get(migration)
        except exception.RecordNotRead as error:
            return protocol.refusal(str(error), protocol.UNAVAILABLE)
        is_its = found is not None and found.server == server
        return Answer(protocol.OK, {
            'migration': account.entry(found, time.time()) if found and is_its else None})

    @staticmethod
    def _after_its_end(records: journal_reader.Records, command: str) -> Answer | None:
        """Accept a cancel of a cancelled migration; None where it was not cancelled."""
        ended = journal_reader.progress(records)
        if command != vocabulary.CANCEL or ended is None or ended['outcome'] != CANCELLED:
            return None
        return Answer(protocol.ACCEPTED, {
            'action': command, 'phase': ended['phase'], 'reason': ended['reason']})

    def _here(self, server: str, migration: str) -> migration_mod.Migration | None:
        """Return a migration that Nova has handed over and is not done with."""
        current = self._current.get(server)
        return current if current is not None and current.migration == migration else None

    def _stock_of(self, server: str, migration: str) -> migration_mod.Unmanaged | None:
        current = self._here(server, migration)
        return current.stock if current is not None else None

    def _session(self, server: str, migration: str) -> session_mod.Session | None:
        current = self._here(server, migration)
        return current.session if current is not None else None

    def _records(self, server: str, migration: str) -> journal_reader.Records | None:
        """Return the journal of a migration of this very server; None where there is none."""
        session = self._session(server, migration)
        if session is not None and session.journal.path is None:
            return journal_reader.MemoryRecords(session.journal)
        if self._journals is None:
            return None
        try:
            records = journal_reader.FileRecords(journal_mod.file_for(self._journals, migration))
            # One that waits has written what for, and no start yet.
            is_its = journal_reader.is_of(records, server) or session is not None
            return records if is_its else None
        except (ValueError, FileNotFoundError):
            return None

    def _look(self, session: session_mod.Session) -> dict[str, Any]:
        end = session.journal.latest(vocabulary.END)
        if end is not None:
            # Nova is not done with it, but our part is over and known.
            return {**session.view(), **journal_reader.ending(end), 'phase': vocabulary.FINISHING}
        found = session.view()
        if found['age_seconds'] < FRESH_S:
            return found
        item = inbox_mod.Look()
        same = session.inbox.waiting(item)
        if same is not None:
            same.reply.wait(LOOK_S)
        elif session.inbox.ask(item):
            item.reply.wait(LOOK_S)
        return session.view()

    def _cannot_now(self, server: str, migration: str, what: str) -> str:
        """Explain why a migration without a session cannot be steered."""
        stock = self._stock_of(server, migration)
        if stock is not None:
            return stock.sentence
        current = self._here(server, migration)
        if current is not None:
            if current.resolved is not None and current.resolved.policy.is_stock:
                return migration_mod.STOCK
            wait = current.parked()
            return _not_yet(what, current.phase_before, wait.nameless if wait else None)
        records = self._records(server, migration)
        ended = journal_reader.progress(records) if records else None
        if ended is not None:
            return f'{what}: not possible in the phase done, it is {ended["outcome"]}'
        place = self._queue.find(server, migration)
        if place is not None:
            return _not_yet(what, _phase(place), place.waits_for)
        return (f'{what}: not possible, it is in no phase of this host: it has not begun or is '
                'over; see its status')


def _not_yet(what: str, phase: str, waits_for: str | None) -> str:
    return _NOT_YET.format(what, f'{phase} ({waits_for})' if waits_for else phase)


def _phase(place: pending.Place | None) -> str:
    """Return the phase of a migration that has not begun; the conductor has those not here."""
    if place is None:
        return vocabulary.QUEUED
    return vocabulary.WAITING if place.waits_for else vocabulary.PREPARING


def _untouched(resolved: resolve.Resolved) -> dict[str, Any]:
    """Return a policy as it was resolved, without any retune."""
    return {**resolved.to_dict(), 'held': {}, 'retuned': {}, 'notes': []}
