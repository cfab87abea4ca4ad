# SPDX-License-Identifier: Apache-2.0
"""Answers what is asked about this host's migrations, and passes commands to their monitors.

Plain data in, answers out; how they come and go is ``compute.rpc``'s business. Nothing here calls
libvirt, and nobody waits here for longer than ANSWER_S.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import pathlib
from typing import Any

from nova_migpolicy.compute import early as early_mod
from nova_migpolicy.compute import queue as queue_mod
from nova_migpolicy.compute import recall as recall_mod
from nova_migpolicy.compute import requests as requests_mod
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy import exception
from nova_migpolicy.monitor import answer
from nova_migpolicy.monitor import history
from nova_migpolicy.monitor import inbox
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import view
from nova_migpolicy.policy import resolve

# How long libvirt is waited for; whoever asks waits somewhat longer.
ANSWER_S = 1.0
# A view that is younger is fresh enough for everybody.
FRESH_S = 1.0
LOOK_S = 0.3
STOCK = ("Nova's own monitor watches this migration (profile nova), which can be neither looked "
         'into nor changed; cancel it and start it again with another profile')
Answer = answer.Answer


@dataclasses.dataclass
class Stock:
    """A migration that Nova's own monitor watches.

    :ivar migration: the UUID of Nova's record.
    :ivar resolved: the policy that left it to Nova; None where it could not be resolved.
    :ivar complete: whether it was asked to complete before it began.
    """

    migration: str
    resolved: resolve.Resolved | None
    complete: bool = False


class Control:
    """The migrations of this host, for those who ask.

    :param sessions: by the server's UUID, those that run under a policy
    :param stock: by the server's UUID, those that Nova's monitor watches
    :param queue: Nova's own queue
    :param recall: takes out of it what is cancelled early
    :param journals: the folder of journals; None where they are kept in memory alone
    :param resolve_for: the policy for a server, by its UUID, with the keys of a request
    """

    def __init__(
        self,
        sessions: Mapping[str, session_mod.Session],
        stock: Mapping[str, Stock],
        *,
        early: early_mod.Early,
        requests: requests_mod.Requests,
        queue: queue_mod.Queue,
        recall: recall_mod.Recall,
        journals: pathlib.Path | None,
        resolve_for: Callable[[Any, str, Mapping[str, object]], resolve.Resolved],
    ) -> None:
        self._sessions = sessions
        self._stock = stock
        self._early = early
        self._requests = requests
        self._journals = journals
        self._queue = queue
        self._recall = recall
        self._resolve_for = resolve_for

    def policy(self, context: Any, server: str, migration: str) -> Answer:
        """The policy in force or, at last, of one that is over.

        Of one that this host does not know, it is the policy that it would get now; 'begun' is
        False then.
        """
        session = self._session(server, migration)
        if session is not None:
            return Answer(answer.OK, {**session.in_force(), 'begun': True})
        records = self._records(server, migration)
        found = history.policy(records) if records else None
        stock = self._stock_of(server, migration)
        if stock is not None and stock.resolved is not None:
            found = _untouched(stock.resolved)
        if found is not None:
            return Answer(answer.OK, {**found, 'begun': True})
        place = self._queue.find(server, migration)
        request = (self._requests.read(server, place.request_id)
                   if place is not None and place.request_id is not None
                   else self._requests.waiting(server))
        try:
            resolved = self._resolve_for(context, server, request)
        except exception.PolicyError as error:
            return answer.refusal(str(error))
        return Answer(answer.OK, {**_untouched(resolved), 'begun': False})

    def progress(self, server: str, migration: str) -> Answer:
        """How it stands; without a body where this host does not know it."""
        session = self._session(server, migration)
        if session is not None:
            return Answer(answer.OK, self._look(session))
        records = self._records(server, migration)
        ended = history.progress(records) if records else None
        if ended is not None:
            return Answer(answer.OK, ended)
        place = self._queue.find(server, migration)
        if place is None:
            return Answer(answer.OK, None)
        return Answer(answer.OK, view.blank(
            phase=_phase(place), waits_for=place.waits_for))

    def timeline(self, server: str, migration: str, after: int, limit: int,
                 kinds: Sequence[str]) -> Answer:
        """A page of its journal."""
        records = self._records(server, migration)
        if records is None:
            return Answer(answer.OK, {'records': [], 'next': None})
        return Answer(answer.OK, records.page(after, limit, kinds))

    def tune(self, server: str, migration: str, values: Mapping[str, Any],
             release: Sequence[str]) -> Answer:
        """Change what a running migration may do, or give settings back to the engine."""
        session = self._session(server, migration)
        if session is None:
            return answer.refusal(self._cannot_now(server, migration, 'retune'))
        item = inbox.Tune(dict(values), tuple(release))
        found = self._ask(session, item, item.reply)
        if found is not None:
            return found
        return Answer(answer.ACCEPTED, {
            'pending': True, 'applied': {}, 'released': [], 'held': {}, 'settings': {},
            'reason': 'libvirt has not answered yet; the timeline will show what became of it'})

    def act(self, server: str, migration: str, command: str) -> Answer:
        """Do one of inbox.COMMANDS; a cancel or completion of what has not begun is remembered."""
        if command not in inbox.COMMANDS:
            return answer.refusal(f'there is no action {exception.shown(command)}; there are '
                                  f'{", ".join(inbox.COMMANDS)}', answer.BAD_REQUEST)
        session = self._session(server, migration)
        if session is not None:
            item = inbox.Command(command)
            found = self._ask(session, item, item.reply)
            return found or Answer(answer.ACCEPTED, {
                'action': command, 'phase': session.view()['phase'], 'reason':
                'libvirt has not answered yet; the timeline will show what became of it'})
        if command in (inbox.POST_COPY, inbox.PAUSE):
            return answer.refusal(self._cannot_now(server, migration, command))
        if self._stock_of(server, migration) is not None:
            # Its own answer to whoever asked Nova first is the true one.
            return Answer(answer.ACCEPTED, None)
        if self._records(server, migration) is not None:
            return answer.refusal(self._cannot_now(server, migration, command))
        place = self._queue.find(server, migration)
        self._early.remember(migration, command)
        if self._is_here(server, migration) and self._early.take(migration) is not None:
            # It began in between, and had looked before this was there to be found.
            return self.act(server, migration, command)
        if command == inbox.CANCEL:
            self._recall.add(server, migration)
        return Answer(answer.ACCEPTED, {
            'action': command, 'phase': _phase(place),
            'reason': ('It has not begun, and is ended before it does' if command == inbox.CANCEL
                       else 'It has not begun; this is done as soon as it does')})

    def hold_request(self, context: Any, server: str, request_id: str,
                     values: Mapping[str, Any]) -> Answer:
        """Check the policy keys of a request to migrate, and keep them for it."""
        try:
            resolved = self._resolve_for(context, server, values)
            self._requests.keep(server, request_id, values)
        except exception.PolicyError as error:
            return answer.refusal(str(error), answer.BAD_REQUEST)
        except ValueError as error:
            return answer.refusal(str(error), answer.BAD_REQUEST)
        except OSError as error:
            return answer.refusal(
                f'the host cannot keep the policy of this request: {error}; ask again without '
                'one, or see to the disk of the host', answer.UNAVAILABLE)
        return Answer(answer.OK, _untouched(resolved))

    def drop_request(self, server: str, request_id: str) -> Answer:
        """Forget the policy of a request that Nova refused."""
        self._requests.drop(server, request_id)
        return Answer(answer.OK, {})

    def _is_here(self, server: str, migration: str) -> bool:
        return (self._session(server, migration) is not None
                or self._stock_of(server, migration) is not None)

    def _stock_of(self, server: str, migration: str) -> Stock | None:
        stock = self._stock.get(server)
        return stock if stock and stock.migration == migration else None

    def _session(self, server: str, migration: str) -> session_mod.Session | None:
        session = self._sessions.get(server)
        return session if session and session.start.migration == migration else None

    def _records(self, server: str, migration: str) -> history.Records | None:
        """The journal of a migration of this very server; None where there is none."""
        session = self._session(server, migration)
        if session is not None and session.journal.path is None:
            return history.Kept(session.journal)
        if self._journals is None:
            return None
        try:
            records = history.File(journal_mod.file_for(self._journals, migration))
            return records if history.is_of(records, server) else None
        except (ValueError, FileNotFoundError):
            return None

    def _ask(self, session: session_mod.Session, item: inbox.Request,
             reply: answer.Reply) -> Answer | None:
        if session.inbox.crowded:
            return answer.refusal(
                'libvirt does not answer, and too much waits to be done with this migration '
                'already; try again later', answer.UNAVAILABLE)
        if not session.inbox.ask(item):
            # Nobody reads it; where it was read all the same, the first answer counts.
            session.too_late(item)
        return reply.wait(ANSWER_S)

    def _look(self, session: session_mod.Session) -> dict[str, Any]:
        end = session.journal.latest('end')
        if end is not None:
            # Nova is not done with it, but all that is ours is known.
            return {**session.view(), **history.ending(end), 'phase': view.FINISHING}
        found = session.view()
        if found['age_seconds'] < FRESH_S:
            return found
        item = inbox.Look()
        if not session.inbox.crowded and session.inbox.ask(item):
            item.reply.wait(LOOK_S)
        return session.view()

    def _cannot_now(self, server: str, migration: str, what: str) -> str:
        """Why a migration without a session cannot be steered."""
        if self._stock_of(server, migration) is not None:
            return STOCK
        records = self._records(server, migration)
        ended = history.progress(records) if records else None
        if ended is not None:
            return f'{what}: not possible in the phase done, it is {ended["outcome"]}'
        place = self._queue.find(server, migration)
        if place is not None:
            why = f' ({place.waits_for})' if place.waits_for else ''
            return (f'{what}: not possible in the phase {_phase(place)}{why}; wait until its '
                    'memory is being sent, or cancel it and start it with another policy')
        return (f'{what}: not possible, it is in no phase of this host: it has not begun or is '
                'over; see its status')


def _phase(place: queue_mod.Place | None) -> str:
    """Where a migration is that has not begun; the conductor has those that are not here."""
    if place is None:
        return 'queued'
    return 'waiting for a slot' if place.waits_for else view.PREPARING


def _untouched(resolved: resolve.Resolved) -> dict[str, Any]:
    """A policy that nobody has changed since it was resolved."""
    return {**resolved.to_dict(), 'held': {}, 'retuned': {}}
