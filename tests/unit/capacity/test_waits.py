# SPDX-License-Identifier: Apache-2.0
"""The sentences of waits and refusals."""

import testtools

from nova_migpolicy.capacity import waits
from nova_migpolicy import vocabulary


class TestSentences(testtools.TestCase):

    def test_waits(self):
        for wait, sentence in (
                (waits.Wait('n2', vocabulary.INCOMING_SLOT, 2, 2, ('db-1', 'db-7'), 2, 5, 40.4),
                 ('2nd of 5 for an incoming slot on n2 (2 of 2 used by db-1 and db-7); '
                  'about 40 s')),
                (waits.Wait('n1', vocabulary.OUTGOING_SLOT, 1, 1, ('db-1',)),
                 'for an outgoing slot on n1 (1 of 1 used by db-1)'),
                (waits.Wait('n2', vocabulary.WHOLE_HOST, 1, 2, ('db-1',), 1, 1),
                 '1st of 1 for n2 to take it alone (1 of 2 used by db-1)'),
                (waits.Wait('n2', vocabulary.ONE_ALONE, 1, 2, ('big',), 3, 4),
                 '3rd of 4 until n2 is done with one that runs alone (1 of 2 used by big)'),
                (waits.Wait('n2', vocabulary.RECOUNT, eta_s=12.0),
                 'until n2, which has just started, knows what comes to it; about 12 s'),
                (waits.Wait('n2', vocabulary.STOPPING, place=1, waiting=2),
                 '1st of 2 until nova-compute on n2, which is being stopped, is back'),
                (waits.Wait('n2', vocabulary.AN_ANSWER, note='it is odd'),
                 'for the answer of n2; it is odd')):
            self.assertEqual(sentence, wait.sentence)

    def test_other_servers_are_not_named_to_everybody(self):
        wait = waits.Wait('n2', vocabulary.INCOMING_SLOT, 2, 2, ('db-1', 'db-7'), 2, 5)
        self.assertEqual('2nd of 5 for an incoming slot on n2 (2 of 2 used)', wait.nameless)

    def test_used(self):
        for used, limit, holders, text in (
                (0, 2, (), '0 of 2 used'), (3, 0, (), '3 used, without a limit'),
                (6, 6, ('a', 'b', 'c', 'd', 'e'), '6 of 6 used by a, b, c, d and 2 more')):
            self.assertEqual(text, waits.used_of(used, limit, holders))

    def test_ordinals(self):
        self.assertEqual(
            ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '21st', '102nd', '113th'],
            [waits.ordinal(one) for one in (1, 2, 3, 4, 11, 12, 13, 21, 102, 113)])

    def test_forecast(self):
        etas = (30.0, None, 10.0)
        self.assertEqual([10.0, 30.0, 110.0, 130.0, 210.0], [
            waits.forecast_s(place, etas, 100.0) for place in (1, 2, 3, 4, 5)])
        self.assertIsNone(waits.forecast_s(1, (None,), 100.0))
