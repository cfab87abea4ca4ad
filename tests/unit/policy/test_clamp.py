# SPDX-License-Identifier: Apache-2.0
"""What a tenant can do with an image: less than the operator permits, and never more."""

import math

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

EVERY_KEY = frozenset(keys.KEYS)


def with_image(image, limits=None, image_keys=EVERY_KEY, **sources):
    parsed = {name: limit.parse(keys.KEYS[name], text)
              for name, text in (limits or {}).items()}
    return resolve.resolve(resolve.Sources(
        image=image, image_keys=image_keys, image_limits=parsed, **sources))


def rank(name, value):
    """Order by what the site has to bear: no cap is more than any cap."""
    return math.inf if keys.KEYS[name].unlimited and value == 0 else value


@ddt.ddt
class TestClamp(testtools.TestCase):

    # key, operator's, image's, result, origin
    @ddt.data(
        ('max_downtime_ms', 500, '300', 300, 'image'),
        ('max_downtime_ms', 500, '900', 500, 'image, clamped by nova.conf'),
        ('max_downtime_ms', 500, '5', 100, 'image, clamped by the built-in floor'),
        ('max_downtime_ms', 60, '5', 60, 'image, clamped by nova.conf'),
        ('max_downtime_ms', 60, '600', 60, 'image, clamped by nova.conf'),
        ('bandwidth_mib_s', 0, '80', 80, 'image'),
        ('bandwidth_mib_s', 0, '1', 50, 'image, clamped by the built-in floor'),
        ('bandwidth_mib_s', 20, '1', 20, 'image, clamped by nova.conf'),
        ('bandwidth_mib_s', 90, '0', 90, 'image, clamped by nova.conf'),
        ('bandwidth_mib_s', 0, '0', 0, 'image'),
        ('timeout_seconds', 300, '0', 120, 'image, clamped by the built-in floor'),
        ('timeout_seconds', 0, '5000', 0, 'image, clamped by nova.conf'),
        ('timeout_seconds', 600, '300', 300, 'image'),
        ('max_throttle_percent', 60, '99', 60, 'image, clamped by nova.conf'),
        ('parallel_connections', 4, '2', 2, 'image'),
        ('parallel_connections', 1, '255', 1, 'image, clamped by nova.conf'),
        ('remedies', 'bandwidth,downtime,pause', 'downtime,bandwidth',
         ('bandwidth', 'downtime'), 'image'),
        ('remedies', 'bandwidth,downtime', 'none', ('bandwidth', 'downtime'),
         'image, clamped by the built-in floor'),
        ('remedies', 'bandwidth', 'bandwidth,post_copy', ('bandwidth',),
         'image, clamped by nova.conf'),
        ('on_stall', 'abort', 'pause', 'abort', 'image, clamped by nova.conf'),
        ('on_stall', 'abort', 'abort', 'abort', 'image'),
        ('on_timeout', 'abort', 'continue', 'abort', 'image, clamped by nova.conf'),
        ('compression', 'none', 'zstd', 'none', 'image, clamped by nova.conf'),
        ('required_features', 'tpm', 'gpu', ('tpm',), 'image, clamped by nova.conf'))
    @ddt.unpack
    def test_without_limits(self, name, operator, image, value, origin):
        got = with_image({name: image}, operator={name: operator})
        self.assertEqual((value, origin), (getattr(got.policy, name), got.origins[name]))

    @ddt.data(
        ('max_downtime_ms', '200-1000', '800', 800, 'image'),
        ('max_downtime_ms', '200-1000', '5000', 1000, 'image, clamped by nova.conf'),
        ('max_downtime_ms', '200-', '50', 200, 'image, clamped by nova.conf'),
        ('max_downtime_ms', '-300', '400', 300, 'image, clamped by nova.conf'),
        ('max_downtime_ms', '10-', '20', 20, 'image'),
        ('timeout_seconds', '0-', '0', 1, 'image, clamped by nova.conf'),
        ('remedies', '-post_copy', 'bandwidth,downtime,post_copy',
         ('bandwidth', 'downtime', 'post_copy'), 'image'),
        ('remedies', 'downtime-', 'none', ('downtime',), 'image, clamped by nova.conf'),
        ('remedies', 'none-', 'none', (), 'image'),
        ('on_stall', 'post_copy|pause', 'pause', 'pause', 'image'),
        ('on_stall', 'post_copy|pause', 'continue', 'abort',
         'image, clamped by profile balanced'))
    @ddt.unpack
    def test_limits_of_nova_conf(self, name, limit, image, value, origin):
        got = with_image({name: image}, {name: limit})
        self.assertEqual((value, origin), (getattr(got.policy, name), got.origins[name]))

    @ddt.data(('max_downtime_ms', '100-5000', '400', '900', 400),
              ('remedies', '-pause', 'bandwidth', 'bandwidth,pause', ('bandwidth',)),
              ('on_stall', 'pause', 'abort', 'pause', 'abort'))
    @ddt.unpack
    def test_limits_do_not_open_what_the_flavor_set(self, name, limit, flavor, image, value):
        got = with_image({name: image}, {name: limit}, flavor={name: flavor})
        self.assertEqual((value, 'image, clamped by flavor'),
                         (getattr(got.policy, name), got.origins[name]))

    def test_a_flavors_profile_counts_as_the_flavor(self):
        got = with_image({'max_downtime_ms': '900'}, {'max_downtime_ms': '100-5000'},
                         flavor={'profile': 'minimal_downtime'})
        self.assertEqual(150, got.policy.max_downtime_ms)
        self.assertEqual('image, clamped by profile minimal_downtime (flavor)',
                         got.origins['max_downtime_ms'])

    def test_keys_that_are_not_listed(self):
        got = with_image({'max_downtime_ms': '300'}, image_keys={'priority'})
        self.assertEqual(500, got.policy.max_downtime_ms)
        self.assertEqual(
            ["image: max_downtime_ms = '300': ignored, images may not set it (image_keys)"],
            [problem.sentence for problem in got.problems])

    @ddt.data(('drain', {}, 50, 'image, clamped by profile balanced'),
              ('51', {}, 50, 'image, clamped by profile balanced'),
              ('drain', {'priority': 'maintenance'}, 20, 'image, clamped by flavor'),
              ('user', {'priority': 'drain'}, 50, 'image'), ('maintenance', {}, 20, 'image'),
              ('0', {}, 0, 'image'))
    @ddt.unpack
    def test_an_image_cannot_raise_the_priority(self, image, flavor, value, origin):
        got = with_image({'priority': image}, flavor=flavor)
        self.assertEqual((value, origin), (got.policy.priority, got.origins['priority']))

    def test_limits_of_a_priority_may_be_classes(self):
        for bounds, image, value in (('-drain', '90', 90), ('maintenance-user', '5', 20),
                                     ('maintenance-user', 'drain', 50)):
            got = with_image({'priority': image}, {'priority': bounds})
            self.assertEqual(value, got.policy.priority)

    def test_a_key_that_no_image_may_set_even_if_it_is_listed(self):
        got = with_image({'migration_network': 'mine'})
        self.assertEqual('', got.policy.migration_network)
        self.assertIn('it cannot be set by the image', got.problems[0].sentence)

    def test_a_profile_named_by_an_image_is_clamped_key_by_key(self):
        got = with_image({'profile': 'evacuate'}, image_keys={'profile'})
        self.assertEqual('evacuate', got.policy.profile)
        self.assertEqual((500, ('bandwidth', 'downtime'), 'abort', 60), (
            got.policy.max_downtime_ms, got.policy.remedies, got.policy.on_stall,
            got.policy.max_throttle_percent))
        self.assertEqual('profile evacuate (image), clamped by profile balanced',
                         got.origins['max_downtime_ms'])

    def test_a_key_beside_a_profile_in_an_image_is_held_against_the_flavor(self):
        got = with_image({'profile': 'minimal_downtime', 'max_downtime_ms': '450'})
        self.assertEqual((450, 'image'),
                         (got.policy.max_downtime_ms, got.origins['max_downtime_ms']))


def sources_of(level):
    """Contents of one source: any keys that it may set, with any good values."""
    return strategies.fixed_dictionaries({}, optional={
        name: strategies.sampled_from(sorted(profiles.BUILT_IN)) if name == 'profile'
        else cases.values_of(key)
        for name, key in keys.KEYS.items() if level is None or level in key.sources})


class TestTenant(testtools.TestCase):
    """The worst that an image can hold, with every key opened to images."""

    @hypothesis.given(sources_of(None), sources_of('flavor'), sources_of('image'))
    @hypothesis.settings(max_examples=400, deadline=None)
    def test_no_image_raises_a_limit(self, operator, flavor, image):
        without = with_image({}, operator=operator, flavor=flavor).policy
        got = with_image(image, operator=operator, flavor=flavor).policy
        for name, key in keys.KEYS.items():
            before, after = getattr(without, name), getattr(got, name)
            if key.gentler == 'lower':
                self.assertLessEqual(rank(name, after), rank(name, before), name)
            elif key.gentler == 'subset':
                self.assertLessEqual(set(after), set(before), name)
                self.assertEqual([word for word in before if word in after], list(after))
            elif name != 'profile':
                self.assertEqual(before, after, name)
        self.assertEqual(without.is_stock, got.is_stock)

    @hypothesis.given(sources_of('flavor'), sources_of('image'))
    @hypothesis.settings(deadline=None)
    def test_no_image_takes_a_deadline_away_or_puts_it_off(self, flavor, image):
        without = with_image({}, flavor=flavor).policy.deadline_seconds(8, 20)
        got = with_image(image, flavor=flavor).policy.deadline_seconds(8, 20)
        if without is None:
            self.assertIsNone(got)
        else:
            self.assertLessEqual(got, without)
            self.assertGreater(got, 0)

    @hypothesis.given(sources_of('flavor'), sources_of('image'))
    @hypothesis.settings(deadline=None)
    def test_no_image_makes_a_server_unmovable(self, flavor, image):
        without = with_image({}, flavor=flavor).policy
        got = with_image(image, flavor=flavor).policy
        for name, key in keys.KEYS.items():
            before, after = getattr(without, name), getattr(got, name)
            if key.kind == 'int' and key.image_floor is not None:
                self.assertGreaterEqual(
                    rank(name, after), min(rank(name, before), key.image_floor), name)
        self.assertLessEqual({'bandwidth', 'downtime'} & set(without.remedies),
                             set(got.remedies))

    @hypothesis.given(sources_of('image'), sources_of('request'))
    @hypothesis.settings(deadline=None)
    def test_a_request_has_the_last_word(self, image, request):
        request.pop('profile', None)
        try:
            got = with_image(image, request=request).policy
        except exception.BadRequest as error:
            # The one thing that a person is asked to say again.
            self.assertEqual(['bandwidth_mib_s'], [one.key for one in error.errors])
            self.assertIn('bandwidth_mib_s', request)
            return
        for name, value in request.items():
            if name != 'initial_downtime_ms':   # which yields to its ceiling
                self.assertEqual(value, getattr(got, name), name)

    @hypothesis.given(strategies.dictionaries(
        strategies.sampled_from(sorted(keys.KEYS)) | strategies.text(), strategies.text()))
    def test_no_text_in_an_image_stops_a_migration(self, image):
        got = with_image(image)
        self.assertLessEqual(got.policy.max_downtime_ms, 500)
        for problem in got.problems:
            self.assertTrue(problem.sentence.startswith('image: '))
            self.assertNotIn('\n', problem.sentence)

    def test_each_limit_one_by_one(self):
        """As a tenant would try it: the largest value of each key, and its smallest."""
        for name, key in keys.KEYS.items():
            tries = {'int': [key.maximum, key.minimum], 'choice': key.choices,
                     'list': [key.choices or ('gpu',), ()], 'str': ['mine']}[key.kind]
            for value in tries:
                before = keys.Policy()
                got = with_image({name: key.text(value)}).policy
                if key.gentler == 'lower':
                    self.assertLessEqual(
                        rank(name, getattr(got, name)), rank(name, getattr(before, name)))
                else:
                    self.assertEqual(getattr(before, name), getattr(got, name), (name, value))
