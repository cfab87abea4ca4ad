# SPDX-License-Identifier: Apache-2.0
"""What a host publishes of its slots can be read again, and nonsense counts as nothing."""

from __future__ import annotations

import testtools

from nova_migpolicy.capacity import published

Incoming = published.Incoming


class PublishedTest(testtools.TestCase):

    def test_it_is_read_as_it_was_written(self):
        for one in (Incoming(0, 0, 0), Incoming(2, 5, 2), Incoming(1, 0, 1000)):
            stats = one.to_stats()
            self.assertEqual({str}, set(map(type, stats.values())))
            self.assertEqual(one, published.read({**stats, 'num_instances': '7'}))

    def test_nothing_and_nonsense_have_room(self):
        whole = Incoming(2, 0, 2).to_stats()
        wrong = 'x', '', None, '-1', '1.5', [], str(published.MOST + 1), '9' * 400
        for name, value in ((None, None), *((name, value) for name in whole for value in wrong)):
            stats = {} if name is None else {**whole, name: value}
            found = published.read(stats)
            self.assertEqual(published.NOTHING, found, (name, value))
            self.assertTrue(found.has_room)

    def test_room(self):
        for one, has_room in ((Incoming(0, 0, 1), True), (Incoming(1, 0, 1), False),
                              (Incoming(0, 1, 1), False), (Incoming(50, 0, 0), True),
                              (Incoming(3, 0, 2), False)):
            self.assertIs(has_room, one.has_room, one)
