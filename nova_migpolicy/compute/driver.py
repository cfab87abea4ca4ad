# SPDX-License-Identifier: Apache-2.0
"""Nova's LibvirtDriver with its wait for a live migration replaced by our monitor.

Everything else is Nova's own. A server whose policy is the profile `nova` is watched by Nova's own
code; it waits for its slots as all do.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import dataclasses
import functools
import pathlib
import time
from typing import Any

import libvirt
from nova.compute import vm_states
import nova.conf
from nova import context as nova_context
from nova import exception as nova_exception
from nova import objects
from nova.virt.libvirt import driver as libvirt_driver
from nova.virt.libvirt import guest as libvirt_guest
from oslo_log import log as logging

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.channel import client
from nova_migpolicy.channel import protocol
from nova_migpolicy.channel import server
from nova_migpolicy.compute import arrivals as arrivals_mod
from nova_migpolicy.compute import bindings
from nova_migpolicy.compute import compat
from nova_migpolicy.compute import connection
from nova_migpolicy.compute import dirty_rate
from nova_migpolicy.compute import doors as doors_mod
from nova_migpolicy.compute import fits
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import hooks as hooks_mod
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import lifecycle
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import nova_records
from nova_migpolicy.compute import outside
from nova_migpolicy.compute import parking
from nova_migpolicy.compute import peers
from nova_migpolicy.compute import pending
from nova_migpolicy.compute import policies
from nova_migpolicy.compute import precheck
from nova_migpolicy.compute import recovering
from nova_migpolicy.compute import request_policies
from nova_migpolicy.compute import service
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.compute import sighup
from nova_migpolicy.compute import slots as slots_mod
from nova_migpolicy.compute import stopping as stopping_mod
from nova_migpolicy.compute import strays as strays_mod
from nova_migpolicy.compute import takeover as takeover_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import domains
from nova_migpolicy.monitor import events
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.monitor import neighbours as neighbours_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import resuming
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import resolve
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy.recovery import table
from nova_migpolicy import vocabulary
from nova_migpolicy import written as written_mod

CONF = nova.conf.CONF
LOG = logging.getLogger(__name__)

MIB = 2 ** 20
DELETED = 'its server is being deleted'
# What is written down of a migration whose data may flow, and what libvirt says of such a guest
# where it has no job, or does not answer.
FLOWING = (evidence.Written.COPYING, evidence.Written.POST_COPY)
MAY_FLOW = (evidence.Source.SILENT, evidence.Source.POST_COPY)
# Whoever reads it would roll back what may run on the destination.
MISLEADING = ('what is written down of the migration says that nothing was sent, and can be '
              'neither replaced nor removed; see whether the disk with the state_path of '
              'nova-compute can be written')


class OrderRefused(nova_exception.NovaException):
    """An order for a migration that cannot be carried out; Nova's records say why."""

    msg_fmt = '%(reason)s'


class LibvirtDriver(libvirt_driver.LibvirtDriver):
    """The compute driver `migpolicy.LibvirtDriver`."""

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        compat.check_nova()
        self._policies = policies.Policies(CONF)
        self._lifecycle = lifecycle.Lifecycle(super().emit_event)
        super().__init__(virtapi, read_only=read_only)
        self._current: dict[str, migration_mod.Migration] = {}
        # Servers whose migration Nova has begun to prepare since this process was started.
        self._checked: set[str] = set()
        self._early = pending.EarlyOrders()
        self._measurements = dirty_rate.Measurements(time.monotonic, time.sleep)
        self._control = connection.ControlConnection(self._host)
        state = pathlib.Path(CONF.state_path) / 'migpolicy'
        self._journals = journal_mod.prepare_folder(state / 'journal')
        self._neighbours = neighbours_mod.Neighbours()
        self._links = link_rates.LinkRates(state / 'links.json' if self._journals else None)
        self._requests = request_policies.RequestPolicies(state / 'requests')
        self._records = written_mod.Records(pathlib.Path(CONF.state_path) / written_mod.FOLDER)
        self._stopping: stopping_mod.Stopping | None = None
        self._doors: doors_mod.Doors | None = None
        self._hands: hands_mod.Hands | None = None
        self._recovery: recovering.Recovery | None = None
        self._slots: slots_mod.Slots | None = None
        self._precheck: precheck.Precheck | None = None
        self._channel: Any = None

    def init_host(self, host: str) -> None:
        """Start as Nova does, and clear away old journals."""
        super().init_host(host)
        self._remove_old_journals()
        waiting = pending.NovaQueue(lambda: self.virtapi._compute._waiting_live_migrations, host)
        hands = self._recover(host, waiting)
        sighup.install(CONF, self.virtapi._compute.reset)
        self._channel = server.serve(host, service.MigrationService(
            self._current, early=self._early, requests=self._requests,
            queue=waiting, recall=pending.QueueAborter(
                waiting, lambda migration: self._early.command(migration) == vocabulary.CANCEL,
                self._abort_queued),
            journals=self._journals, resolve_for=self._policies.resolve_for,
            newest_request=request_policies.newest, whereabouts=self._whereabouts,
            take_over=self._finish_here, discard=hands.discard, written=self._records,
            slots=self._slots))
        LOG.info('Live migrations are steered by policy; %(policy)s; %(threads)s', {
            'policy': self._policies.describe(),
            'threads': 'native threads' if compat.is_threaded() else 'eventlet'})

    def _course(self, migration: str) -> slots_mod.Course | None:
        """Return how far a migration is that this process watches."""
        for current in list(self._current.values()):
            if current.migration == migration and current.session is not None:
                found = current.session.view()
                eta_s = found['eta_seconds']
                return slots_mod.Course(found['phase'], eta_s and eta_s['expected'])
        return None

    def _begin_with_slots(self, host: str) -> None:
        """Count what flows from here, before anything else is asked."""
        slots = self._slots = slots_mod.Slots(
            host, self._policies.limits, self._peers, self._course,
            most_at_once=compat.migrations_at_once())
        self._say_unused(slots.limits)
        for record in self._records.all():
            if self._needs_slots(record.migration):
                self._adopt(record)
        self._precheck = precheck.Precheck(
            slots, self._peers,
            lambda instance, request: self._policies.resolver(instance, request)({}),
            lambda context, instance, reason: nova_records.explain(
                context, instance, host, reason, nova_records.event_of(host)))

        def changed(limits: limits_mod.Limits) -> None:
            slots.set_limits(limits)
            self._say_unused(limits)

        self._policies.on_limits(changed)
        slots.start()

    def _say_unused(self, limits: limits_mod.Limits) -> None:
        note = limits_mod.kept_from(limits.max_outgoing, compat.migrations_at_once())
        if note is not None:
            LOG.warning('Not all slots for live migrations are used: %s', note)

    def _adopt(self, record: record_mod.Record, instance: Any = None) -> None:
        """Count a migration that an earlier process has begun.

        :param instance: Nova's server; None where it has not been asked for yet
        """
        if self._slots is None or not record.destination:
            return
        name, cost_mib = record.server, 0.0
        if instance is not None:
            name = instance.display_name or record.server
            cost_mib = _cost_mib(instance, record.block_migration)
        self._slots.adopt(slots_mod.Want(
            record.migration, name, record.destination, cost_mib=cost_mib))

    def _check_slots(self) -> None:
        """Give back the slots of what nobody is at work on."""
        if self._slots is not None:
            self._slots.keep_only(self._needs_slots)

    def _needs_slots(self, migration: str) -> bool:
        """Whether somebody here is at work on a migration, or its data may flow without us."""
        if any(current.migration == migration for current in list(self._current.values())):
            return True
        try:
            record = self._records.get(migration)
        except exception.MigPolicyError:
            return True
        if record is None or record.written not in FLOWING:
            return False
        if record.undecided is not None and record.undecided['kind'] == table.Kind.HOLD.value:
            # Nothing is sent any more until an operator does something.
            return False
        found = self._domain_here(record.server)
        # libvirt keeps the job of a post-copy that broke off, and nothing of it flows.
        return found.source is not evidence.Source.POST_COPY_FAILED and (
            found.job or found.source in MAY_FLOW)

    def _recover(self, host: str, waiting: pending.NovaQueue) -> hands_mod.Hands:
        """Take up what an earlier process has left, now and from time to time."""
        manager = self.virtapi._compute
        hands = self._hands = hands_mod.Hands(
            manager, host, self._guest_of,
            lambda server: self._control.guest(server, CONF.migpolicy.allow_qmp))
        channel = self._peers = client.Channel('nova-compute')
        hooks = hooks_mod.Hooks(manager, host, self._records, hands)
        takeover = takeover_mod.Takeover(
            self._current, self._records, hands, channel, takeover_mod.Here(
                domain=self._domain_here, guest=self._guest_of, open_session=self._take_over,
                events=self._events, disk_paths=self._disk_paths,
                is_novas=hooks.is_novas, journal=self._journal_of,
                interval_s=lambda: self._policies.progress_interval_s, call=self._call_again,
                own_guest=self._own_guest,
                libvirt_version=lambda: int(self._control.get().getLibVersion()),
                resume_obstacle=self._resume_obstacle, adopt=self._adopt,
                give_slots_back=self._give_slots_back))

        def known() -> strays_mod.IsKnown:
            is_written = recovery.known()
            return lambda server, migration: is_written(server, migration) or hooks.is_novas(
                server, migration) or server in self._current

        strays = strays_mod.Strays(
            host, hands, self._domains_here, takeover.source, known)
        arrivals = arrivals_mod.Arrivals(
            manager, host, written_mod.Records(pathlib.Path(CONF.state_path)
                                               / written_mod.PREPARED),
            lambda server: self._domain_here(server).destination,
            lambda context, record: peers.ask(
                channel, context, record.source, record.server).source)

        def search() -> Iterator[record_mod.Record]:
            self._check_slots()
            arrivals.look()
            return strays.find()

        recovery = self._recovery = recovering.Recovery(self._records, hands, takeover, search)
        self._doors = doors_mod.Doors(host, self._records, self._domain_here, channel,
                                      recovery.finish, self._note_allocation)
        hooks.install(recovery, self._doors.check, self._has_to_ask, hands.keeps_allocation)
        arrivals.install()

        def stop() -> None:
            recovery.stop()
            if self._slots is not None:
                self._slots.close()

        self._stopping = stopping_mod.Stopping(
            lambda: self._policies.on_shutdown, self._current, stopping_mod.Others(
                waiting.waiting_servers, self._abort_queued, stop,
                lambda: hooks.is_at_work or recovery.is_busy), self._guest_of)
        compat.hook_shutdown(manager, self._stopping)
        self._begin_with_slots(host)
        recovery.start()
        return hands

    def emit_event(self, event: Any) -> None:
        """Pass on what libvirt tells, without keeping the thread that hears it."""
        self._lifecycle.pass_on(event)

    def cleanup_host(self, host: str) -> None:
        """Stop as Nova does, and stop listening."""
        if self._stopping is not None:
            self._stopping.begin()
            self._stopping.leave()
        if self._slots is not None:
            self._slots.stop()
        try:
            if self._channel is not None:
                self._channel.stop()
        finally:
            super().cleanup_host(host)

    def check_can_live_migrate_destination(
        self, context: Any, instance: Any, *args: Any, **kwargs: Any,
    ) -> Any:
        """Check as Nova does, and unbind ports that an ended migration has left bound to here."""
        found = super().check_can_live_migrate_destination(context, instance, *args, **kwargs)
        # Nova binds them to here when all is checked, and fails where they are bound already.
        if instance.get_network_info() and self._domain_here(instance.uuid) == domains.ABSENT:
            bindings.release_stale(self.virtapi._compute.network_api, instance, CONF.host)
        if self._precheck is not None:
            # Last of all: what it reserves is for one that comes.
            self._precheck.check(context, instance, _cost_mib(
                instance, 'block_migration' in found and bool(found.block_migration)))
        return found

    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        """Report as Nova does, with the incoming slots among the statistics."""
        found: dict[str, Any] = super().get_available_resource(nodename)
        if self._slots is not None:
            found['stats'] = {**(found.get('stats') or {}), **self._slots.published().to_stats()}
        return found

    def check_can_live_migrate_source(
        self, context: Any, instance: Any, dest_check_data: Any, block_device_info: Any = None,
    ) -> Any:
        """Check as Nova does, and have QEMU measure the server's dirty rate in the meantime."""
        found = super().check_can_live_migrate_source(
            context, instance, dest_check_data, block_device_info)
        while len(self._checked) >= pending.MOST_ORDERS:
            self._checked.pop()
        self._checked.add(instance.uuid)
        try:
            if CONF.migpolicy.measure_before_start and not (
                    self._policies.resolver(instance, {})({}).policy.is_stock):
                self._measurements.begin(self._control.guest(instance.uuid, allow_qmp=False))
        except Exception:
            # Nothing depends on it, and a check that fails stops the migration.
            LOG.exception('The dirty rate of this server is not measured', instance=instance)
        return found

    def _abort_queued(self, server: str) -> None:
        """Let Nova end a migration that is in its queue, in the name of the original caller."""
        record, _ = self.virtapi._compute._waiting_live_migrations[server]
        instance = objects.Instance.get_by_uuid(record._context, server)
        self.virtapi._compute.live_migration_abort(record._context, instance, record.id)

    def live_migration_abort(self, instance: Any) -> None:
        """Stop a running migration: through its monitor where there is one.

        :raises OrderRefused: it cannot be stopped, or is over
        """
        current = self._current.get(instance.uuid)
        if (current is not None and current.has_failed and current.session is not None
                and current.session.broken):
            LOG.error('Nothing is aborted: the memory is on both hosts', instance=instance)
        else:
            self._order(instance, vocabulary.CANCEL, super().live_migration_abort)

    def live_migration_force_complete(self, instance: Any) -> None:
        """Finish a running migration now: through its monitor where there is one.

        :raises OrderRefused: it cannot be done, or is over
        """
        self._order(instance, vocabulary.FORCE_COMPLETE, super().live_migration_force_complete)

    def _order(self, instance: Any, name: str, stock: Callable[[Any], None]) -> None:
        """Give an order to the monitor of a server's migration, or do as Nova does.

        :param stock: Nova's own way
        """
        current = self._current.get(instance.uuid)
        if current is None:
            self._order_early(instance, name, stock)
            return
        given = None if current.has_failed else current.order(inbox_mod.Command(name))
        if given is None:
            stock(instance)
        elif given.status >= protocol.BAD_REQUEST:
            raise OrderRefused(reason=given.message)

    def _order_early(self, instance: Any, name: str, stock: Callable[[Any], None]) -> None:
        """Give an order to a migration that nothing on this host watches.

        Nova says that it is running a moment before it hands it over: then there is no job to
        end yet, and the order is kept until the migration is here.
        """
        try:
            stock(instance)
        except (libvirt.libvirtError, nova_exception.NoActiveMigrationForInstance) as error:
            if isinstance(error, libvirt.libvirtError) and (
                    error.get_error_code() not in guest_mod.NO_JOB):
                raise
            migration = self._running_migration(instance)
            if migration is None:
                raise
            LOG.info('%(order)s is kept until migration %(migration)s is here',
                     {'order': name, 'migration': migration}, instance=instance)
            self._early.remember(migration, name)
            if instance.uuid in self._current and self._early.take(migration) is not None:
                # It was handed over in between, and had looked before the order arrived.
                self._order(instance, name, stock)

    def _running_migration(self, instance: Any) -> str | None:
        """Return the UUID of a server's migration that Nova is about to hand over, if one is.

        One that ran before this nova-compute was started is never handed over.
        """
        if instance.uuid not in self._checked:
            return None
        try:
            return str(objects.Migration.get_by_instance_and_status(
                instance._context, instance.uuid, 'running').uuid)
        except nova_exception.MigrationNotFoundByStatus:
            return None
        except Exception as error:
            LOG.warning('It is not known whether a migration is about to begin: %s', error,
                        instance=instance)
            return None

    def _live_migration(
        self, context: Any, instance: Any, dest: str, post_method: Callable[..., None],
        recover_method: Callable[..., None], block_migration: bool, migrate_data: Any,
    ) -> None:
        current = migration_mod.Migration(migrate_data.migration.uuid, compat.make_inbox())
        kept = current.kept = kept_mod.Kept(self._records, current.migration)
        give_back = functools.partial(self._give_slots_back, current.migration)
        given = (context, instance, dest,
                 slots_mod.in_front_of(give_back, kept.ending(
                     kept_mod.Written.FINISHING, post_method)),
                 slots_mod.in_front_of(give_back, kept.ending(
                     kept_mod.Written.ROLLING_BACK, recover_method)),
                 block_migration, migrate_data)
        # Before anything waits: an order that arrives from now on is found.
        self._current[instance.uuid] = current
        self._checked.discard(instance.uuid)
        try:
            early = self._early.take(current.migration)
            if early is not None:
                current.inbox.ask(inbox_mod.Command(early))
            stock = self._resolve(current, context, instance, dest, migrate_data)
            why_not = self._await_slots(current, instance, dest, block_migration)
            if why_not is None:
                self._prepare(current, instance, stock)
                why_not = self._obstacle(current)
            if why_not is not None:
                self._cancel_before_start(current, why_not, *given)
                return
            session = current.session
            kept.begin(lambda: kept_mod.describe(
                context, instance, dest, migrate_data.migration, migrate_data,
                block_migration=block_migration, source=CONF.host,
                source_bdms=kept_mod.volumes_of(post_method), written=kept_mod.Written.COPYING,
                policy=kept_mod.policy_of(current.in_force(), kept.request)))
            if kept.is_misleading:
                self._cancel_before_start(current, MISLEADING, *given)
                return
            if session is None:
                current.close()
                super()._live_migration(
                    *given[:4],
                    slots_mod.in_front_of(give_back, self._if_it_stayed(kept, given[4])),
                    *given[5:])
            else:
                session.flowed = give_back
                with self._events(instance, session) as session.has_events:
                    super()._live_migration(*given)
        finally:
            if not current.flows_on:
                give_back()
            current.close()
            # The server may be about to be moved again.
            if self._current.get(instance.uuid) is current:
                del self._current[instance.uuid]
            if current.session is not None:
                current.session.undo()

    def _obstacle(self, current: migration_mod.Migration) -> str | None:
        """Return why a migration is not to begin any more, or None."""
        if self._stopping is not None and self._stopping.has_begun:
            return stopping_mod.NOT_BEGUN
        if current.is_deleted:
            return DELETED
        return commands.CANCELLED if current.is_ordered(vocabulary.CANCEL) else None

    def _await_slots(self, current: migration_mod.Migration, instance: Any, dest: str,
                     block_migration: bool) -> str | None:
        """Wait for the slots of a migration; return why it is not to begin, or None."""
        if self._slots is None:
            return None
        policy = current.resolved.policy if current.resolved is not None else keys.Policy()
        try:
            return parking.Parking(self._slots, current, self._obstacle).wait(
                slots_mod.Want(current.migration, instance.display_name or instance.uuid, dest,
                               policy.priority, _cost_mib(instance, block_migration)))
        except Exception:
            # One beyond a limit is better than a failed request.
            LOG.exception('It does not wait for its slots', instance=instance)
            return self._obstacle(current)

    def _give_slots_back(self, migration: str) -> None:
        if self._slots is not None:
            self._slots.end(migration)

    def _if_it_stayed(self, kept: kept_mod.Kept,
                      recover_method: Callable[..., None]) -> Callable[..., None]:
        """Return Nova's rollback for its own monitor, but not of a guest that may have left.

        That monitor goes by libvirt on the source alone, which may have been started again in the
        switchover. The record stays then, and recovery finds out.
        """
        @functools.wraps(recover_method)
        def roll_back(context: Any, instance: Any, *args: Any, **kwargs: Any) -> None:
            obstacle = None
            if not outcome_mod.has_stayed(self._guest_of(instance.uuid)):
                obstacle = self._stay_obstacle(kept.record)
            if obstacle is None:
                recover_method(context, instance, *args, **kwargs)
                return
            LOG.error("Nova's own monitor says that the migration has failed, and it is not "
                      'rolled back: where the guest runs is left to recovery: %s', obstacle,
                      instance=instance)

        return roll_back

    def _cancel_before_start(self, current: migration_mod.Migration, why: str, context: Any,
                             instance: Any, *given: Any) -> None:
        """Undo what Nova has prepared, as Nova itself does for one that it is preparing."""
        self._give_slots_back(current.migration)
        LOG.info('It is cancelled before it began: %s', why, instance=instance)
        outcome = outcome_mod.Outcome(outcome_mod.End.CANCELLED, why)
        current.close(outcome)
        if current.session is not None:
            current.session.record_cancel_before_start(outcome)
        nova_records.explain(context, instance, CONF.host, outcome.reason)
        nova_records.conclude(outcome, context, instance, *given)

    def _resolve(self, current: migration_mod.Migration, context: Any, instance: Any,
                 dest: str, migrate_data: Any) -> migration_mod.Unmanaged | None:
        """Make a session for a migration, or return why Nova's own monitor watches it."""
        try:
            request = self._requests.take(instance.uuid, context.request_id)
            if current.kept is not None:
                current.kept.request = request
            resolved = current.resolved = self._policies.resolve(instance, request)
            if not resolved.policy.is_stock:
                self._remove_old_journals()
                session = self._session(instance, dest, current, resolved,
                                        self._policies.resolver(instance, request),
                                        migrate_data)
                current.session = session
                return None
            LOG.info("Profile nova (%s): Nova's own monitor watches this live migration",
                     resolved.origins['profile'], instance=instance)
            return migration_mod.Unmanaged(resolved)
        except Exception as error:
            return self._fall_back(current, instance, error)

    def _prepare(self, current: migration_mod.Migration, instance: Any,
                 stock: migration_mod.Unmanaged | None) -> None:
        """Prepare the session of a migration, or leave it to Nova's own monitor."""
        session = current.session
        if session is not None:
            try:
                if current.kept is not None and session.policy.may_throttle:
                    current.kept.policy_known(current.in_force())
                session.prepare(self._measurements.take(session.guest))
            except Exception as error:
                stock = self._fall_back(current, instance, error)
        if stock is not None:
            current.leave_to_nova(stock)

    @staticmethod
    def _fall_back(current: migration_mod.Migration, instance: Any,
                   error: Exception) -> migration_mod.Unmanaged:
        # Nothing has begun: stock behaviour is better than a failed
        # request, which would leave a running server in ERROR.
        LOG.error("The policy cannot be applied: Nova's own monitor watches this live migration",
                  instance=instance, exc_info=error)
        if current.session is not None:
            current.session.undo()
        current.session = current.resolved = None
        return migration_mod.Unmanaged(None, type(error).__name__)

    def _session(
        self, instance: Any, dest: str, current: migration_mod.Migration,
        resolved: resolve.Resolved, resolver: policies.Resolver, migrate_data: Any,
    ) -> session_mod.Session:
        return session_mod.Session(
            self._start(instance, dest, current.migration, resolved, resolver, migrate_data),
            self._control.guest(instance.uuid, CONF.migpolicy.allow_qmp),
            current.inbox,
            session_mod.journal_for(
                self._journals, current.migration, current.inbox.clock(),
                CONF.migpolicy.journal_max_kib * 1024),
            self._links, self._neighbours,
            outside.Outside(self._control.another, instance.uuid), current.leave,
            functools.partial(self._resume_obstacle, instance.uuid, dest),
            lambda: self._stay_obstacle(current.kept.record if current.kept else None))

    def _guest_of(self, server: str) -> guest_mod.MigratingGuest:
        """Return the calls on a server's domain, for a thread of its own."""
        return self._control.guest(server, allow_qmp=False)

    def _domain_here(self, server: str) -> domains.Answers:
        try:
            return domains.look(self._control.get(), server)
        except libvirt.libvirtError as error:
            LOG.warning('libvirt on this host does not answer: %s', error, instance_uuid=server)
            return domains.SILENT

    def _domains_here(self) -> set[str]:
        """Return the UUIDs of all domains of this host.

        :raises libvirt.libvirtError: libvirt does not answer
        """
        return {domain.UUIDString() for domain in self._control.get().listAllDomains()}

    def _finish_here(self, context: Any, server: str, migration: str) -> None:
        """Finish, on this host alone, a migration whose source is off."""
        if self._hands is not None:
            doors_mod.finish_here(self._hands, self._peers, context.elevated(), CONF.host,
                                  self._domain_here(server), server, migration)

    def _note_allocation(self, context: Any, server: str, migration: str) -> None:
        if self._hands is None:
            return
        try:
            self._hands.note_allocation(context.elevated(), server, migration)
        except Exception as error:
            LOG.warning('The allocation of this server here is not known: %s', error,
                        instance_uuid=server)

    def _may_start(self, context: Any, instance: Any) -> None:
        """Return where the guest of a server may be started here.

        :raises doors.Closed: another host runs it, or may
        """
        if self._doors is not None:
            self._doors.check(context, instance)

    def _has_to_ask(self, context: Any, instance: Any) -> bool:
        """Whether Nova, at its start, may start a server of which other hosts have to be asked."""
        may_be_started = CONF.resume_guests_state_on_host_boot or instance.task_state is not None
        return may_be_started and self._doors is not None and self._doors.has_to_ask(
            context, instance)

    def destroy(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        """Destroy as Nova does; its job is ended before, where it is sent to another host.

        Of a guest whose QEMU is ended in post-copy libvirt keeps the definition until it is
        started again, and Nova cannot delete the server.
        """
        current = self._current.get(instance.uuid)
        if current is not None:
            current.delete()
        if self._domain_here(instance.uuid).job:
            try:
                with self._own_guest(instance.uuid) as guest:
                    guest.end_job(time.sleep)
            except (exception.GuestError, libvirt.libvirtError) as error:
                LOG.warning('Its migration is not ended before it is destroyed: %s', error,
                            instance=instance)
        return super().destroy(context, instance, *args, **kwargs)

    def reboot(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        """Reboot as Nova does, unless another host runs the guest."""
        self._may_start(context, instance)
        return super().reboot(context, instance, *args, **kwargs)

    def power_on(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        """Start as Nova does, unless another host runs the guest."""
        self._may_start(context, instance)
        return super().power_on(context, instance, *args, **kwargs)

    def resume_state_on_host_boot(self, context: Any, instance: Any, *args: Any,
                                  **kwargs: Any) -> Any:
        """Start as Nova does what went down with the host, unless another host runs the guest."""
        self._may_start(context, instance)
        return super().resume_state_on_host_boot(context, instance, *args, **kwargs)

    def resume(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        """Resume as Nova does, unless another host runs the guest."""
        self._may_start(context, instance)
        return super().resume(context, instance, *args, **kwargs)

    def rescue(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        """Rescue as Nova does, unless another host runs the guest."""
        self._may_start(context, instance)
        return super().rescue(context, instance, *args, **kwargs)

    def unrescue(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        """End a rescue as Nova does, unless another host runs the guest."""
        self._may_start(context, instance)
        return super().unrescue(context, instance, *args, **kwargs)

    def spawn(self, context: Any, instance: Any, *args: Any, **kwargs: Any) -> Any:
        """Make a guest as Nova does, unless another host runs it, as of one that was shelved.

        One that is being built has never run, and of one that is rebuilt it was asked before.
        """
        if (instance.vm_state != vm_states.BUILDING
                and instance.task_state not in hands_mod.REPLACING):
            self._may_start(context, instance)
        return super().spawn(context, instance, *args, **kwargs)

    def migrate_disk_and_power_off(self, context: Any, instance: Any, *args: Any,
                                   **kwargs: Any) -> Any:
        """Begin a resize as Nova does, unless another host runs the guest.

        Nothing has been done then, and the server is as before.
        """
        try:
            self._may_start(context, instance)
        except doors_mod.Closed as error:
            raise nova_exception.InstanceFaultRollback(error) from error
        return super().migrate_disk_and_power_off(context, instance, *args, **kwargs)

    def finish_migration(self, context: Any, migration: Any, instance: Any, *args: Any,
                         **kwargs: Any) -> Any:
        """Start what was resized as Nova does, unless another host runs the guest."""
        self._may_start(context, instance)
        return super().finish_migration(context, migration, instance, *args, **kwargs)

    def finish_revert_migration(self, context: Any, instance: Any, *args: Any,
                                **kwargs: Any) -> Any:
        """Start what is back from a resize as Nova does, unless another host runs the guest."""
        self._may_start(context, instance)
        return super().finish_revert_migration(context, instance, *args, **kwargs)

    @contextlib.contextmanager
    def _own_guest(self, server: str) -> Iterator[guest_mod.MigratingGuest]:
        """Give the calls on a server's domain, on a connection of their own."""
        connection = self._control.another()
        try:
            yield guest_mod.MigratingGuest(
                lambda: connection.lookupByUUIDString(server), None, server)
        finally:
            connection.close()

    def _call_again(self, record: record_mod.Record, context: Any, instance: Any,
                    migrate_data: Any) -> resuming.Call:
        """Return the migrate call of a migration as Nova makes it, to take up its post-copy."""
        flags = self._block_migration_flags if record.block_migration else (
            self._live_migration_flags)
        there = ('target_connect_addr' in migrate_data and migrate_data.target_connect_addr)
        params: dict[str, Any] = {}
        if record.block_migration:
            _paths, params[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = (
                self._live_migration_copy_disk_paths(
                    context, instance, self._host.get_guest(instance)))
        if there and not flags & libvirt.VIR_MIGRATE_TUNNELLED:
            params[libvirt.VIR_MIGRATE_PARAM_URI] = self._migrate_uri(there)
        return resuming.Call(self._live_migration_uri(there or record.destination), params,
                             flags & ~migrate_call.OWNED_FLAGS)

    def _whereabouts(self, server: str) -> peers.Whereabouts:
        """Return what another host is told of a server here."""
        found, versions = self._domain_here(server), (0, 0)
        try:
            connection = self._control.get()
            versions = connection.getLibVersion(), connection.getVersion()
        except libvirt.libvirtError as error:
            LOG.warning('libvirt does not tell its version: %s', error, instance_uuid=server)
        return peers.Whereabouts(found, CONF.host, *versions)

    def _resume_obstacle(self, server: str, host: str) -> str | None:
        """Return why post-copy of a server could not be taken up again now; None if it could."""
        there = peers.look(self._peers, nova_context.get_admin_context(), host, server)
        if there is None or not there.libvirt_version:
            return f'{host} does not answer'
        try:
            here = int(self._control.get().getLibVersion())
        except libvirt.libvirtError as error:
            return f'libvirt on this host does not tell its version: {error}'
        return resuming.obstacle(here, there.libvirt_version)

    def _stay_obstacle(self, record: record_mod.Record | None) -> str | None:
        """Return why a guest may not be taken for the source's; None where it may."""
        if record is None or self._recovery is None:
            return 'the destination cannot be asked, for nothing could be noted of the migration'
        return self._recovery.stay_obstacle(record)

    def _disk_paths(self, context: Any, instance: Any) -> list[str]:
        """Return the paths of the disks that a block migration copies."""
        paths, _names = self._live_migration_copy_disk_paths(
            context, instance, self._host.get_guest(instance))
        return list(paths)

    def _journal_of(self, record: record_mod.Record) -> journal_mod.Journal:
        """Return the journal of a migration that an earlier process has begun."""
        age_s = max(0.0, time.time() - record.started_s)
        return session_mod.journal_for(
            self._journals, record.migration, time.monotonic() - age_s,
            CONF.migpolicy.journal_max_kib * 1024)

    def _take_over(self, current: migration_mod.Migration, record: record_mod.Record,
                   instance: Any, migrate_data: Any) -> session_mod.Session:
        """Make a session for a migration whose job an earlier process has begun."""
        resolved = current.resolved = self._policies.before(instance, record.policy)
        session = session_mod.Session(
            self._start(instance, record.destination, record.migration, resolved,
                        self._policies.resolver(instance, record.policy['request']),
                        migrate_data),
            self._control.guest(instance.uuid, CONF.migpolicy.allow_qmp), current.inbox,
            self._journal_of(record), self._links, self._neighbours,
            outside.Outside(self._control.another, instance.uuid), current.leave,
            functools.partial(self._resume_obstacle, instance.uuid, record.destination),
            functools.partial(self._stay_obstacle, record))
        session.take_over(record)
        return session

    def _events(
        self, instance: Any, session: session_mod.Session,
    ) -> contextlib.AbstractContextManager[bool]:
        return events.subscribed(
            self._host.get_connection(), self._host.get_guest(instance)._domain, session.inbox,
            lambda: session.is_left)

    def _live_migration_operation(
        self, context: Any, instance: Any, dest: str, block_migration: bool,
        migrate_data: Any, guest: Any, device_names: list[str],
    ) -> None:
        current = self._current.get(instance.uuid)
        session = current.session if current is not None else None
        if session is None:
            super()._live_migration_operation(
                context, instance, dest, block_migration, migrate_data, guest, device_names)
            return
        # Anything else than an Exception, such as a killed thread, is no success either.
        error: Exception | None = RuntimeError('the operation was not finished')
        try:
            planned = session.planned_domain(guest._domain, len(device_names))
            super()._live_migration_operation(
                context, instance, dest, block_migration, migrate_data,
                libvirt_guest.Guest(planned), device_names)
            error = None
        except Exception as failure:
            # Nova 32 and later raise it again after a clean rollback, which
            # would put a server that runs well into ERROR. The monitor gets it
            # here and judges it together with what the domain says.
            error = failure
        finally:
            session.operation_over(error)

    def _live_migration_monitor(
        self, context: Any, instance: Any, guest: Any, dest: str,
        post_method: Callable[..., None], recover_method: Callable[..., None],
        block_migration: bool, migrate_data: Any, operation: Any, disk_paths: list[str],
    ) -> None:
        current = self._current.get(instance.uuid)
        session = current.session if current is not None else None
        if current is None or session is None:
            if current is not None and current.completes_at_start:
                super().live_migration_force_complete(instance)
            super()._live_migration_monitor(
                context, instance, guest, dest, post_method, recover_method,
                block_migration, migrate_data, operation, disk_paths)
            return
        try:
            with nova_records.Reporter(
                    instance, migrate_data.migration, compat.is_done(operation),
                    self._policies.progress_interval_s, session.inbox.clock,
                    current.kept or kept_mod.Kept(self._records, current.migration),
                    session.look_from_outside) as reporter:
                outcome = session.watch(reporter, disk_paths, time.sleep)
                if outcome is None:
                    # The lease goes on until the next process renews it.
                    current.flows_on = True
                    reporter.leave()
                    return
            session.broken = outcome.end is outcome_mod.End.BROKEN
            if outcome.end is not outcome_mod.End.COMPLETED:
                nova_records.explain(context, instance, CONF.host, outcome.reason)
            nova_records.conclude(outcome, context, instance, dest, post_method, recover_method,
                                  block_migration, migrate_data)
        except BaseException:
            current.has_failed = True
            raise
        finally:
            self._clear_empty_migration(instance)

    def _start(self, instance: Any, dest: str, migration: str, resolved: resolve.Resolved,
               resolver: policies.Resolver, migrate_data: Any) -> session_mod.MigrationFacts:
        return session_mod.MigrationFacts(
            instance=instance,
            migration=migration,
            destination=dest,
            resolved=resolved,
            resolver=resolver,
            memory_bytes=instance.flavor.memory_mb * MIB,
            link_mib_s=CONF.migpolicy.link_mib_s or None,
            circumstances=self._circumstances(instance, dest, resolved, migrate_data))

    def _circumstances(self, instance: Any, dest: str, resolved: resolve.Resolved,
                       migrate_data: Any) -> fits.Circumstances:
        """Collect Nova's facts about the server and both hosts."""
        libvirtd = self._host.get_connection()
        nova_flags = self._live_migration_flags | self._block_migration_flags
        found = fits.Circumstances(
            paused=instance.vm_state == vm_states.PAUSED,
            persistent_memory=bool(self._get_vpmems(instance)),
            tunnelled=bool(nova_flags & libvirt.VIR_MIGRATE_TUNNELLED),
            nova_post_copy=bool(nova_flags & libvirt.VIR_MIGRATE_POSTCOPY),
            allow_qmp=CONF.migpolicy.allow_qmp,
            emulated=CONF.libvirt.virt_type != 'kvm',
            libvirt_version=libvirtd.getLibVersion(),
            qemu_version=libvirtd.getVersion(),
            native_tls=bool(nova_flags & libvirt.VIR_MIGRATE_TLS),
            block_migration=bool(migrate_data.block_migration),
            destination_memory_in_files=(
                'dst_wants_file_backed_memory' in migrate_data
                and bool(migrate_data.dst_wants_file_backed_memory)))
        if migrate_call.hangs_on(resolved.policy, found, destination_qemu_version=0):
            found = dataclasses.replace(
                found, destination_qemu_version=self._qemu_version_of(instance, dest))
        return found

    @staticmethod
    def _qemu_version_of(instance: Any, host: str) -> int | None:
        """Return the version of QEMU that Nova's database has for a host, or None."""
        try:
            node = objects.ComputeNode.get_first_node_by_host_for_old_compat(
                instance._context, host)
            return int(node.hypervisor_version)
        except Exception as error:
            # Nothing depends on it: the destination refuses what it cannot do.
            LOG.warning('The version of QEMU on %(host)s is not known: %(error)s',
                        {'host': host, 'error': error}, instance=instance)
            return None

    def _remove_old_journals(self) -> None:
        if self._journals is not None:
            journal_mod.remove_old(self._journals, CONF.migpolicy.journal_days)


def _cost_mib(instance: Any, block_migration: bool) -> float:
    """Return how much a migration sends at least, in MiB, by its flavor."""
    flavor = instance.flavor
    disk_gib = flavor.root_gb + flavor.ephemeral_gb if block_migration else 0
    return float(flavor.memory_mb + disk_gib * 1024)
