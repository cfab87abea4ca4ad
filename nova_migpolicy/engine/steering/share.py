# SPDX-License-Identifier: Apache-2.0
"""Shares the link with the other migrations of a host: which of them goes first.

A rate that others share says nothing of the guest that is sent with it, nor of the link. So where
a migration would be given up, or its guest stopped, moved or slowed, while others use the link, it
is *in need* in place of that: those that began after it give way, at a trickle, until it has
ended. Of several in need the oldest goes first, and the others follow one by one. One that gives
way and has a deadline is *urgent* in good time before that, and goes before all that are not. One
that cannot end with the link to itself either, or over which nothing moves, keeps nobody from it.
Others that are not of this host are seen by what they take: a rate far below what the link has
given. They are waited for, but not for long.
"""

from __future__ import annotations

from collections import abc

from nova_migpolicy.engine.estimation import observer
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import hold
from nova_migpolicy.engine import ledger
from nova_migpolicy.engine import record
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import samples
from nova_migpolicy.engine.steering import closing as closing_mod
from nova_migpolicy.engine import terms as terms_mod
from nova_migpolicy import vocabulary

Decision = record.Decision
RULE = vocabulary.SHARE
TRICKLE_MIB_S = 1
# Less than this share of what the link has given is taken for the work of others, for so long.
TAKEN = 0.6
PATIENCE_S = 60.0
# Before its deadline it takes the link for so many times what is left of it needs, and some more.
URGENT = 3.0
URGENT_S = 10.0
GIVES_WAY = (samples.Phase.DISKS, samples.Phase.BULK, samples.Phase.PASSES)


def needed_by(all_of_them: abc.Sequence[tuple[bool, bool]], place: int) -> int:
    """How many that are in need go before the one at a place.

    :param all_of_them: of each whether it is in need, and whether it is urgent; the oldest first
    """
    _, own = all_of_them[place]
    return sum(in_need and (not urgent, number) < (not own, place)
               for number, (in_need, urgent) in enumerate(all_of_them))


class Sharing:
    """One migration's part in sharing the link.

    :ivar in_need: it cannot end at the rate that it gets beside others
    :ivar is_urgent: it has waited for others as long as its deadline permits
    """

    def __init__(self, terms: terms_mod.Terms, books: ledger.Ledger,
                 watch: observer.Watch, closing: closing_mod.Closing) -> None:
        self._terms = terms
        self._books = books
        self._watch = watch
        self._closing = closing
        self.in_need = False
        self.is_urgent = False
        self._waits_since_s: float | None = None
        # How often it was asked to go on, which may be refused, and when it is again.
        self._tries, self._again_s = 0, 0.0
        # What it was sent with before it gave way, in bytes/s.
        self._rate = 0.0

    @property
    def has_given_way(self) -> bool:
        """Whether it goes at a trickle, for another."""
        return (self._books.own_cap_mib_s is not None
                and self._books.now.cap_mib_s == TRICKLE_MIB_S)

    def applied(self, action: remedies.Action) -> None:
        """An action has been carried out: a guest that stands still needs the link to itself."""
        self.in_need |= isinstance(action, remedies.Pause) and self._watch.others > 0

    def step(self, at_s: float) -> Decision | None:
        """Give way to another in need, or take up the own rate again."""
        last, books = self._watch.last, self._books
        needed_by = (last.needed_by or 0) if last is not None else 0
        if books.own_cap_mib_s is not None and (
                hold.BANDWIDTH in self._terms.held or not self.has_given_way):
            books.own_cap_mib_s = None      # Somebody else has set it since.
        if books.own_cap_mib_s is not None and not self.is_urgent and self._is_late(at_s):
            return self._hurry(at_s)
        if needed_by and books.own_cap_mib_s is None:
            return self._give_way(needed_by, at_s)
        if not needed_by and books.own_cap_mib_s is not None:
            return self._go_on(books.own_cap_mib_s, at_s)
        return None

    def _give_way(self, needed_by: int, at_s: float) -> Decision | None:
        now, phase = self._books.now.cap_mib_s, self._watch.tracker.phase
        if (phase not in GIVES_WAY or hold.BANDWIDTH in self._terms.held
                or now == TRICKLE_MIB_S or not self._books.available(remedies.BANDWIDTH)):
            return None
        if phase is samples.Phase.DISKS and not self._watch.facts.can_hurry_disks:
            return None         # To be refused would count against the memory's rate, too.
        self._books.own_cap_mib_s, self._tries = now, 0
        self._rate = max(self._given(), self._watch.pace.rate() or 0.0)
        # What has been sent once is over soon with the link to itself: one after the other.
        self.in_need |= phase is samples.Phase.PASSES
        return Decision(at_s, (remedies.SetBandwidth(TRICKLE_MIB_S),), RULE, (
            f'{figures.count(needed_by, "migration")} of this host that began before it, or that '
            f'cannot wait any longer for their deadline, cannot end while others use the link; '
            f'it goes on at {TRICKLE_MIB_S} MiB/s until then'), self._watch.forecast)

    def _go_on(self, cap_mib_s: int, at_s: float) -> Decision | None:
        if self._tries and at_s < self._again_s:
            return None
        self._tries += 1
        self._again_s = at_s + ledger.abort_pause_s(self._tries)
        rate = f'{cap_mib_s} MiB/s' if cap_mib_s else 'no bandwidth cap'
        return Decision(at_s, (remedies.SetBandwidth(cap_mib_s),), RULE, (
            f'No migration that goes before it needs the link any more; it goes on with {rate}'),
            self._watch.forecast, again=self._tries > 1)

    def _is_late(self, at_s: float) -> bool:
        """Whether it has to go on now for its deadline."""
        time_left, left = self._watch.time_left(at_s), self._watch.left()
        if time_left is None or left is None or self._terms.policy.on_timeout == 'continue':
            return False
        return time_left <= URGENT_S + URGENT * left / max(self._rate, TRICKLE_MIB_S * record.MIB)

    def _hurry(self, at_s: float) -> Decision:
        self.is_urgent = self.in_need = True
        left, time_left = self._watch.left() or 0, self._watch.time_left(at_s) or 0.0
        return self._say(at_s, (
            f'{figures.size(left)} are left, and the deadline is in '
            f'{figures.span(max(time_left, 0.0))}; it goes before the migrations of this host '
            f'that can wait'))

    def instead(self, reason: str, at_s: float) -> tuple[bool, Decision | None]:
        """Whether to wait in place of doing something to the guest, and what is said of it.

        :param reason: why it would be done
        """
        others = self._watch.others
        if others and self._closing.now.stall_said:
            return True, None   # It did not end alone either: nobody gives way to it any more.
        if others:
            said, self.in_need = self.in_need, True
            return True, None if said else self._say(at_s, (
                f'{reason}, beside {figures.count(others, "other migration")} of this host; those '
                'that began after it give way until it has ended'))
        if not self._is_taken():
            self._waits_since_s = None
            return False, None
        since_s = self._waits_since_s
        if since_s is None:
            self._waits_since_s = at_s
            return True, self._say(at_s, (
                f'{reason}, of {figures.rate(self._given())} that the link has given; others seem '
                f'to use it, and it waits for them for up to {figures.span(PATIENCE_S)}'))
        return at_s - since_s < PATIENCE_S, None

    def _say(self, at_s: float, reason: str) -> Decision:
        return Decision(at_s, (), RULE, reason, self._watch.forecast)

    def _given(self) -> float:
        """The most that the link has given, in bytes/s, as far as this migration could use it."""
        cap, known = self._books.now.cap_mib_s, self._watch.known_link.most_mib_s or 0.0
        most = max([known * record.MIB, *(
            one.wire_rate for one in self._watch.tracker.passes if one.cap_mib_s == cap
            and one.steady)])
        return min(most, cap * record.MIB) if cap else most

    def _is_taken(self) -> bool:
        seen = self._watch.seen
        if seen is None or seen.remaining <= self._watch.threshold():
            return False        # So little is to be sent that its rate says nothing.
        return seen.measured and seen.wire_rate < TAKEN * self._given()
