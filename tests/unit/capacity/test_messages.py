# SPDX-License-Identifier: Apache-2.0
"""Messages as plain data, and nonsense in their place."""

import json

import testtools

from nova_migpolicy.capacity import messages
from nova_migpolicy import exception

BASE = {'source': 'n1', 'destination': 'n2', 'migration': 'm1', 'epoch': 1, 'number': 2,
        'to_epoch': 3}
WANT = {**BASE, 'server': 'db-1', 'priority': 50, 'cost_mib': 1.5, 'waited_s': 2.0}
BACK = {**BASE, 'answers': 4}
ALL = (
    messages.Ask(room=2, **WANT), messages.Take(offer=7, **WANT),
    messages.Hold(phase='passes', eta_s=3.0, **WANT), messages.Hold(**WANT),
    messages.Decline(offer=7, **BASE), messages.Release(**BASE),
    messages.Offer(offer=7, lasts_s=5.0, **BACK), messages.Granted(**BACK),
    messages.Queued(place=1, waiting=2, kind='recount', used=1, limit=2, holders=('db-2', 'db-3'),
                    eta_s=None, **BACK),
    messages.Refused(reason='no', **BACK))


class TestPlain(testtools.TestCase):

    def test_there_and_back(self):
        kinds = set()
        for message in ALL:
            kinds.add(type(message))
            plain = json.loads(json.dumps(messages.to_plain(message)))
            self.assertEqual(message, messages.from_plain(plain))
        self.assertEqual({*messages.FROM_SOURCE, *messages.FROM_DESTINATION}, kinds)

    def test_of_a_newer_version(self):
        for message in ALL:
            plain = {**messages.to_plain(message), 'colour': 'blue'}
            self.assertEqual(message, messages.from_plain(plain))

    def test_nonsense(self):
        good = messages.to_plain(ALL[0])
        for plain, sentence in (
                (None, 'None is no message'), ([], '[] is no message'), ({}, 'is no kind of'),
                ({**good, 'kind_of_message': ['ask']}, 'is no kind of message'),
                ({**good, 'kind_of_message': 'fromsource'}, 'is no kind of message'),
                ({**good, 'priority': 200}, 'priority = 200 is not a number from 0 to 100'),
                ({**good, 'room': None}, 'room = None is not a whole number'),
                ({key: good[key] for key in good if key not in ('room', 'cost_mib')},
                 'Ask: cost_mib, room is missing')):
            error = self.assertRaises(exception.BadMessage, messages.from_plain, plain)
            self.assertIn(sentence, str(error))
