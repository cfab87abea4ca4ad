# SPDX-License-Identifier: Apache-2.0
"""The slots of this host: its machines of both directions, their messages and their time.

What is decided is the business of capacity.outgoing and capacity.incoming. Their calls are short
and made under one lock; messages are sent, and others told, by other threads.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import functools
import threading
import time
from typing import Any, NamedTuple

from nova import context as nova_context
from oslo_log import log as logging

from nova_migpolicy.capacity import account
from nova_migpolicy.capacity import incoming as incoming_mod
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import outgoing as outgoing_mod
from nova_migpolicy.capacity import published
from nova_migpolicy.capacity import waits
from nova_migpolicy.channel import client
from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import post as post_mod

LOG = logging.getLogger(__name__)

Want = outgoing_mod.Want
Stand = outgoing_mod.Stand
Machine = incoming_mod.Incoming | outgoing_mod.Outgoing
#: a host that has spoken of slots so lately knows them: it is busy, or the bus has lost its queue
SPOKE_S = 60.0
#: one that only seems to know none has to seem so for so long
SEEMS_S = 5.0
#: one of which nothing was heard for so long is what its migrations wait for
SILENT_S = 30.0
#: a migration that lasts for longer has no end in sight
LONGEST_S = 1e6
#: while a renewal is missed, the bus is looked at so often
LOOK_S = 5.0
#: a look that is so late, when a lease is about to end, is that of a process that was stopped
LATE_S = limits_mod.LEASE_S - limits_mod.MISSED_S - 1.0
#: after an error the thread goes on in so long
AGAIN_S = 1.0


class Course(NamedTuple):
    """How far a migration is: its phase, and the seconds until its end as far as known."""

    phase: str
    eta_s: float | None


class Slots:
    """The slots of this host.

    :param channel: asks other hosts
    :param course: returns how far a migration of this host is that has its slots; None for unknown
    :param epoch: the start of this process in ms since 1970
    :ivar most_at_once: how many migrations Nova has under way from here at once; 0 for no limit
    """

    def __init__(self, host: str, limits: limits_mod.Limits, channel: client.Channel,
                 course: Callable[[str], Course | None] = lambda migration: None,
                 clock: Callable[[], float] = time.monotonic, epoch: int | None = None, *,
                 most_at_once: int = 0) -> None:
        epoch = int(time.time() * 1000) if epoch is None else epoch
        self._clock = clock
        self._channel = channel
        self._course = course
        self.most_at_once = most_at_once
        self._outgoing = outgoing_mod.Outgoing(host, epoch, limits)
        self._incoming = incoming_mod.Incoming(clock(), host, epoch, limits)
        self._post = post_mod.Post(self._tell)
        self._changed = threading.Condition()
        #: by migration: wakes who waits for its slots
        self._stirs: dict[str, Callable[[], object]] = {}
        #: by migration that waits: when its destination was heard of last, or it began to wait
        self._heard_s: dict[str, float] = {}
        #: hosts that know no slots, and since when others seem to
        self._without: set[str] = set()
        self._seems_s: dict[str, float] = {}
        #: by host: when it has said anything of slots last
        self._spoke_s: dict[str, float] = {}
        #: hosts of which it was said that they know no slots, or do not answer
        self._told_without: set[str] = set()
        self._told_silent: set[str] = set()
        self._looked_s = -LOOK_S
        self._is_deaf = False
        self._stopped = threading.Event()

    def start(self) -> None:
        """Say again what has to be said again, in a thread of its own."""
        threading.Thread(target=self._run, daemon=True, name='slots').start()

    def stop(self) -> None:
        """Say nothing more."""
        self._stopped.set()
        with self._changed:
            self._changed.notify_all()

    # A migration from here.

    def ask(self, want: Want, stir: Callable[[], object]) -> None:
        """Let a migration wait for its slots.

        :param stir: is called when it has them, from another thread
        """
        with self._changed:
            now_s = self._clock()
            self._stirs[want.migration] = stir
            self._heard_s[want.migration] = now_s
            self._carry_out(self._outgoing.ask(now_s, want))

    def adopt(self, want: Want) -> None:
        """Count a migration whose data flows already."""
        with self._changed:
            self._carry_out(self._outgoing.adopt(self._clock(), want))

    def end(self, migration: str) -> None:
        """Give back what a migration has, or let it wait no longer."""
        with self._changed:
            self._stirs.pop(migration, None)
            self._heard_s.pop(migration, None)
            if self._outgoing.stand(migration) is not None:
                self._carry_out(self._outgoing.end(self._clock(), migration))

    def keep_only(self, needs: Callable[[str], bool]) -> None:
        """End all that do not need their slots: whoever had them ended without a word.

        :param needs: whether a migration does; it is asked without a lock, and may take long
        """
        # First: what begins to wait while others are looked at is not among them.
        with self._changed:
            known = [own.want.migration for own in self._outgoing.own()]
        for migration in known:
            if not needs(migration):
                LOG.warning('The slots of migration %s are given back: nobody is at work on it',
                            migration)
                self.end(migration)

    def has_both(self, migration: str) -> bool:
        """Whether a migration has its slots."""
        with self._changed:
            return self._outgoing.stand(migration) is Stand.HOLDING

    def wait(self, migration: str) -> waits.Wait | None:
        """Return what a migration waits for; None where it does not."""
        with self._changed:
            return self._outgoing.wait(migration)

    def silent_s(self, migration: str) -> float:
        """Return for how long nothing was heard of a waiting one's destination.

        0 while it waits for this host alone, and where it does not wait.
        """
        with self._changed:
            now_s = self._clock()
            if migration not in self._heard_s:
                return 0.0
            wait = self._outgoing.wait(migration)
            if wait is None or wait.host == self._outgoing.host or wait.host in self._without:
                self._heard_s[migration] = now_s
            return now_s - self._heard_s[migration]

    def hears_itself(self) -> bool:
        """Whether the message bus works, as far as this host can tell; takes seconds."""
        return bool(self._channel.answers(nova_context.get_admin_context(), self._outgoing.host))

    # A migration to here.

    def reserve(self, migration: str, server: str, cost_mib: float) -> waits.Refusal | None:
        """Keep a slot for a moment for one that is being checked, or say why there is none."""
        with self._changed:
            now_s = self._clock()
            self._note_stop(now_s)
            found = self._incoming.reserve(now_s, migration, server, cost_mib)
            self._changed.notify_all()
            return found

    def close(self) -> None:
        """Let nothing more come: this process is about to end."""
        with self._changed:
            self._incoming.close(self._clock())

    # Both.

    @property
    def limits(self) -> limits_mod.Limits:
        """The limits in force."""
        return self._outgoing.limits

    def published(self) -> published.Incoming:
        """Return what is published of the incoming slots."""
        with self._changed:
            return published.Incoming(self._incoming.used, self._incoming.waiting,
                                      self._incoming.limits.max_incoming)

    def state(self, most: int) -> dict[str, Any]:
        """Return what an operator is shown, see account.state, and Nova's own limit."""
        with self._changed:
            found = account.state(self._outgoing, self._incoming, self._clock(), most)
        return {'max_concurrent_live_migrations': self.most_at_once, **found}

    def set_limits(self, limits: limits_mod.Limits) -> None:
        """Go by other limits; who has a slot keeps it."""
        with self._changed:
            self._set_limits(limits)

    def change_limits(self, given: Mapping[str, int]
                      ) -> tuple[limits_mod.Limits, limits_mod.Limits]:
        """Change some of the limits; return them as they were, and as they are.

        :param given: by the names of limits_mod.Limits
        :raises exception.BadOption: one is none
        """
        with self._changed:
            before = self._outgoing.limits
            self._set_limits(dataclasses.replace(before, **given))
            return before, self._outgoing.limits

    def _set_limits(self, limits: limits_mod.Limits) -> None:
        now_s = self._clock()
        self._note_stop(now_s)
        self._carry_out(self._outgoing.set_limits(now_s, limits))
        self._carry_out(self._incoming.set_limits(now_s, limits))

    def receive(self, plain: Mapping[str, Any]) -> None:
        """Take what another host says.

        :raises exception.BadMessage: it is nonsense
        """
        message = messages.from_plain(plain)
        is_from_source = isinstance(message, messages.FromSource)
        other = message.source if is_from_source else message.destination
        with self._changed:
            now_s = self._spoke_s[other] = self._clock()
            self._note_stop(now_s)
            # First: what is told to it for that reason is older than an answer.
            if other in self._without:
                self._set_slots(other, True)
            self._told_without.discard(other)
            self._seems_s.pop(other, None)
            if is_from_source:
                turn = self._incoming.receive(now_s, message)
            else:
                if message.migration in self._heard_s:
                    self._heard_s[message.migration] = now_s
                turn = self._outgoing.receive(now_s, message)
            self._carry_out(turn)
        if turn.refused:
            LOG.warning('What %(host)s says of slots is not understood: %(reason)s',
                        {'host': other, 'reason': turn.refused})

    def _set_slots(self, host: str, has_slots: bool) -> None:
        (self._without.discard if has_slots else self._without.add)(host)
        self._carry_out(self._outgoing.set_slots(self._clock(), host, has_slots))

    def _carry_out(self, turn: messages.Turn) -> None:
        """Do what a machine wants; the lock is held."""
        for message in turn.sends:
            other = (message.destination if isinstance(message, messages.FromSource)
                     else message.source)
            self._post.put(other, message)
        for migration in turn.granted:
            self._heard_s.pop(migration, None)
            self._stirs.pop(migration, lambda: None)()
        self._changed.notify_all()

    def _tell(self, host: str, together: Sequence[messages.Message]) -> None:
        """Send messages; what is lost is said again."""
        mine = [one.migration for one in together if isinstance(one, messages.FromSource)]
        try:
            self._channel.ask(nova_context.get_admin_context(), host, 'slots',
                              messages=[messages.to_plain(one) for one in together])
        except client.Unreachable as error:
            if error.status == protocol.CONFLICT and mine:
                self._knows_none(host, error)
                return
            if host not in self._told_silent:
                self._told_silent.add(host)
                LOG.info('Of slots: %s', error)
            self._explain(mine, str(error), SILENT_S)
        except client.Refused as error:
            LOG.warning('%(host)s has refused what it was told of slots: %(error)s',
                        {'host': host, 'error': error})
            self._explain(mine, f'it has refused what it was told: {error}', 0.0)
        else:
            self._knows_them(host)

    def _explain(self, migrations: Sequence[str], why: str, silent_s: float) -> None:
        """Take note of why those that wait hear nothing, once they have not for so long."""
        with self._changed:
            now_s = self._clock()
            for migration in migrations:
                if now_s - self._heard_s.get(migration, now_s) >= silent_s:
                    self._outgoing.trouble(migration, why)

    def _knows_them(self, host: str) -> None:
        self._told_silent.discard(host)
        with self._changed:
            self._seems_s.pop(host, None)
            if host in self._without:
                self._told_without.discard(host)
                self._set_slots(host, True)

    def _knows_none(self, host: str, error: client.Unreachable) -> None:
        """Take note that a host knows no slots, unless it has just spoken of them.

        One that has not said so itself may only be busy, or be about to start.
        """
        with self._changed:
            now_s = self._clock()
            if host in self._without or now_s - self._spoke_s.get(host, -SPOKE_S) < SPOKE_S:
                return
            if not isinstance(error, client.OtherVersion):
                since_s = self._seems_s.setdefault(host, now_s)
                if now_s - since_s > SPOKE_S:
                    since_s = self._seems_s[host] = now_s
                if now_s - since_s < SEEMS_S:
                    return
            self._seems_s.pop(host, None)
            self._set_slots(host, False)
        if host not in self._told_without:
            self._told_without.add(host)
            LOG.warning('%(host)s knows no slots, so it counts as having room for migrations '
                        'always: %(error)s', {'host': host, 'error': error})

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                if self._wait_until_due():
                    self.wake()
            except Exception:
                LOG.exception('Slots are looked after again in a moment')
                self._stopped.wait(AGAIN_S)

    def _wait_until_due(self) -> bool:
        """Wait until a machine is to be woken; False where there is nothing more to do."""
        with self._changed:
            while not self._stopped.is_set():
                due_s = [one.wake_s for one in self._machines() if one.wake_s is not None]
                if self._look_s is not None:
                    due_s.append(self._look_s)
                left_s = min(due_s) - self._clock() if due_s else None
                if left_s is not None and left_s <= 0:
                    return True
                self._changed.wait(left_s)
            return False

    def wake(self) -> None:
        """Say again what has to be said again by now, and how far each migration is."""
        self._look_at_bus()
        with self._changed:
            flowing = [own.want.migration for own in self._outgoing.with_slot()
                       if own.stand is Stand.HOLDING]
        courses = {migration: self._course_of(migration) for migration in flowing}
        with self._changed:
            now_s = self._clock()
            for migration, course in courses.items():
                if course is not None:
                    ends_s = None if course.eta_s is None else now_s + course.eta_s
                    self._outgoing.note(migration, course.phase, ends_s)
            for machine in self._machines():
                if machine.wake_s is not None and machine.wake_s <= now_s:
                    self._carry_out(machine.wake(now_s))

    @property
    def _look_s(self) -> float | None:
        """When the bus is to be looked at, since a renewal is missed; None for never."""
        missed_s = self._incoming.missed_s
        return None if missed_s is None else max(missed_s, self._looked_s + LOOK_S)

    def _note_stop(self, now_s: float) -> None:
        """Let leases last where this process was stopped for a while; the lock is held.

        What was said to it meanwhile has still to be read, and any thread may be the first.
        """
        if self._look_s is not None and now_s - self._look_s >= LATE_S:
            self._looked_s = now_s
            self._incoming.hear_nothing(now_s)
            LOG.warning('This host was stopped for a while: those that have incoming slots keep '
                        'them, as they could not be heard')

    def _look_at_bus(self) -> None:
        """Let leases last where renewals are missed since the bus does not work."""
        with self._changed:
            now_s = self._clock()
            self._note_stop(now_s)
            if self._look_s is None or now_s < self._look_s:
                return
            self._looked_s = now_s
        is_deaf = not self.hears_itself()
        with self._changed:
            if is_deaf:
                self._incoming.hear_nothing(self._clock())
        if is_deaf is not self._is_deaf:
            self._is_deaf = is_deaf
            LOG.warning('The message bus works again' if not is_deaf else
                        'The message bus does not work: those that have incoming slots keep them, '
                        'as they cannot be heard')

    def _course_of(self, migration: str) -> Course | None:
        """Return how far a migration is; the lease is renewed whatever is not known of it."""
        try:
            course = self._course(migration)
        except Exception:
            LOG.exception('It is not known how far migration %s is', migration)
            return None
        if course is None or course.eta_s is None or 0 <= course.eta_s <= LONGEST_S:
            return course
        return course._replace(eta_s=None)

    def _machines(self) -> tuple[Machine, ...]:
        return self._outgoing, self._incoming


def in_front_of(end: Callable[[], object], do: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that gives slots back before it does what it did."""
    @functools.wraps(do)
    def ended(*args: Any, **kwargs: Any) -> Any:
        end()
        return do(*args, **kwargs)

    return ended
