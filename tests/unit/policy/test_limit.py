# SPDX-License-Identifier: Apache-2.0
"""How far a request and a retune may go, and how that is written."""

import ddt
import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import limit
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import resolve
from tests.unit.policy import cases


def parsed(**limits):
    return {name: limit.parse(keys.KEYS[name], text) for name, text in limits.items()}


def resolved(limits, **sources):
    return resolve.resolve(resolve.Sources(request_limits=parsed(**limits), **sources))


@ddt.ddt
class TestSyntax(testtools.TestCase):

    @ddt.data(('max_downtime_ms', '300'), ('max_downtime_ms', '-'),
              ('max_downtime_ms', '5-x'), ('max_downtime_ms', '0-5'),
              ('max_downtime_ms', '500-100'), ('bandwidth_mib_s', '0-100'),
              ('on_stall', 'abort|stop'), ('remedies', 'bandwith-'),
              ('migration_network', 'a-b'))
    @ddt.unpack
    def test_bad_limits(self, name, text):
        self.assertRaises(exception.BadValue, limit.parse, keys.KEYS[name], text)

    @ddt.data(('max_downtime_ms', '50-', limit.Limit(low=50)),
              ('max_downtime_ms', ' 50 - 60 ', limit.Limit(50, 60)),
              ('bandwidth_mib_s', '-0', limit.Limit(high=0)),
              ('on_stall', 'abort | pause', limit.Limit(high=('abort', 'pause'))),
              ('remedies', 'downtime-pause|post_copy',
               limit.Limit(('downtime',), ('pause', 'post_copy'))))
    @ddt.unpack
    def test_good_limits(self, name, text, meant):
        self.assertEqual(meant, limit.parse(keys.KEYS[name], text))


@ddt.ddt
class TestRequest(testtools.TestCase):

    # key, limit, what is in force without it, what is asked for, why not
    @ddt.data(
        ('max_downtime_ms', '-800', 500, 800, None),
        ('max_downtime_ms', '-800', 500, 801, 'above 800, the most'),
        ('max_downtime_ms', '-800', 1000, 1000, None),
        ('max_downtime_ms', '-800', 1000, 900, None),
        ('max_downtime_ms', '-800', 1000, 1001, 'above 800, the most'),
        ('max_downtime_ms', '100-', 500, 100, None),
        ('max_downtime_ms', '100-', 500, 99, 'below 100, the least'),
        ('max_downtime_ms', '100-', 80, 90, None),
        ('max_downtime_ms', '100-', 80, 70, 'below 100, the least'),
        ('max_bandwidth_mib_s', '-2000', 500, 0, 'above 2000, the most'),
        ('max_bandwidth_mib_s', '-2000', 0, 0, None),
        ('max_bandwidth_mib_s', '-0', 500, 0, None),
        ('max_bandwidth_mib_s', '50-', 500, 0, None),
        ('timeout_seconds', '60-600', 300, 0, 'below 60, the least'),
        ('timeout_seconds', '-600', 300, 0, '0 means no such part'),
        ('timeout_seconds', '0-600', 300, 0, None),
        ('timeout_seconds', '-600', 0, 0, None),
        ('timeout_seconds', '-600', 0, 900, 'above 600, the most'),
        ('timeout_seconds', '60-600', 0, 30, 'below 60, the least'),
        ('max_throttle_percent', '-80', 60, 81, 'above 80, the most'),
        ('on_timeout', 'abort|continue', 'abort', 'continue', None),
        ('on_timeout', 'abort|continue', 'abort', 'pause', 'permits only abort, continue'),
        ('on_timeout', 'abort|continue', 'pause', 'pause', None),
        ('remedies', '-downtime|pause', 'bandwidth', 'bandwidth,pause', None),
        ('remedies', '-downtime|pause', 'bandwidth', 'post_copy', 'post_copy cannot be added'),
        ('remedies', '-downtime|pause', 'bandwidth', 'none', None),
        ('remedies', 'bandwidth-', 'bandwidth,pause', 'pause', 'bandwidth cannot be left out'),
        ('remedies', 'bandwidth-', 'pause', 'downtime', None),
        ('remedies', 'bandwidth-pause', 'pause', 'bandwidth', None),
    )
    @ddt.unpack
    def test_held_against_it(self, name, text, before, asked, why):
        for source in ('request', 'retune'):
            sources = {'flavor': {name: keys.KEYS[name].text(keys.KEYS[name].parse(before))},
                       source: {name: asked}}
            if why is None:
                self.assertEqual(keys.KEYS[name].parse(asked),
                                 getattr(resolved({name: text}, **sources).policy, name))
                continue
            error = self.assertRaises(exception.BadRequest, resolved, {name: text}, **sources)
            self.assertIn(why, str(error))
            self.assertIn('nova.conf [migpolicy] request_limits', str(error))

    def test_all_that_goes_too_far_is_named(self):
        error = self.assertRaises(
            exception.BadRequest, resolved,
            {'max_downtime_ms': '-800', 'on_stall': 'abort'},
            request={'max_downtime_ms': 900, 'on_stall': 'pause'})
        self.assertEqual(['max_downtime_ms', 'on_stall'], [one.key for one in error.errors])

    def test_a_profile_that_goes_too_far(self):
        error = self.assertRaises(exception.BadRequest, resolved, {'max_downtime_ms': '-800'},
                                  request={'profile': 'evacuate'})
        self.assertEqual(
            'max_downtime_ms = 2000: above 800, the most that nova.conf [migpolicy] '
            'request_limits permits; profile evacuate has this value', str(error))

    def test_a_key_beside_the_profile_counts_in_its_place(self):
        got = resolved({'max_downtime_ms': '-800'},
                       request={'profile': 'evacuate', 'max_downtime_ms': 700})
        self.assertEqual(('evacuate', 700), (got.policy.profile, got.policy.max_downtime_ms))

    def test_stock_behaviour_is_always_permitted(self):
        self.assertTrue(resolved({'on_timeout': 'continue'}, flavor={'on_timeout': 'pause'},
                                 request={'profile': 'nova'}).policy.is_stock)

    def test_flavors_and_images_are_not_held_against_it(self):
        got = resolved({'max_downtime_ms': '-100'}, flavor={'max_downtime_ms': '5000'},
                       image={'max_downtime_ms': '4000'}, image_keys={'max_downtime_ms'})
        self.assertEqual(4000, got.policy.max_downtime_ms)

    def test_a_retune_may_go_as_far_as_the_request_did(self):
        got = resolved({'max_downtime_ms': '-800'}, operator={'max_downtime_ms': 900},
                       request={'max_downtime_ms': 850}, retune={'max_downtime_ms': 850})
        self.assertEqual(850, got.policy.max_downtime_ms)


def limits():
    """One limit of each key that can have one."""
    def text(key):
        if key.kind == 'choice':
            return strategies.lists(strategies.sampled_from(key.choices), min_size=1,
                                    unique=True).map('|'.join)
        if key.kind == 'list':
            words = strategies.lists(strategies.sampled_from(key.choices), unique=True)
            return strategies.tuples(words, words).filter(any).map(
                lambda both: '-'.join('|'.join(part) for part in both))
        number = strategies.none() | cases.values_of(key)
        return strategies.tuples(number, number).map(
            lambda both: '-'.join('' if end is None else str(end) for end in both))
    return strategies.fixed_dictionaries({}, optional={
        name: text(key) for name, key in keys.KEYS.items()
        if key.kind == 'choice' or key.gentler is not None})


def sources_of(level):
    return strategies.fixed_dictionaries({}, optional={
        name: strategies.sampled_from(sorted(profiles.BUILT_IN)) if name == 'profile'
        else cases.values_of(key)
        for name, key in keys.KEYS.items() if level in key.sources})


class TestBounds(testtools.TestCase):

    @hypothesis.given(limits(), sources_of('flavor'), sources_of('request'))
    @hypothesis.settings(max_examples=300, deadline=None)
    def test_nothing_gets_beyond_limit_and_what_is_in_force_anyway(self, texts, flavor, request):
        bounds = {}
        for name, text in texts.items():
            try:
                bounds[name] = limit.parse(keys.KEYS[name], text)
            except exception.BadValue:
                continue
        without = resolve.resolve(resolve.Sources(flavor=flavor)).policy
        try:
            got = resolve.resolve(resolve.Sources(
                flavor=flavor, request=request, request_limits=bounds)).policy
        except exception.BadRequest as error:
            self.assertLessEqual({one.key for one in error.errors}, {*bounds, 'bandwidth_mib_s'})
            return
        if got.is_stock or without.is_stock:
            return
        for name, bound in bounds.items():
            before, after = getattr(without, name), getattr(got, name)
            key = keys.KEYS[name]
            if key.kind == 'int' and bound.high is not None and name != 'initial_downtime_ms':
                self.assertLessEqual(limit.rank(key, after), max(
                    limit.rank(key, bound.high), limit.rank(key, before)), name)
            elif key.kind == 'choice':
                self.assertIn(after, {*bound.high, before}, name)
            elif key.kind == 'list' and bound.high is not None:
                self.assertLessEqual(
                    set(after), {*before, *bound.high, *limit.words(bound.low)}, name)
