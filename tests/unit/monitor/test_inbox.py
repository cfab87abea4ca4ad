# SPDX-License-Identifier: Apache-2.0
"""Both inboxes deliver everything once, in order, whoever puts it in."""

from __future__ import annotations

import threading

import testtools

from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy import vocabulary

LONG_S = 30.0


class InboxTest(testtools.TestCase):
    kind = inbox_mod.Inbox

    def test_nothing_came(self):
        self.assertEqual([], self.kind().wait(0))

    def test_in_order_and_once(self):
        box = self.kind()
        items = [inbox_mod.JobCompleted(float(n), {}) for n in range(5)]
        for item in items:
            box.put(item)
        self.assertEqual(items, box.wait(LONG_S))
        self.assertEqual([], box.wait(0))

    def test_wakes_for_another_thread(self):
        box = self.kind()
        for send, item in ((box.put, inbox_mod.CallReturned(1.0)),
                           (box.ask, inbox_mod.Command(vocabulary.CANCEL))):
            sender = threading.Timer(0.05, send, (item,))
            sender.start()
            self.addCleanup(sender.join)
            self.assertEqual([item], box.wait(LONG_S))

    def test_who_asks_when_nobody_reads_any_more_is_told(self):
        box = self.kind()
        early, late = inbox_mod.Look(), inbox_mod.Look()
        self.assertTrue(box.ask(early))
        self.assertEqual([early], box.close())
        self.assertFalse(box.ask(late))

    def test_of_the_passes_that_began_the_newest_counts(self):
        box = self.kind()
        order, newest = inbox_mod.Look(), inbox_mod.PassStarted(9.0, 9)
        for item in (inbox_mod.PassStarted(7.0, 7), inbox_mod.PassStarted(8.0, 8), newest):
            box.put(item)
        box.ask(order)
        self.assertEqual([order, newest], box.wait(LONG_S))
        self.assertEqual([], box.wait(0))

    def test_events_crowd_nobody_out(self):
        box = self.kind()
        for number in range(2 * inbox_mod.MOST_WAITING):
            box.put(inbox_mod.PassStarted(0.0, number))
        self.assertFalse(box.crowded)
        for _ in range(inbox_mod.MOST_WAITING):
            box.ask(inbox_mod.Look())
            box.ask(inbox_mod.Command(vocabulary.CANCEL))
        self.assertFalse(box.crowded)
        for _ in range(inbox_mod.MOST_WAITING):
            box.ask(inbox_mod.Retune({}, ()))
        self.assertTrue(box.crowded)

    def test_who_wants_the_same_can_wait_for_the_same_answer(self):
        box = self.kind()
        look, cancel = inbox_mod.Look(), inbox_mod.Command(vocabulary.CANCEL)
        tune = inbox_mod.Retune({}, ())
        for item in (look, cancel, tune):
            self.assertIsNone(box.waiting(item))
            box.ask(item)
        self.assertIs(look, box.waiting(inbox_mod.Look()))
        self.assertIs(cancel, box.waiting(inbox_mod.Command(vocabulary.CANCEL)))
        self.assertIsNone(box.waiting(inbox_mod.Command(vocabulary.PAUSE)))
        self.assertIsNone(box.waiting(tune))
        box.wait(0)
        self.assertIsNone(box.waiting(cancel))

    def test_a_command_that_waits_can_be_seen(self):
        box = self.kind()
        self.assertFalse(box.holds(vocabulary.CANCEL))
        box.ask(inbox_mod.Command(vocabulary.CANCEL))
        self.assertTrue(box.holds(vocabulary.CANCEL))
        self.assertFalse(box.holds(vocabulary.PAUSE))

    def test_loses_nothing_under_many_senders(self):
        box = self.kind()
        senders = [
            threading.Thread(target=lambda n=n: [
                box.put(inbox_mod.Switchover(n * 1000 + i)) for i in range(200)])
            for n in range(4)]
        for sender in senders:
            sender.start()
        got = []
        while len(got) < 800:
            fresh = box.wait(LONG_S)
            self.assertNotEqual([], fresh)
            got.extend(item.at_s for item in fresh)
        for sender in senders:
            sender.join()
        self.assertEqual(800, len(set(got)))
        for n in range(4):
            mine = [i for i in got if i // 1000 == n]
            self.assertEqual(sorted(mine), mine)


class PolledInboxTest(InboxTest):
    kind = inbox_mod.PolledInbox
