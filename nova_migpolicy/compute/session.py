# SPDX-License-Identifier: Apache-2.0
"""One migration on its source host: its resolved policy and the state that its threads share.

Made before Nova starts the operation and dropped when the migration is over. `prepare` comes
first, and both threads share its plan: the operation's uses `planned_domain`, the monitor's
`watch`. Commands come in through the inbox.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import datetime
import pathlib
import time
from typing import Any

import libvirt
from oslo_log import log as logging

from nova_migpolicy.capacity import waits
from nova_migpolicy.compute import fits
from nova_migpolicy.compute import migrate_call
from nova_migpolicy.compute import nova_records
from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine.estimation import link_rate
from nova_migpolicy.engine.estimation import progress as progress_mod
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import hung
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import leaving
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.monitor import loop
from nova_migpolicy.monitor import neighbours as neighbours_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import retune as retune_mod
from nova_migpolicy.monitor import silence
from nova_migpolicy.monitor import status as status_mod
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import resolve
from nova_migpolicy.recovery import record as record_mod
from nova_migpolicy import vocabulary

LOG = logging.getLogger(__name__)

GIB = 2 ** 30


@dataclasses.dataclass(frozen=True)
class MigrationFacts:
    """The driver's facts about a migration when it makes a session.

    :ivar migration: the UUID of Nova's record.
    :ivar resolver: resolves the policy again, with a retune on top.
    :ivar memory_bytes: the server's memory.
    :ivar link_mib_s: the operator's setting of the link's rate; None where it is to be learnt.
    :ivar circumstances: of the server and its host.
    """

    instance: Any
    migration: str
    destination: str
    resolved: resolve.Resolved
    resolver: retune_mod.Resolver
    memory_bytes: int
    link_mib_s: float | None
    circumstances: migrate_call.Circumstances


@dataclasses.dataclass(frozen=True)
class TakenOver:
    """The state of a migration that another process has steered until now.

    :ivar settings: in force, as libvirt has them.
    :ivar held, retuned: by operators.
    :ivar done: what was done to it, and cannot be undone.
    """

    settings: settings_mod.Settings
    held: Mapping[str, int]
    retuned: Mapping[str, object]
    done: tuple[remedies.Action, ...]


class Session:
    """The state that the driver, the operation and the monitor share for one migration."""

    def __init__(
        self,
        start: MigrationFacts,
        guest: guest_mod.MigratingGuest,
        inbox: inbox_mod.Inbox,
        journal: journal_mod.Journal,
        links: link_rates.LinkRates,
        neighbours: neighbours_mod.Neighbours | None = None,
        outside: hung.Outside | None = None,
        leave: leaving.Leave | None = None,
        resume_obstacle: Callable[[], str | None] | None = None,
        stay_obstacle: Callable[[], str | None] | None = None,
    ) -> None:
        self.start = start
        self.guest = guest
        self.inbox = inbox
        self.journal = journal
        self.call = outcome_mod.MigrateCall()
        self._resume_obstacle = resume_obstacle
        self._stay_obstacle = stay_obstacle
        self._leave = leave or leaving.Leave()
        self._leave.when_given(lambda: inbox.put(inbox_mod.CallReturned(inbox.clock())))
        self.has_events = True
        #: called as soon as no data flows any more, unless a part of it has still to come
        self.flowed: Callable[[], object] = lambda: None
        # Post-copy broke off: neither copy of the guest may be touched.
        self.broken = False
        self._links = links
        self._neighbours = neighbours
        # The operator's setting, else the learnt rate, else unknown.
        learnt = links.get(start.destination)
        self.link_mib_s = start.link_mib_s or (learnt.low_mib_s if learnt else None)
        self.reach_mib_s = start.link_mib_s or (learnt.reach_mib_s if learnt else None)
        self._circumstances = dataclasses.replace(
            start.circumstances, link_mib_s=self.link_mib_s)
        self._refused: dict[str, str] = {}
        self._plan = migrate_call.make(self.policy, self._circumstances)
        self._noted: tuple[str, ...] = ()
        self._dirtied_bytes: int | None = None
        # The limit that QEMU has where it did not take the one that it was told.
        self._other_limit_ms: int | None = None
        self._silence = silence.Silence(guest, journal, inbox.clock)
        self._hung = None if outside is None else hung.Hung(
            guest, journal, inbox.clock, outside, lambda: self.call.targets, self._switchover,
            lambda: self._monitor.aborted() if self._monitor is not None else None)
        self._throttle_is_held = False
        # By the journal's clock, which is older than this process where it was taken over.
        self._started_s = journal.started_s
        self._waited_s = 0.0
        self._parked: Callable[[], waits.Wait | None] = lambda: None
        self._taken_over: TakenOver | None = None
        self._started_at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(
            seconds=max(0.0, inbox.clock() - self._started_s))
        self._monitor: loop.Monitor | None = None
        self.controller: controller_mod.Controller | None = None

    @property
    def policy(self) -> keys.Policy:
        """The policy at the start."""
        return self.start.resolved.policy

    def in_force(self) -> dict[str, Any]:
        """Return the policy now, its origins and notes, and the held and changed settings."""
        monitor = self._monitor
        notes = list(self._plan.notes)
        if monitor is None:
            return {**self.start.resolved.to_dict(), 'held': {}, 'retuned': {}, 'notes': notes}
        return {**monitor.commands.in_force, 'notes': notes}

    def too_late(self, item: inbox_mod.Request) -> None:
        """Answer an order that came after the inbox was closed; the first answer counts."""
        if self._monitor is not None:
            self._monitor.commands.too_late(item)

    @property
    def is_left(self) -> bool:
        """Whether it is left to the next nova-compute."""
        return self._leave.is_given

    @property
    def is_watched(self) -> bool:
        """Whether its monitor has begun."""
        return self._monitor is not None

    def note_silence(self) -> str | None:
        """Return what the monitor waits for where libvirt does not answer it; None where it does.

        Each silence is written down once.
        """
        return self._silence.note()

    def look_from_outside(self) -> None:
        """Note that libvirt is silent, and end a switchover that hangs; for one thread beside."""
        self._silence.note()
        if self._hung is not None:
            self._hung.look()

    def _switchover(self) -> hung.Switchover | None:
        found = self._monitor.switchover() if self._monitor is not None else None
        if found is not None and self._circumstances.devices.vfio:
            # The state of such a device may be read and sent for minutes.
            found = dataclasses.replace(found, has_grace=False)
        return found

    def record_cancel_before_start(self, outcome: outcome_mod.Outcome) -> None:
        """Write down a migration that is ended before it was watched; there is no monitor."""
        self.journal.add(
            vocabulary.START, self._started_s, server=self.start.instance.uuid,
            destination=self.start.destination, **self.start.resolved.to_dict())
        self._end(outcome, 0.0, {}, {})

    def park(self, parked: Callable[[], waits.Wait | None]) -> None:
        """Let it wait for its slots, until `begin`.

        :param parked: returns what it waits for
        """
        self._parked = parked

    def begin(self, waited_s: float) -> None:
        """Begin after it has waited for its slots; that counts for no deadline."""
        self._parked = lambda: None
        self._waited_s = waited_s
        self._started_s += waited_s
        self._started_at += datetime.timedelta(seconds=waited_s)

    def view(self) -> dict[str, Any]:
        """Return its status, as of the monitor's last look."""
        monitor = self._monitor
        if monitor is None:
            wait = self._parked()
            return vocabulary.blank_status(
                phase=vocabulary.PREPARING if wait is None else vocabulary.WAITING,
                started_at=self._started_at.isoformat(timespec='milliseconds'),
                elapsed_seconds=round(self.inbox.clock() - self._started_s, 1),
                waits_for=self.note_silence() if wait is None else wait.sentence)
        # In this order: a newer view with an older moment is only called too old.
        viewed_s = monitor.viewed_s
        found = status_mod.aged(monitor.view, max(0.0, self.inbox.clock() - viewed_s))
        return {**found, 'waits_for': self.note_silence() or found['waits_for']}

    def facts(self, plan: migrate_call.MigrateParams, disk_bytes: int) -> controller_mod.Facts:
        """Collect the facts for the engine."""
        facts = controller_mod.Facts(
            memory_bytes=self.start.memory_bytes,
            disk_bytes=disk_bytes,
            started_s=self._started_s,
            link_mib_s=self.link_mib_s,
            reach_mib_s=self.reach_mib_s,
            switchover_mib_s=plan.switchover_mib_s,
            can_throttle=plan.can_throttle,
            can_post_copy=plan.can_post_copy,
            can_hurry_disks=self.start.circumstances.allow_qmp,
            sends_again=self.start.circumstances.emulated,
            dirtied_bytes=self._dirtied_bytes,
            dirtied_seconds=float(guest_mod.MEASURED_S),
            bandwidth_mib_s=plan.bandwidth_mib_s,
            deadline_s=self._deadline_s(self.policy, disk_bytes),
        )
        limit_ms = self._other_limit_ms
        if limit_ms is None:
            limit_ms = controller_mod.initial_limit_ms(self.policy, facts)
        return dataclasses.replace(facts, qemu_limit_ms=limit_ms)

    def _deadline_s(self, policy: keys.Policy, disk_bytes: int) -> float | None:
        """Return the deadline under a policy, on the monitor's clock; None for none."""
        whole_s = policy.deadline_seconds(self.start.memory_bytes / GIB, disk_bytes / GIB)
        return None if whole_s is None else self._started_s + whole_s

    def prepare(self, dirtied_bytes: int | None) -> None:
        """Ask QEMU for its version and devices, and set its limits before the start.

        Once, before both threads. A feature that does not fit, or is refused, is left out of the
        plan. libvirt keeps a limit that is set before.

        :param dirtied_bytes: what the server dirtied in guest.MEASURED_S, shortly before
        """
        self._dirtied_bytes = dirtied_bytes
        self._ask_guest()
        self._replan()
        limit_ms = self.facts(self._plan, 0).qemu_limit_ms
        if not self._try(lambda: self.guest.set_max_downtime(limit_ms)):
            self._other_limit_ms = self._limit_of_qemu()
        if self._plan.can_throttle:
            # Also where the answer is lost, it may have been done.
            self._throttle_is_held = True
            if not self._try(self.guest.hold_throttle):
                self._leave_out(fits.THROTTLE, 'its limits could not be set')

    def take_over(self, record: record_mod.Record) -> None:
        """Take up a migration that runs already, in place of `prepare`.

        :raises exception.GuestError: libvirt does not tell its settings
        """
        self._ask_guest()
        self._replan()
        state = self.guest.state()
        done: list[remedies.Action] = []
        if state is not None and state[0] == libvirt.VIR_DOMAIN_PAUSED:
            if state[1] in outcome_mod.POST_COPY_REASONS:
                done.append(remedies.StartPostCopy())
            elif state[1] == libvirt.VIR_DOMAIN_PAUSED_USER and not record.was_paused:
                done.append(remedies.Pause())
        self._throttle_is_held = self._plan.can_throttle
        # Of another version, it may name what cannot be held here.
        held = {name: value for name, value in record.policy['held'].items()
                if name in terms_mod.HOLDABLE and type(value) is int}
        facts = self.facts(self._plan, 0)
        link = settings_mod.Link(facts.link_mib_s, facts.switchover_mib_s, facts.reach_mib_s)
        cap_mib_s, limit_ms = self.guest.bandwidth(), self.guest.max_downtime()
        now = settings_mod.Settings(
            cap_mib_s, limit_ms, settings_mod.promised_ms(limit_ms, cap_mib_s, link),
            self.journal.throttle_percent() if self._throttle_is_held else 0)
        if terms_mod.BANDWIDTH not in held and not done:
            now = self._with_own_rate(now, link)
        self._taken_over = TakenOver(now, held, record.policy['retuned'], tuple(done))

    def _with_own_rate(self, now: settings_mod.Settings,
                       link: settings_mod.Link) -> settings_mod.Settings:
        """Return the settings with the cap of the policy at least: it may have given way."""
        own_mib_s = self.policy.bandwidth_mib_s
        if not now.cap_mib_s or 0 < own_mib_s <= now.cap_mib_s:
            return now
        wanted = settings_mod.with_cap(now, own_mib_s, link)
        for action in settings_mod.changes(now, wanted):
            self.guest.apply(action)
        return wanted

    def _ask_guest(self) -> None:
        """Learn the guest's devices and QEMU's version, which may be older than the installed."""
        def look() -> None:
            self._circumstances = dataclasses.replace(
                self._circumstances, devices=fits.devices(self.guest.definition()))

        def ask() -> None:
            self._circumstances = dataclasses.replace(
                self._circumstances, qemu_version=self.guest.qemu_version())

        self._try(look)
        # A monitor command leaves its mark on the domain.
        if self._circumstances.allow_qmp and migrate_call.hangs_on(
                self.policy, self._circumstances, qemu_version=0):
            self._try(ask)

    def _replan(self) -> None:
        """Make the plan from the present facts, and report newly omitted features."""
        self._plan = migrate_call.make(self.policy, self._circumstances, self._refused)
        for note in self._plan.notes:
            if note not in self._noted:
                self._say(note)
        self._noted = self._plan.notes

    def _leave_out(self, feature: str, why: str) -> migrate_call.MigrateParams:
        """Go on without a feature that libvirt or QEMU refused; return the new plan.

        After `prepare` it is called by the thread that makes the migrate call, and by no other.
        """
        self._refused[feature] = why
        self._replan()
        return self._plan

    def _may_call_again(self) -> bool:
        """Whether the failed migrate call may be made once more."""
        monitor = self._monitor
        return not self.inbox.holds(vocabulary.CANCEL) and (
            monitor is None or monitor.may_begin_again)

    def _limit_of_qemu(self) -> int:
        """Return QEMU's limit in ms; its default where libvirt does not tell."""
        try:
            return self.guest.max_downtime()
        except exception.GuestError as error:
            LOG.debug('The limit that QEMU has is not known: %s', error,
                      instance=self.start.instance)
            return settings_mod.QEMU_LIMIT_MS

    def undo(self) -> None:
        """Undo `prepare`, where the migration was not watched to its end."""
        if self._throttle_is_held and not self.is_watched:
            self._try(self.guest.free_throttle)

    def planned_domain(self, domain: Any, mirrored_disks: int) -> migrate_call.PlannedDomain:
        """Return the domain to hand to Nova's operation."""
        def without(feature: str, why: str) -> migrate_call.MigrateParams:
            self.call.left_out = (*self.call.left_out, feature)
            return self._leave_out(feature, f'it was refused: {why}').for_disks(mirrored_disks)

        return migrate_call.PlannedDomain(
            domain, self._plan.for_disks(mirrored_disks), self.call, without,
            self._may_call_again, self._leave)

    def _try(self, do: Callable[[], None]) -> bool:
        """Try an improvement that the migration does not depend on; whether it worked."""
        try:
            do()
            return True
        except exception.GuestError as error:
            self._say(str(error))
            return False

    def _say(self, text: str) -> None:
        LOG.warning('%s', text, instance=self.start.instance)
        self.tell(text)

    def tell(self, text: str) -> None:
        """Put a sentence into the timeline."""
        self.journal.add(vocabulary.EVENT, self.inbox.clock(), text=text)

    def operation_over(self, error: Exception | None) -> None:
        """Note that the operation's thread has ended."""
        if self.call.is_left:
            return
        self.call.error = error
        self.call.done = True
        self.inbox.put(inbox_mod.CallReturned(self.inbox.clock()))

    def watch(
        self, reporter: nova_records.Reporter, disk_paths: Sequence[str],
        sleep: Callable[[float], None] = time.sleep,
    ) -> outcome_mod.Outcome | None:
        """Watch and steer until the migration is over, and keep its lessons for the next.

        None where it is left to the next nova-compute.
        """
        plan = self._plan.for_disks(len(disk_paths))
        facts = self.facts(plan, self.guest.disk_bytes(disk_paths))
        controller = self.controller = controller_mod.Controller(self.policy, facts)
        taken = self._taken_over
        if taken is None or not self.journal.has_begun:
            self.journal.add(
                vocabulary.START, self._started_s,
                server=self.start.instance.uuid, destination=self.start.destination,
                **self.start.resolved.to_dict(), waited_seconds=round(self._waited_s, 1),
                facts=dataclasses.asdict(facts), notes=list(plan.notes))
        if taken is not None:
            controller.take_over(taken.settings, taken.held, taken.done, self.inbox.clock())
            self._say('nova-compute was started again: the migration, which went on without it, '
                      'is watched and steered from here on')
        monitor = self._monitor = loop.Monitor(
            guest=self.guest, controller=controller,
            progress=progress_mod.Progress(facts.memory_bytes, facts.disk_bytes),
            inbox=self.inbox, journal=self.journal, call=self.call, host=reporter, sleep=sleep,
            policy_in_force=retune_mod.PolicyInForce(
                self.start.resolver, self.start.resolved,
                lambda policy: self._deadline_s(policy, controller.facts.disk_bytes),
                taken.retuned if taken is not None else {}),
            has_events=self.has_events, was_paused=self.start.circumstances.paused,
            neighbours=self._neighbours,
            cap_is_shared=plan.start_bandwidth_mib_s != plan.bandwidth_mib_s,
            mirrored_disks=len(disk_paths),
            ended_outside=lambda: self._hung.reason if self._hung is not None else None,
            done=taken.done if taken is not None else (), leave=self._leave,
            resume_obstacle=self._resume_obstacle, stay_obstacle=self._stay_obstacle,
            flowed=self.flowed)
        outcome = monitor.run()
        if outcome is None or outcome.end is outcome_mod.End.UNDECIDED:
            # There is no end yet, and QEMU may still need its limits.
            return outcome
        try:
            self._finish(monitor, controller, outcome)
        except Exception:
            # Nova's next step decides about the guest; this does not.
            LOG.exception('The results of the migration were not kept in full',
                          instance=self.start.instance)
        return outcome

    def _finish(self, monitor: loop.Monitor, controller: controller_mod.Controller,
                outcome: outcome_mod.Outcome) -> None:
        if outcome.end is outcome_mod.End.COMPLETED:
            self._learn_link(monitor, controller)
        elif self._throttle_is_held:
            self._try(self.guest.free_throttle)
        # A large journal is not read as a whole, so its end repeats earlier changes.
        changed = monitor.commands.in_force if monitor.commands.changed else {}
        self._end(outcome, monitor.view['percent'],
                  outcome_mod.figures(monitor.final_stats), changed)

    def _end(self, outcome: outcome_mod.Outcome, percent: float, figures: Mapping[str, int],
             changed: Mapping[str, Any]) -> None:
        took_s = self.inbox.clock() - self._started_s
        LOG.info('Live migration %(end)s after %(took).1f s: %(reason)s %(figures)s', {
            'end': outcome.end.value, 'took': took_s, 'reason': outcome.reason,
            'figures': figures}, instance=self.start.instance)
        self.journal.add(vocabulary.END, self.inbox.clock(), outcome=outcome.end.value,
                         reason=outcome.reason, total_seconds=round(took_s, 3),
                         percent=percent, notes=list(self._plan.notes), **figures, **changed)

    def _learn_link(self, monitor: loop.Monitor, controller: controller_mod.Controller) -> None:
        """Keep the rate that this migration reached, for the next one to the same host."""
        seen_mib_s = [rate for rate in map(link_rate.from_pass, controller.passes) if rate]
        is_bound = not seen_mib_s
        last, stats = monitor.last_sample, monitor.final_stats
        sent, downtime_ms = stats.get('memory_processed'), stats.get('downtime')
        # The rate of post-copy, of a paused guest, or of a link that others use says nothing
        # about a switchover.
        if (is_bound and not controller.over and last and not last.others
                and last.memory_processed_bytes and monitor.ended_s
                and isinstance(sent, int) and isinstance(downtime_ms, int)):
            rate = link_rate.from_switchover(
                last, sent, monitor.ended_s, controller.settings.cap_mib_s, downtime_ms)
            seen_mib_s = [rate] if rate else []
        if not seen_mib_s:
            return
        held = self._links.learn(self.start.destination, self.start.instance.uuid,
                                 max(seen_mib_s), is_bound=is_bound)
        self.journal.add(vocabulary.LINK, self.inbox.clock(), seen_mib_s=round(max(seen_mib_s), 1),
                         held_mib_s=round(held.low_mib_s, 1) if held else None)


def journal_for(
    folder: pathlib.Path | None, migration_uuid: str, started_s: float, max_bytes: int,
) -> journal_mod.Journal:
    """Make the journal of a migration; in memory only where its file cannot be named."""
    path = None
    if folder is not None:
        try:
            path = journal_mod.file_for(folder, migration_uuid)
        except ValueError as error:
            LOG.warning('No journal file for migration %r: %s', migration_uuid, error)
    return journal_mod.Journal(path, started_s, max_bytes)
