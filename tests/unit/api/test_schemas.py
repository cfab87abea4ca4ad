# SPDX-License-Identifier: Apache-2.0
"""The schemas take what the policy keys take, and say what is wrong with the rest."""

import ddt
import hypothesis
from hypothesis import strategies
import jsonschema
import testtools

from nova_migpolicy.api import errors
from nova_migpolicy.api import schemas
from nova_migpolicy.policy import keys

_ALL = ('tuning', 'request_policy', 'action', 'cancel', 'timeline_query',
        'host_query', 'capacity')
_ANY = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers()
    | strategies.floats() | strategies.text(),
    lambda inner: strategies.lists(inner) | strategies.dictionaries(
        strategies.sampled_from(['tuning', 'cancel', 'host', 'limit', 'pause', 'capacity',
                                 *schemas.LIMITS, *keys.KEYS]),
        inner))


def default(key):
    return list(key.default) if key.kind == 'list' else key.default


@ddt.ddt
class TestSchemas(testtools.TestCase):

    def refused(self, words, name, given, where=''):
        error = self.assertRaises(errors.Refusal, schemas.check, name, given, where)
        self.assertEqual(400, error.code)
        self.assertIn(words, error.message)

    @ddt.data(*_ALL)
    def test_they_are_schemas(self, name):
        jsonschema.Draft202012Validator.check_schema(getattr(schemas, name)())

    def test_each_key_that_can_be_retuned(self):
        for key in keys.retunable():
            schemas.check('tuning', {'tuning': {key.name: default(key)}})
            schemas.check('tuning', {'tuning': {'release': [key.name]}})
        for name in set(keys.KEYS) - {key.name for key in keys.retunable()}:
            self.refused(f"there is no '{name}' here", 'tuning', {'tuning': {name: 1}})

    def test_each_key_that_a_request_may_have(self):
        for key in keys.requestable():
            schemas.check('request_policy', {key.name: default(key)})

    @ddt.data('drain', 'user', 'maintenance', 0, 100)
    def test_priority(self, given):
        schemas.check('request_policy', {'priority': given})

    @ddt.data('none', ['none'], [])
    def test_no_remedy(self, given):
        schemas.check('tuning', {'tuning': {'remedies': given}})
        schemas.check('request_policy', {'remedies': given, 'required_features': given})

    @ddt.data(
        ([], "the body: [] is not of type 'object'"),
        ({}, "'tuning' is a required property"),
        ({'tuning': {}}, 'tuning: {}'),
        ({'tuning': {'max_downtime_ms': 0}}, 'tuning.max_downtime_ms: 0 is less than'),
        ({'tuning': {'max_downtime_ms': '5'}}, "tuning.max_downtime_ms: '5' is not of type"),
        ({'tuning': {'max_downtime_ms': True}}, 'tuning.max_downtime_ms: True is not of type'),
        ({'tuning': {'bandwidth_mib_s': 10 ** 30}}, 'is greater than the maximum of 1000000'),
        ({'tuning': {'bandwidth_mib_s': float('nan')}}, 'tuning.bandwidth_mib_s: nan is not'),
        ({'tuning': {'max_downtime': 5}}, 'did you mean max_downtime_ms?'),
        ({'tuning': {'on_stall': 'stop'}}, "tuning.on_stall: 'stop' is not one of ['abort'"),
        ({'tuning': {'remedies': ['pause', 'pause']}}, 'non-unique'),
        ({'tuning': {'remedies': ['none', 'pause']}},
         "tuning.remedies = ['none', 'pause']: none stands alone; leave it out, or the other"),
        ({'tuning': {'remedies': 'pause'}},
         "tuning.remedies = 'pause': write a list of words, or none"),
        ({'tuning': {'remedies': 7}}, "tuning.remedies: 7 is not of type 'array'"),
        ({'tuning': {'release': ['compression']}}, "tuning.release.0: 'compression' is not one"),
        ({'tuning': {'release': []}}, 'tuning.release: []'),
        ({'tuning': {'on_stall': 'abort'}, 'more': 1}, "there is no 'more' here"),
    )
    @ddt.unpack
    def test_wrong_tuning(self, given, words):
        self.refused(words, 'tuning', given)

    @ddt.data((None, 'os-migrateLive.migpolicy: None is not of type'),
              ({}, 'os-migrateLive.migpolicy: {}'),
              ({'profil': 'x'}, "os-migrateLive.migpolicy: there is no 'profil' here; did you"),
              ({'priority': 101}, 'os-migrateLive.migpolicy.priority = 101: it has to be drain'),
              ({'priority': -1}, 'user (50), maintenance (20), or a number from 0 to 100'),
              ({'priority': 'urgent'}, "priority = 'urgent': it has to be drain (100), user"),
              ({'priority': '50'}, "priority = '50': it has to be drain (100), user (50)"),
              ({'priority': True}, 'priority = True: it has to be drain (100), user (50)'))
    @ddt.unpack
    def test_wrong_request(self, given, words):
        self.refused(words, 'request_policy', given, 'os-migrateLive.migpolicy')

    @ddt.data({'host': 'n1'}, {'host': 'n1', 'direction': 'from'}, {'project_id': 'p'},
              {'host': 'n1', 'servers': ['a', 'b']}, {'project_id': 'p', 'servers': ['a'] * 500})
    def test_cancel(self, what):
        schemas.check('cancel', {'cancel': what})

    @ddt.data({}, {'host': ''}, {'host': 'n1', 'project_id': 'p'}, {'direction': 'to'}, 'n1',
              {'host': 'n1', 'direction': 'away'}, {'project_id': 7}, {'host': 'n' * 256},
              {'servers': ['a']}, {'host': 'n1', 'servers': []}, {'host': 'n1', 'servers': 'a'},
              {'host': 'n1', 'servers': ['a'] * 501}, {'project_id': 'p', 'servers': [7]})
    def test_wrong_cancel(self, what):
        self.refused('write either host, with direction (both, from, to)', 'cancel',
                     {'cancel': what})

    @ddt.data({'pause': 1}, {'pause': None, 'post_copy': None}, {'stop': None}, {}, None)
    def test_wrong_action(self, body):
        self.refused('', 'action', body)

    @ddt.data({'limit': ['0']}, {'limit': ['1001']}, {'limit': ['-1']}, {'limit': ['1', '2']},
              {'limit': ['']}, {'marker': ['1e3']}, {'marker': ['9' * 16]}, {'kind': ['A']},
              {'kind': ['a', 'a']}, {'sort_key': ['x']})
    def test_wrong_query(self, query):
        self.refused(next(iter(query)), 'timeline_query', query)

    def test_sentences_have_an_end(self):
        self.refused('tuning.profile', 'tuning', {'tuning': {'profile': 'x' * 100_000}})
        try:
            schemas.check('tuning', {'tuning': {'profile': 'x ' * 100_000}})
        except errors.Refusal as error:
            self.assertLessEqual(len(error.message), 300)

    @hypothesis.given(strategies.sampled_from(_ALL), _ANY)
    def test_accepted_or_refused(self, name, given):
        try:
            schemas.check(name, given)
        except errors.Refusal as error:
            self.assertEqual(400, error.code)
