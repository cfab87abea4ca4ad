# SPDX-License-Identifier: Apache-2.0
"""A control over migrations in each state that they can be in."""

from __future__ import annotations

import pathlib
import tempfile
import types
from unittest import mock
import uuid

import testtools

from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import pending
from nova_migpolicy.compute import request_policies
from nova_migpolicy.compute import service
from nova_migpolicy.compute import slots as slots_mod
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.policy import resolve
from nova_migpolicy import vocabulary
from nova_migpolicy import written

SERVER, MIGRATION = str(uuid.uuid4()), str(uuid.uuid4())
REQUEST = f'req-{uuid.uuid4()}'


class Box(inbox_mod.Inbox):
    """Answers at once, as a monitor would."""

    def __init__(self, given=None, closed=False):
        super().__init__()
        self.given, self._closed = given, closed
        self.asked = []

    def ask(self, item):
        self.asked.append(item)
        if self.given is not None:
            item.reply.give(self.given)
        return super().ask(item)


class ControlBase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = pathlib.Path(scratch.name)
        self.current, self.waiting = {}, {}
        self.newest_request = self.whereabouts = None
        self.discard = mock.Mock()
        self.early = pending.EarlyOrders()
        self.recall = mock.Mock()
        self.requests = request_policies.RequestPolicies(self.folder / 'requests')
        self.slots = mock.create_autospec(slots_mod.Slots, instance=True)
        self.control = service.MigrationService(
            self.current, early=self.early, requests=self.requests,
            queue=pending.NovaQueue(lambda: self.waiting, 'n1'), recall=self.recall,
            journals=self.folder,
            resolve_for=lambda context, server, request: resolve.resolve(
                resolve.Sources(request=request)),
            newest_request=lambda context, server: self.newest_request,
            whereabouts=lambda server: self.whereabouts,
            take_over=lambda context, server, migration: None,
            discard=self.discard,
            written=written.Records(self.folder / written.FOLDER), slots=self.slots)

    def run_session(self, given=None, closed=False):
        resolved = resolve.resolve(resolve.Sources())
        current = self.hand_over(Box(given, closed))
        current.session = types.SimpleNamespace(
            is_watched=True, note_silence=lambda: None,
            call=outcome_mod.MigrateCall(),
            inbox=current.inbox, view=lambda: vocabulary.blank_status(phase='passes'),
            in_force=lambda: {**resolved.to_dict(), 'held': {}, 'retuned': {'on_stall': 'x'}},
            too_late=lambda item: item.reply.give(commands.over('it runs')),
            journal=journal_mod.Journal(None, 0.0, 0))
        return current.session

    def hand_over(self, box=None):
        """Let Nova hand a migration over that is still being prepared."""
        current = self.current[SERVER] = migration_mod.Migration(MIGRATION, box or Box())
        return current

    def wait_in_queue(self, *before, running=False, migration=MIGRATION, request=REQUEST):
        """Put our migration into Nova's queue, behind others of these states."""
        def future(state):
            return types.SimpleNamespace(running=lambda: state == 'running',
                                         done=lambda: state == 'done')

        for number, state in enumerate(before):
            self.waiting[str(number)] = (object(), future(state))
        self.waiting[SERVER] = (
            types.SimpleNamespace(uuid=migration, _context=types.SimpleNamespace(
                request_id=request)), future('running' if running else 'waiting'))

    def leave_to_nova(self, request):
        self.hand_over().leave_to_nova(migration_mod.Unmanaged(
            resolve.resolve(resolve.Sources(request=request))))

    def write(self, *records, server=SERVER):
        written = journal_mod.Journal(journal_mod.file_for(self.folder, MIGRATION), 0.0, 1 << 20)
        written.add('start', 0.0, server=server, **resolve.resolve(resolve.Sources()).to_dict())
        for kind, fields in records:
            written.add(kind, 1.0, **fields)
        return written

    def ended(self):
        return self.write(
            ('sample', {'memory_total_bytes': 9, 'memory_remaining_bytes': 1}),
            ('decision', {'rule': 'raise_bandwidth', 'reason': 'because', 'actions': []}),
            ('retune', {**resolve.resolve(resolve.Sources()).to_dict(),
                        'held': {'bandwidth_mib_s': 70}, 'retuned': {'on_stall': 'pause'}}),
            ('end', {'outcome': 'completed', 'reason': 'it runs', 'total_seconds': 4.5,
                     'downtime_ms': 55}))
