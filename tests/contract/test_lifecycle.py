# SPDX-License-Identifier: Apache-2.0
"""What libvirt tells of domains keeps nobody while Nova hangs, and comes to it in order."""

import threading

import fixtures
from nova.virt import event as virtevent

from nova_migpolicy.compute import lifecycle
from tests.contract import base
from tests.contract import computing


class TestLifecycle(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.is_threaded = True
        self.useFixture(fixtures.MonkeyPatch(
            'nova_migpolicy.compute.compat.is_threaded', lambda: self.is_threaded))
        self.seen, self.goes_on, self.done = [], threading.Event(), threading.Event()
        self.addCleanup(self.goes_on.set)
        self.lifecycle = lifecycle.Lifecycle(self.emit)

    def emit(self, event):
        self.assertTrue(self.goes_on.wait(computing.LONG_S))
        self.seen.append((event, threading.current_thread()))
        if event is None or len(self.seen) == 3:
            self.done.set()
        if len(self.seen) == 1:
            raise RuntimeError('no database')

    def event(self):
        return virtevent.LifecycleEvent(base.UUID, virtevent.EVENT_LIFECYCLE_STARTED)

    def test_who_hears_it_goes_on_at_once(self):
        events = [self.event() for _ in range(3)]
        for event in events:
            self.lifecycle.pass_on(event)
        self.assertEqual([], self.seen)
        self.goes_on.set()
        self.assertTrue(self.done.wait(computing.LONG_S))
        self.assertEqual(events, [event for event, _ in self.seen])
        self.assertEqual(1, len({thread for _, thread in self.seen}))
        self.assertIn('no database', self.log.output)

    def test_what_somebody_waits_for_does_not_wait(self):
        self.goes_on.set()
        self.seen.append(None)
        event = virtevent.InstanceEvent(base.UUID)
        self.lifecycle.pass_on(event)
        self.assertEqual((event, threading.current_thread()), self.seen[-1])

    def test_under_eventlet_it_is_as_it_was(self):
        self.is_threaded = False
        self.goes_on.set()
        self.seen.append(None)
        event = self.event()
        self.lifecycle.pass_on(event)
        self.assertEqual((event, threading.current_thread()), self.seen[-1])
