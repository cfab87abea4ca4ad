# SPDX-License-Identifier: Apache-2.0
"""Answers what is asked about this host's migrations, and passes commands to their monitors.

Plain data in, answers out; how they come and go is ``compute.rpc``'s business. Nothing here calls
libvirt, and nobody waits here for longer than ANSWER_S.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import MutableMapping
from collections.abc import Sequence
import pathlib
from typing import Any

from nova_migpolicy.compute import early as early_mod
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


class Control:
    """The migrations of this host, for those who ask.

    :param sessions: by the server's UUID, those that run under a policy
    :param stock: by the server's UUID, the record's UUID of those that Nova's monitor watches
    :param journals: the folder of journals; None where they are kept in memory alone
    :param resolve_for: the policy for a server, by its UUID, with the keys of a request
    :param waits_for: what a server's migration waits for in Nova's queue here; None if it is not
        in it
    """

    def __init__(
        self,
        sessions: Mapping[str, session_mod.Session],
        stock: MutableMapping[str, str],
        *,
        early: early_mod.Early,
        requests: requests_mod.Requests,
        journals: pathlib.Path | None,
        resolve_for: Callable[[Any, str, Mapping[str, object]], resolve.Resolved],
        waits_for: Callable[[str], str | None],
    ) -> None:
        self._sessions = sessions
        self._stock = stock
        self._early = early
        self._requests = requests
        self._journals = journals
        self._resolve_for = resolve_for
        self._waits_for = waits_for

    def policy(self, context: Any, server: str, migration: str) -> Answer:
        """The policy in force; of one that has not begun, the one that it would get now."""
        session = self._session(server, migration)
        records = self._records(server, migration)
        found = history.policy(records) if records else None
        if found is None and session is not None:
            found = {**session.start.resolved.to_dict(), 'held': {}, 'retuned': {}}
        if found is None:
            try:
                resolved = self._resolve_for(context, server, self._requests.waiting(server))
            except exception.PolicyError as error:
                return answer.refusal(str(error))
            found = {**resolved.to_dict(), 'held': {}, 'retuned': {}}
        return Answer(answer.OK, found)

    def progress(self, server: str, migration: str) -> Answer:
        """How it stands; without a body where this host does not know it."""
        session = self._session(server, migration)
        if session is not None:
            return Answer(answer.OK, self._look(session))
        records = self._records(server, migration)
        ended = history.progress(records) if records else None
        if ended is not None:
            return Answer(answer.OK, ended)
        if self._stock.get(server) != migration:
            waits_for = self._waits_for(server)
            if waits_for is not None:
                return Answer(answer.OK, view.blank(
                    phase='waiting for a slot', waits_for=waits_for))
        return Answer(answer.OK, None)

    def timeline(self, server: str, migration: str, after: int, limit: int,
                 kinds: Sequence[str]) -> Answer:
        """A page of its journal."""
        records = self._records(server, migration)
        if records is None:
            return Answer(answer.OK, {'records': [], 'next': None})
        return Answer(answer.OK, history.page(records, after, limit, kinds))

    def tune(self, server: str, migration: str, values: Mapping[str, Any],
             release: Sequence[str]) -> Answer:
        """Change what a running migration may do, or give settings back to the engine."""
        session = self._session(server, migration)
        if session is None:
            return answer.refusal(self._cannot_now(server, migration, 'changed'))
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
        if self._stock.get(server) == migration:
            return Answer(answer.ACCEPTED, {
                'action': command, 'phase': None, 'reason': "Nova's own monitor was told"})
        records = self._records(server, migration)
        if records is not None:
            return answer.refusal(self._cannot_now(server, migration, command))
        self._early.remember(migration, command)
        phase = 'waiting for a slot' if self._waits_for(server) else 'queued'
        return Answer(answer.ACCEPTED, {
            'action': command, 'phase': phase,
            'reason': 'It has not begun; this is done as soon as it does'})

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
        return Answer(answer.OK, {**resolved.to_dict(), 'held': {}, 'retuned': {}})

    def drop_request(self, server: str, request_id: str) -> Answer:
        """Forget the policy of a request that Nova refused."""
        self._requests.drop(server, request_id)
        return Answer(answer.OK, {})

    def _session(self, server: str, migration: str) -> session_mod.Session | None:
        session = self._sessions.get(server)
        return session if session and session.start.migration == migration else None

    def _records(self, server: str, migration: str) -> history.Records | None:
        """The journal of a migration of this very server; None where there is none."""
        session = self._session(server, migration)
        if session is not None and session.journal.path is None:
            return session.journal.records
        if self._journals is None:
            return None
        try:
            records = history.of_file(journal_mod.file_for(self._journals, migration))
        except ValueError:
            return None
        return records if records and history.is_of(records, server) else None

    def _ask(self, session: session_mod.Session, item: inbox.Request,
             reply: answer.Reply) -> Answer | None:
        if not session.inbox.ask(item):
            # Nobody reads it; where it was read all the same, the first answer counts.
            reply.give(answer.refusal('Nothing to do, the migration is over'))
        return reply.wait(ANSWER_S)

    def _look(self, session: session_mod.Session) -> dict[str, Any]:
        end = session.journal.latest('end')
        if end is not None:
            # Nova is not done with it, but all that is ours is known.
            return {**session.view(), **history.ending(end)}
        found = session.view()
        if found['age_seconds'] < FRESH_S:
            return found
        item = inbox.Look()
        if session.inbox.ask(item):
            item.reply.wait(LOOK_S)
        return session.view()

    def _cannot_now(self, server: str, migration: str, what: str) -> str:
        """Why a migration without a session cannot be steered."""
        if self._stock.get(server) == migration:
            return STOCK
        records = self._records(server, migration)
        ended = history.progress(records) if records else None
        if ended is not None:
            return f'{what}: not possible in the phase done, it is {ended["outcome"]}'
        waits_for = self._waits_for(server)
        if waits_for is not None:
            return (f'{what}: not possible in the phase waiting for a slot ({waits_for}); wait '
                    'until its memory is being sent, or cancel it and start it with another '
                    'policy')
        return (f'{what}: not possible, it is in no phase of this host: it has not begun or is '
                'over; see its status')
