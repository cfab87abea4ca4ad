# SPDX-License-Identifier: Apache-2.0
"""A live migration on its source host, from the moment Nova hands it over until Nova is done.

It can be found, and takes orders, before anything about it has been looked up: a look-up may wait
for libvirt, the database or QEMU. Orders wait in the inbox that its session reads later.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import functools
import threading
from typing import Any

from nova_migpolicy.capacity import waits
from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import kept as kept_mod
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import leaving
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy import vocabulary

# How long an order waits for its answer, in seconds; the caller waits somewhat longer.
ANSWER_S = 1.0
STOCK = ("Nova's own monitor watches this migration (profile nova), which can be neither "
         'inspected nor changed; cancel it and start it again with another profile')
FALLBACK = ("Nova's own monitor watches this migration, which can be neither inspected nor "
            'changed, because its policy could not be applied: {}; the log of nova-compute has '
            'the error')


@dataclasses.dataclass(frozen=True)
class Unmanaged:
    """The reason why Nova's own monitor watches a migration.

    :ivar resolved: the policy that left it to Nova; None where it could not be applied.
    :ivar error: the reason why not.
    """

    resolved: resolve.Resolved | None
    error: str = ''

    @property
    def sentence(self) -> str:
        """Explain to a caller why it cannot be steered."""
        return STOCK if self.resolved is not None else FALLBACK.format(self.error)


def not_parked() -> waits.Wait | None:
    """Return what a migration waits for that does not wait for slots: nothing."""
    return None


class Migration:
    """One migration: being prepared, then under a session or left to Nova's own monitor.

    :ivar migration: the UUID of Nova's record.
    :ivar resolved: the policy it began with; None until that is known.
    :ivar session: None until it is prepared, and where Nova's own monitor watches it.
    :ivar kept: its written record.
    :ivar leave: the word to leave it to libvirt.
    :ivar stock: None unless Nova's own monitor watches it.
    :ivar completes_at_start: it was ordered to complete before Nova's own monitor watched it.
    :ivar stir: set at each order, and by whoever has news for it while it waits for its slots.
    :ivar parked: returns what it waits for, while it waits for its slots; else None.
    :ivar is_deleted: its server is being deleted.
    :ivar flows_on: it is left to libvirt, and its data flows on.
    :ivar has_failed: Nova is ending it after an error, and asks for an abort by itself.
    """

    def __init__(self, migration: str, inbox: inbox_mod.Inbox) -> None:
        self.migration = migration
        self.inbox = inbox
        self.resolved: resolve.Resolved | None = None
        self.session: session_mod.Session | None = None
        self.kept: kept_mod.Kept | None = None
        self.leave = leaving.Leave()
        self.stock: Unmanaged | None = None
        self.completes_at_start = False
        self.has_failed = False
        self.stir = threading.Event()
        self.parked: Callable[[], waits.Wait | None] = not_parked
        self.is_deleted = False
        self.flows_on = False
        self._outcome: outcome_mod.Outcome | None = None
        self._unanswered: list[inbox_mod.Item] = []

    def in_force(self) -> dict[str, Any]:
        """Return its policy, as far as it is known."""
        if self.session is not None:
            return self.session.in_force()
        return {'policy': {}, 'origins': {}} if self.resolved is None else self.resolved.to_dict()

    @property
    def is_preparing(self) -> bool:
        """Whether nothing watches it yet."""
        return self.session is None and self.stock is None

    @property
    def is_watched(self) -> bool:
        """Whether its monitor has begun."""
        return self.session is not None and self.session.is_watched

    @property
    def phase_before(self) -> str:
        """The phase of one that nothing watches yet."""
        return vocabulary.PREPARING if self.parked() is None else vocabulary.WAITING

    def delete(self) -> None:
        """Take note that its server is being deleted: it does not begin any more."""
        self.is_deleted = True
        self.stir.set()

    def order(self, item: inbox_mod.Command | inbox_mod.Retune) -> protocol.Answer | None:
        """Pass an order to its monitor, and return the answer; waits ANSWER_S at most.

        None where it is Nova's own monitor that has to be told.
        """
        if not self.inbox.is_closed:
            same = self.inbox.waiting(item)
            if same is not None:
                return same.reply.wait(ANSWER_S) or self._pending(item)
            if self.inbox.crowded and isinstance(item, inbox_mod.Retune):
                return protocol.refusal(
                    f'too many changes wait already ({self._waits_for()}); try again later',
                    protocol.UNAVAILABLE)
        if self.inbox.is_closed or not self.inbox.ask(item):
            if self.stock is not None and self._outcome is None:
                return None
            # Nothing reads it; where it was read all the same, the first answer counts.
            self.too_late(item)
        self.stir.set()
        given = item.reply.wait(ANSWER_S)
        if given is None:
            item.reply.when_given(functools.partial(self._given_late, item))
        return given or self._pending(item)

    def _given_late(self, item: inbox_mod.Command | inbox_mod.Retune,
                    given: protocol.Answer) -> None:
        """Note a late refusal in the timeline; a success is in it anyway."""
        if given.status >= protocol.BAD_REQUEST and self.session is not None:
            name = item.name if isinstance(item, inbox_mod.Command) else 'retune'
            self.session.journal.add(
                vocabulary.EVENT, self.inbox.clock(), text=f'{name} was refused: {given.message}')

    def _pending(self, item: inbox_mod.Command | inbox_mod.Retune) -> protocol.Answer:
        reason = (f'Accepted, and not done yet ({self._waits_for()}); the timeline will show the '
                  'result')
        if isinstance(item, inbox_mod.Command):
            phase = self.phase_before if self.session is None else self.session.view()['phase']
            return protocol.Answer(protocol.ACCEPTED, {
                'action': item.name, 'phase': phase, 'reason': reason})
        return protocol.Answer(protocol.ACCEPTED, {
            'pending': True, 'applied': {}, 'released': [], 'held': {}, 'settings': {},
            'reason': reason})

    def _waits_for(self) -> str:
        session = self.session
        silence = session.note_silence() if session is not None else None
        if silence is not None:
            return f'waiting for {silence}'
        wait = self.parked()
        if wait is not None:
            return f'waiting {wait.nameless}'
        if session is None or not session.is_watched:
            waits_for = None if session is None else session.view()['waits_for']
            return f'it waits {waits_for}' if waits_for else 'the migration is being prepared'
        if session.call.done:
            return 'its job in libvirt is over, and its outcome is being determined'
        return 'waiting for libvirt'

    def is_ordered(self, name: str) -> bool:
        """Whether a command of this name arrived before it was watched."""
        if self.stock is None:
            return self.inbox.holds(name)
        # A later caller was told to ask Nova's own monitor.
        return any(isinstance(item, inbox_mod.Command) and item.name == name
                   for item in self._unanswered)

    def leave_to_nova(self, stock: Unmanaged) -> None:
        """Let Nova's own monitor watch it; `close` answers the orders that have arrived."""
        self.stock = stock
        self._unanswered = self.inbox.close()
        self.completes_at_start = self.is_ordered(vocabulary.FORCE_COMPLETE)

    def close(self, outcome: outcome_mod.Outcome | None = None) -> None:
        """Stop reading orders, and answer those that still wait.

        :param outcome: of a migration that ended before anything watched it
        """
        self._outcome = outcome or self._outcome
        items, self._unanswered = [*self._unanswered, *self.inbox.close()], []
        for item in items:
            if isinstance(item, inbox_mod.Request):
                self.too_late(item)

    def too_late(self, item: inbox_mod.Request) -> None:
        """Answer an order that arrived after the inbox was closed; the first answer counts."""
        if self.session is not None and self.session.is_watched:
            self.session.too_late(item)
        elif self.stock is None or self._outcome is not None:
            item.reply.give(commands.last_word(item, self._outcome, vocabulary.FINISHING))
        elif isinstance(item, inbox_mod.Command) and item.name in (
                vocabulary.CANCEL, vocabulary.FORCE_COMPLETE):
            # Nova's own answer to the first caller is the true one.
            item.reply.give(protocol.Answer(protocol.ACCEPTED, None))
        else:
            item.reply.give(protocol.refusal(self.stock.sentence))
