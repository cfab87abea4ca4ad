# SPDX-License-Identifier: Apache-2.0
"""Asks, before anything starts a server's guest on this host, whether another host runs it.

Only where a migration of it is unfinished, or ended otherwise than Nova or we end one. What the
evidence allows is the business of recovery.doors; where the guest runs elsewhere, its migration is
finished and the request fails.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import functools
from typing import Any, NoReturn

from nova.compute import vm_states
from nova import exception as nova_exception
from nova import objects
from oslo_log import log as logging

from nova_migpolicy.channel import client
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import peers
from nova_migpolicy.monitor import domains
from nova_migpolicy.recovery import doors
from nova_migpolicy.recovery import evidence
from nova_migpolicy import written as written_mod

LOG = logging.getLogger(__name__)

Home = evidence.Home


class Closed(nova_exception.NovaException):
    """The guest is not started here; the sentence says why, and what to do."""

    msg_fmt = '%(reason)s'


@dataclasses.dataclass(frozen=True)
class Case:
    """A migration of a server that is unfinished or ended oddly, with none completed since.

    migration: its UUID. destination: empty where Nova had not chosen one. written: LOST where it
    was not written down on this host. began_s: when it was asked for, in seconds since the epoch.
    """

    migration: str
    source: str
    destination: str
    written: evidence.Written
    status: evidence.Status
    began_s: float


class Doors:
    """The question before each start on this host.

    :param host: this host
    :param domain: what libvirt here says of a server
    :param finish: takes up a migration that this host, its source, has written down
    :param note_allocation: of a server on this host, its destination, before Nova deletes it
        together with what a refused evacuation has claimed; by the UUIDs of the server and its
        migration
    """

    def __init__(self, host: str, records: written_mod.Records,
                 domain: Callable[[str], domains.Answers], channel: client.Channel,
                 finish: Callable[[str], object],
                 note_allocation: Callable[[Any, str, str], object]) -> None:
        self._host = host
        self._records = records
        self._domain = domain
        self._channel = channel
        self._finish = finish
        self._note_allocation = note_allocation

    def check(self, context: Any, instance: Any) -> None:
        """Return where the guest may be started here.

        :raises Closed: it may not
        """
        # Many of them may be between the same hosts, and a silent one takes seconds to ask.
        ask = functools.cache(functools.partial(self._ask, context, instance.uuid))
        is_off = functools.cache(lambda host: peers.is_off(
            self._channel, context, host, instance.uuid))
        closed: list[tuple[Case, Home, doors.Opening]] = []
        for case in self._cases(context, instance):
            if self._only_starts_anew(instance, case):
                continue
            seen, here = self._look(instance, case, ask, is_off)
            found = doors.opening(seen, here)
            if found.answer is doors.Answer.START:
                continue
            if doors.opening(seen, here, is_released=True).answer is not doors.Answer.START:
                self._refuse(context, instance, case, here, found)
            closed.append((case, here, found))
        if closed and not self._is_released(context, instance, [case for case, _, _ in closed]):
            self._refuse(context, instance, *closed[0])

    def _refuse(self, context: Any, instance: Any, case: Case, here: Home,
                found: doors.Opening) -> NoReturn:
        reason = found.reason
        if (here is Home.DESTINATION and instance.host != self._host
                and instance.task_state in hands_mod.REPLACING):
            self._note_allocation(context, instance.uuid, case.migration)
        if found.answer is doors.Answer.FINISH:
            reason = self._finish_instead(context, instance, case, here, reason)
        LOG.error('It is not started here: %s', reason, instance=instance)
        raise Closed(reason=f'It is not started on {self._host}: {reason}')

    def has_to_ask(self, context: Any, instance: Any) -> bool:
        """Whether `check` would ask other hosts, which takes long where one is silent."""
        try:
            return any(not self._only_starts_anew(instance, case)
                       for case in self._cases(context, instance))
        except Exception as error:
            LOG.warning('It is not known whether another host has to be asked: %s', error,
                        instance=instance)
            return False

    def _only_starts_anew(self, instance: Any, case: Case) -> bool:
        if instance.host != self._host:
            return False
        has = self._domain(instance.uuid)
        return doors.only_starts_anew(case.written, case.status, has.source, has.job,
                                      is_source=case.source == self._host)

    def _is_released(self, context: Any, instance: Any, cases: list[Case]) -> bool:
        """Whether an operator has released the server, which then counts as used up.

        :param cases: the migrations that keep it from being started, all of which end then
        """
        by = next((by for case in cases
                   if (by := self._use_release(context, instance.uuid, case)) is not None), None)
        if by is None:
            return False
        for case in cases:
            LOG.warning('It is started, for %(by)s has released it from migration %(migration)s',
                        {'by': by, 'migration': case.migration}, instance=instance)
            try:
                hands_mod.end(objects.Migration.get_by_uuid(context, case.migration))
            except nova_exception.MigrationNotFound:
                LOG.info('Nova has no migration %s any more', case.migration, instance=instance)
        return True

    def _use_release(self, context: Any, server: str, case: Case) -> str | None:
        here = self._records.use_release_here(server, case.began_s)
        if here is not None:
            return here.by
        if case.source == self._host:
            found = self._records.use_release(server, case.migration)
            return None if found is None else found.by
        try:
            _, body = self._channel.ask(context, case.source, 'use_release', server=server,
                                        migration=case.migration)
        except client.Refused as error:
            LOG.info('%s', error, instance_uuid=server)
            return None
        by = (body or {}).get('by')
        return by if isinstance(by, str) else None

    def _cases(self, context: Any, instance: Any) -> list[Case]:
        """Return all that has to be asked for, newest first.

        A later request that failed says nothing of where an earlier migration has left the guest;
        one that was completed does.
        """
        written = {record.migration: record for record in self._records.all()
                   if record.server == instance.uuid}
        cases = []
        for migration in hands_mod.newest_first(context, instance.uuid):
            record = written.pop(migration.uuid, None)
            known = evidence.Written.LOST if record is None else record.written
            status = hands_mod.status_of(migration.status)
            if doors.must_ask(known, status):
                cases.append(Case(
                    migration.uuid, migration.source_compute, migration.dest_compute or '', known,
                    status, migration.created_at.timestamp()))
            if status is evidence.Status.COMPLETED:
                return cases
        # Nova has removed its rows of these.
        return cases + [Case(one.migration, one.source, one.destination, one.written,
                             evidence.Status.MISSING, one.started_s) for one in written.values()]

    def _look(self, instance: Any, case: Case, ask: Callable[[str], domains.Answers],
              is_off: Callable[[str], bool]) -> tuple[evidence.Evidence, Home]:
        there, away = ask(case.destination), ask(case.source)
        homes = {case.source: Home.SOURCE, case.destination: Home.DESTINATION}
        here = homes.get(self._host, Home.OTHER)
        seen = evidence.Evidence(
            source=away.source, job=away.job, destination=there.destination,
            written=case.written, home=homes.get(instance.host, Home.OTHER), status=case.status,
            migrating=False, was_paused=instance.vm_state == vm_states.PAUSED,
            # Nova evacuates from a host whose nova-compute is down, on an operator's word. One
            # that answers that its libvirt does not is not off.
            fenced=(here is not Home.SOURCE and instance.host != self._host
                    and is_off(case.source)))
        return seen, here

    def _ask(self, context: Any, server: str, host: str) -> domains.Answers:
        if host == self._host:
            return self._domain(server)
        return peers.ask(self._channel, context, host, server)

    def _finish_instead(self, context: Any, instance: Any, case: Case, here: Home,
                        reason: str) -> str:
        if here is Home.SOURCE and case.written is not evidence.Written.LOST:
            self._finish(case.migration)
            return reason
        if here is Home.SOURCE:
            return f'{reason}; but it is not written down here, so that an operator has to'
        try:
            self._channel.ask(context, case.destination, 'take_over', server=instance.uuid,
                              migration=case.migration)
            return reason
        except client.Refused as error:
            return f'{reason}; but {case.destination} has not done it yet: {error}'


def finish_here(hands: hands_mod.Hands, channel: client.Channel, context: Any, host: str,
                domain: domains.Answers, server: str, migration: str) -> None:
    """Finish, on the destination, a migration whose source is off.

    :raises Closed: the evidence does not allow it
    """
    record = objects.Migration.get_by_uuid(context, migration)
    if record.dest_compute != host or record.instance_uuid != server:
        raise Closed(reason=f'migration {migration} has not brought {server} to {host}')
    if domain.destination is not evidence.Destination.ARRIVED:
        raise Closed(reason=f'the guest on {host} {domain.destination.value}')
    if not peers.is_off(channel, context, record.source_compute, server):
        raise Closed(reason=f'nova-compute on {record.source_compute} answers, or something else '
                            'is wrong there; it finishes the migration when it is well again')
    hands.finish_here(context, server, record)
