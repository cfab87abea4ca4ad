# SPDX-License-Identifier: Apache-2.0
"""Whatever a peer sends over the bus, the control channel answers with plain data."""

from __future__ import annotations

import json
import uuid

import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy.channel import protocol
from nova_migpolicy.channel import server
from nova_migpolicy import exception

SERVER, MIGRATION = str(uuid.uuid4()), str(uuid.uuid4())
ARGUMENTS = {
    'policy': ('server', 'migration'), 'progress': ('server', 'migration'),
    'timeline': ('server', 'migration', 'after', 'limit', 'kinds'),
    'tune': ('server', 'migration', 'changes', 'release'),
    'act': ('server', 'migration', 'action'),
    'hold_request': ('server', 'request_id', 'values'),
    'drop_request': ('server', 'request_id'),
    'whereabouts': ('server',),
    'take_over': ('server', 'migration'),
    'use_release': ('server', 'migration'),
    'undecided': (), 'recovery': ('server', 'migration'),
    'discard': ('server',), 'note_named': ('server', 'request_id'),
    'request': ('server', 'request_id'),
    'capacity': ('most',), 'set_capacity': ('max_outgoing', 'max_incoming'),
    'slots': ('messages',),
}
FINE = {'server': SERVER, 'migration': MIGRATION, 'after': 0, 'limit': 10, 'kinds': ['sample'],
        'changes': {'bandwidth_mib_s': 5, 'remedies': ['downtime']}, 'release': [],
        'action': 'cancel', 'request_id': 'r', 'values': {'profile': 'balanced'},
        'most': 5, 'max_outgoing': 3, 'max_incoming': None,
        'messages': [{'kind': 'ask', 'number': 7}]}

_values = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.floats()
    | strategies.text() | strategies.just('\ud800') | strategies.just(SERVER.upper()),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(
        strategies.text(max_size=5), inner, max_size=3))


class Service:
    """Notes what comes through."""

    def __init__(self):
        self.calls = []
        self.error = None

    def __getattr__(self, name):
        def call(*context, **arguments):
            self.calls.append((name, context, arguments))
            if self.error is not None:
                raise self.error
            return protocol.Answer(protocol.OK, {})

        return call


class EndpointTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.service = Service()
        self.endpoint = server.Endpoint(self.service)

    def call(self, method, **given):
        return getattr(self.endpoint, method)('context', **given)

    def fine(self, method):
        return {name: FINE[name] for name in ARGUMENTS[method]}

    def test_all_methods_are_here(self):
        self.assertEqual({'ping', *ARGUMENTS}, set(vars(self.endpoint)))
        self.assertEqual(ARGUMENTS, {
            name: tuple(method.arguments) for name, method in protocol.METHODS.items()})

    def test_a_ping_asks_nothing(self):
        self.assertEqual({'status': 200, 'body': {}}, self.call('ping'))
        self.assertEqual(400, self.call('ping', server=SERVER)['status'])
        self.assertEqual([], self.service.calls)

    def test_arguments_come_through_by_their_names(self):
        for method, names in ARGUMENTS.items():
            self.assertEqual({'status': 200, 'body': {}}, self.call(method, **self.fine(method)))
            context = ('context',) if method in (
                'policy', 'hold_request', 'take_over', 'discard') else ()
            self.assertEqual((method, context, {name: FINE[name] for name in names}),
                             self.service.calls[-1])

    def test_missing_and_too_many(self):
        for method, names in ARGUMENTS.items():
            given = self.fine(method)
            for wrong in ({**given, 'more': 1}, {name: given[name] for name in names[1:]}, {}):
                if wrong == given:
                    continue
                refused = self.call(method, **wrong)
                self.assertEqual(400, refused['status'])
                self.assertIn('the arguments have to be', refused['message'])
        self.assertEqual([], self.service.calls)

    def refused(self, words, method, **wrong):
        found = self.call(method, **{**self.fine(method), **wrong})
        self.assertEqual(400, found['status'], wrong)
        self.assertIn(words, found['message'])
        self.assertEqual([], self.service.calls)

    def test_wrong_forms(self):
        for wrong in ('', 'x', SERVER.upper(), SERVER.replace('-', ''), f'{{{SERVER}}}',
                      f'{SERVER}\n', '../' + SERVER):
            self.refused('is not a UUID', 'act', migration=wrong)
            self.refused('is not a UUID', 'hold_request', server=wrong)
        self.refused('not a text', 'act', action=None)
        for wrong in (-1, 2 ** 64, 0.5):
            self.refused('not a number', 'timeline', after=wrong)
        self.refused('not a number', 'timeline', limit=True)
        self.refused('not a list', 'timeline', kinds='sample')
        self.refused('too long', 'tune', release=['x'] * 1001)
        self.refused('too long', 'tune', changes=dict.fromkeys(map(str, range(1001))))
        self.refused('too long', 'act', action='x' * 1001)
        self.refused('too long', 'hold_request', values={'required_features': 'x,' * 501})
        self.refused('not an object', 'tune', changes=[])
        self.refused('is an object', 'tune', changes={'profile': {}})
        self.refused('not a text', 'hold_request', values={'remedies': [['pause']]})

    def test_deep(self):
        deep: object = []
        for _ in range(100_000):
            deep = [deep]
        for name in ('changes', 'release'):
            self.assertEqual(400, self.call('tune', **{
                **self.fine('tune'), name: deep})['status'])

    @hypothesis.given(strategies.sampled_from(sorted(ARGUMENTS)), strategies.data())
    def test_anything(self, method, data):
        given = {name: data.draw(_values | strategies.just(FINE[name]), name)
                 for name in ARGUMENTS[method]}
        found = self.call(method, **given)
        self.assertIn(found['status'], (200, 400))
        json.dumps(found)

    def test_what_goes_wrong_is_answered(self):
        # What is wrong with the form is said before; anything else is a fault of ours.
        for error, status in ((exception.UnknownServer(SERVER), 404), (ValueError('v'), 503),
                              (TypeError('t'), 503), (RecursionError(), 503)):
            self.service.error = error
            found = self.call('policy', **self.fine('policy'))
            self.assertEqual(status, found['status'])
            self.assertIsInstance(found['message'], str)
