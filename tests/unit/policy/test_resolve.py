# SPDX-License-Identifier: Apache-2.0
"""The order of the sources, origins, problems, and what contradicts itself."""

import json

import ddt
import testtools

from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import profiles
from nova_migpolicy.policy import resolve


def resolved(**sources):
    return resolve.resolve(resolve.Sources(**sources))


@ddt.ddt
class TestOrder(testtools.TestCase):

    def test_nothing_said(self):
        got = resolved()
        self.assertEqual(keys.Policy(), got.policy)
        self.assertEqual({'profile balanced'}, set(got.origins.values()))
        self.assertEqual(set(keys.KEYS), set(got.origins))
        self.assertEqual((), got.problems)

    def test_each_source_beats_the_weaker_ones(self):
        names = ['libvirt', 'operator', 'flavor', 'image', 'request', 'retune']
        titles = ['nova.conf [libvirt]', 'nova.conf', 'flavor', 'image', 'request', 'retune']
        sources = {'image_keys': {'max_downtime_ms'}}
        for index, name in enumerate(names):
            value = 400 - index     # falling, so that the image may set it as well
            sources[name] = {'max_downtime_ms': str(value)}
            got = resolved(**sources)
            self.assertEqual(value, got.policy.max_downtime_ms)
            self.assertEqual(titles[index], got.origins['max_downtime_ms'])

    def test_profile_of_nova_conf_is_weaker_than_its_keys(self):
        got = resolved(operator={'profile': 'post_copy', 'max_downtime_ms': 123})
        self.assertEqual((123, 'post_copy'), (got.policy.max_downtime_ms, got.policy.on_stall))
        self.assertEqual('nova.conf', got.origins['max_downtime_ms'])
        self.assertEqual('profile post_copy', got.origins['on_stall'])
        self.assertEqual('nova.conf', got.origins['profile'])

    def test_profile_of_a_flavor_beats_nova_confs_keys(self):
        got = resolved(operator={'max_downtime_ms': 123}, flavor={'profile': 'evacuate'})
        self.assertEqual(2000, got.policy.max_downtime_ms)
        self.assertEqual('profile evacuate (flavor)', got.origins['max_downtime_ms'])

    def test_profile_leaves_the_sites_keys_alone(self):
        got = resolved(operator={'bandwidth_mib_s': 70}, flavor={'profile': 'evacuate'})
        self.assertEqual((70, 'nova.conf'),
                         (got.policy.bandwidth_mib_s, got.origins['bandwidth_mib_s']))

    @ddt.data('parallel_connections', 'compression')
    def test_how_the_stream_is_sent_outlives_a_profile_of_nova_conf(self, key):
        value = {'parallel_connections': 4, 'compression': 'zstd'}[key]
        for name in ('balanced', 'minimal_downtime', 'suspend_if_needed'):
            for sources in ({'operator': {'profile': name}}, {'flavor': {'profile': name}}):
                got = resolved(libvirt={key: value}, **sources)
                self.assertEqual((value, 'nova.conf [libvirt]'),
                                 (getattr(got.policy, key), got.origins[key]))

    def test_profiles_that_say_how_the_stream_is_sent_are_obeyed(self):
        for name, connections in (('very_large', 4), ('post_copy', 1), ('evacuate', 1)):
            got = resolved(libvirt={'parallel_connections': 3}, operator={'profile': name})
            self.assertEqual(
                (connections, f'profile {name}'),
                (got.policy.parallel_connections, got.origins['parallel_connections']))
            got = resolved(operator={'parallel_connections': 3}, flavor={'profile': name})
            self.assertEqual(
                (connections, f'profile {name} (flavor)'),
                (got.policy.parallel_connections, got.origins['parallel_connections']))

    def test_what_is_said_of_the_stream_outranks_nova_conf_libvirt(self):
        found = profiles.parse({'gold': {'parallel_connections': 2}}, 'p.yaml')
        libvirt = {'parallel_connections': 8}
        for value, origin, sources in (
                (2, 'profile gold', {'operator': {'profile': 'gold'}}),
                (2, 'profile gold (flavor)', {'flavor': {'profile': 'gold'}}),
                (5, 'nova.conf', {'operator': {'parallel_connections': 5}}),
                (6, 'flavor', {'flavor': {'parallel_connections': '6'}}),
                (7, 'request', {'request': {'parallel_connections': 7}})):
            got = resolved(profiles=found, libvirt=libvirt, **sources)
            self.assertEqual(
                (value, origin),
                (got.policy.parallel_connections, got.origins['parallel_connections']))

    def test_profile_from_the_file(self):
        found = profiles.parse({'gold': {'max_downtime_ms': 60}}, 'p.yaml')
        got = resolved(profiles=found, flavor={'profile': 'gold'})
        self.assertEqual(('gold', 60, 60), (
            got.policy.profile, got.policy.max_downtime_ms, got.policy.initial_downtime_ms))

    def test_file_changes_the_default_profile(self):
        found = profiles.parse({'balanced': {'max_downtime_ms': 250}}, 'p.yaml')
        self.assertEqual(250, resolved(profiles=found).policy.max_downtime_ms)

    def test_request_outranks_the_image(self):
        got = resolved(image={'max_downtime_ms': '150'}, image_keys={'max_downtime_ms'},
                       request={'max_downtime_ms': 900})
        self.assertEqual((900, 'request'),
                         (got.policy.max_downtime_ms, got.origins['max_downtime_ms']))


@ddt.ddt
class TestProblems(testtools.TestCase):

    @ddt.data('flavor', 'image')
    def test_bad_value_falls_back(self, source):
        got = resolved(operator={'max_downtime_ms': 321}, image_keys={'max_downtime_ms'},
                       **{source: {'max_downtime_ms': '5oo', 'nonsense': '1'}})
        self.assertEqual((321, 'nova.conf'),
                         (got.policy.max_downtime_ms, got.origins['max_downtime_ms']))
        self.assertEqual(
            {f"{source}: max_downtime_ms = '5oo': ignored, not a whole number",
             f"{source}: nonsense = '1': ignored, there is no policy key 'nonsense'"},
            {problem.sentence for problem in got.problems})

    def test_unknown_profile_falls_back(self):
        got = resolved(flavor={'profile': 'golden', 'max_downtime_ms': '50'})
        self.assertEqual(('balanced', 50), (got.policy.profile, got.policy.max_downtime_ms))
        self.assertIn('there is no such profile; there are balanced', got.problems[0].sentence)

    @ddt.data('request', 'retune')
    def test_bad_request_lists_all_errors(self, source):
        error = self.assertRaises(exception.BadRequest, resolved, **{
            source: {'max_downtime_ms': 0, 'on_stall': 'stop', 'typo': 1, 'timeout_seconds': 3}})
        self.assertEqual(3, len(error.errors))
        for word in ('max_downtime_ms', 'on_stall', 'typo'):
            self.assertIn(word, str(error))

    def test_retune_of_what_is_fixed_at_the_start(self):
        error = self.assertRaises(
            exception.BadRequest, resolved, retune={'compression': 'xbzrle'})
        self.assertIn('it cannot be set by the retune', str(error))

    def test_a_key_that_nothing_acts_on_yet(self):
        got = resolved(flavor={'required_features': 'rdma'})
        self.assertEqual(('rdma',), got.policy.required_features)
        self.assertEqual(
            [("flavor: required_features = ('rdma',): accepted, but this version does not "
              'act on it')],
            [problem.sentence for problem in got.problems])

    def test_what_is_done_at_a_busy_destination_is_acted_on(self):
        for source in ('operator', 'flavor', 'request'):
            got = resolved(**{source: {'on_busy_destination': 'wait'}})
            self.assertEqual(('wait', ()), (got.policy.on_busy_destination, got.problems))

    def test_a_class_of_priority_from_each_source(self):
        for source in ('operator', 'flavor', 'request'):
            got = resolved(**{source: {'priority': 'drain'}})
            self.assertEqual((100, (), source), (
                got.policy.priority, got.problems,
                got.origins['priority'].replace('nova.conf', 'operator')))
        error = self.assertRaises(exception.BadRequest, resolved, retune={'priority': 'drain'})
        self.assertIn('it cannot be set by the retune', str(error))

    def test_a_long_value_is_cut_and_quoted(self):
        got = resolved(flavor={'on_stall': 'x\n' * 500})
        self.assertLess(len(got.problems[0].sentence), 300)
        self.assertNotIn('\n', got.problems[0].sentence)

    def test_earlier_problems_are_kept(self):
        problem = resolve.Problem('max_downtime_ms', 'x', 'image', 'ignored, cut')
        self.assertEqual((problem,), resolved(earlier=(problem,)).problems)

    def test_to_dict(self):
        told = resolved(flavor={'remedies': 'pause', 'priority': 'x'}).to_dict()
        self.assertEqual(['pause'], told['policy']['remedies'])
        self.assertEqual('flavor', told['origins']['remedies'])
        self.assertEqual([("flavor: priority = 'x': ignored, it has to be drain (100), user (50), "
                          'maintenance (20), or a number from 0 to 100')], told['problems'])


@ddt.ddt
class TestContradictions(testtools.TestCase):

    def test_start_follows_a_lower_promise_silently(self):
        got = resolved(flavor={'max_downtime_ms': '40'})
        self.assertEqual(40, got.policy.initial_downtime_ms)
        self.assertEqual('profile balanced, limited by max_downtime_ms',
                         got.origins['initial_downtime_ms'])
        self.assertEqual((), got.problems)

    def test_start_above_the_promise_in_one_flavor(self):
        got = resolved(flavor={'max_downtime_ms': '40', 'initial_downtime_ms': '60'})
        self.assertEqual(40, got.policy.initial_downtime_ms)
        self.assertEqual(
            [('flavor: initial_downtime_ms = 60: above max_downtime_ms, which is 40 (flavor), so '
              '40 is used')],
            [problem.sentence for problem in got.problems])

    def test_weaker_start_yields_silently(self):
        got = resolved(operator={'initial_downtime_ms': 60}, flavor={'max_downtime_ms': '40'})
        self.assertEqual((40, ()), (got.policy.initial_downtime_ms, got.problems))

    def test_rate_above_the_ceiling(self):
        got = resolved(operator={'max_bandwidth_mib_s': 100}, flavor={'bandwidth_mib_s': '200'})
        self.assertEqual(100, got.policy.bandwidth_mib_s)
        self.assertEqual(
            [('flavor: bandwidth_mib_s = 200: above max_bandwidth_mib_s, which is 100 '
              '(nova.conf), so 100 is used')],
            [problem.sentence for problem in got.problems])

    def test_no_cap_under_a_ceiling_starts_there(self):
        got = resolved(operator={'max_bandwidth_mib_s': 100})
        self.assertEqual((100, ()), (got.policy.bandwidth_mib_s, got.problems))

    @ddt.data(('request', 200, 'above'), ('retune', 200, 'above'),
              ('request', 0, 'no cap is above'))
    @ddt.unpack
    def test_a_person_is_told_of_a_rate_above_the_ceiling(self, source, rate, how):
        error = self.assertRaises(
            exception.BadRequest, resolved, flavor={'max_bandwidth_mib_s': '100'},
            **{source: {'bandwidth_mib_s': rate}})
        self.assertEqual(
            f'bandwidth_mib_s = {rate}: {how} max_bandwidth_mib_s, which is 100 (flavor); stay '
            'below that or set it as well', str(error))

    def test_a_person_may_raise_both(self):
        got = resolved(flavor={'max_bandwidth_mib_s': '100'},
                       request={'bandwidth_mib_s': 200, 'max_bandwidth_mib_s': 300})
        self.assertEqual((200, ()), (got.policy.bandwidth_mib_s, got.problems))

    def test_a_later_ceiling_of_a_person_lowers_the_rate_of_the_request(self):
        got = resolved(request={'bandwidth_mib_s': 200}, retune={'max_bandwidth_mib_s': 100})
        self.assertEqual((100, ()), (got.policy.bandwidth_mib_s, got.problems))

    def test_rate_below_the_ceiling_stays(self):
        got = resolved(operator={'max_bandwidth_mib_s': 100, 'bandwidth_mib_s': 30})
        self.assertEqual(30, got.policy.bandwidth_mib_s)


class TestStock(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.stock = profiles.BUILT_IN['nova'].values

    def check_stock(self, got):
        self.assertTrue(got.policy.is_stock)
        for name, value in self.stock.items():
            self.assertEqual(value, getattr(got.policy, name))

    def test_a_flavors_choice_sets_nova_confs_keys_aside_silently(self):
        got = resolved(operator={'remedies': 'pause', 'bandwidth_mib_s': 50},
                       flavor={'profile': 'nova'})
        self.check_stock(got)
        self.assertEqual(0, got.policy.bandwidth_mib_s)
        self.assertEqual((), got.problems)

    def test_keys_beside_it_have_no_effect_and_that_is_said(self):
        got = resolved(flavor={'profile': 'nova', 'max_downtime_ms': '900'})
        self.check_stock(got)
        self.assertEqual(['flavor: max_downtime_ms = 900: no effect under profile nova'],
                         [problem.sentence for problem in got.problems])

    def test_nova_conf_puts_everything_back_to_stock(self):
        got = resolved(operator={'profile': 'nova'}, flavor={'on_stall': 'pause'},
                       image={'max_downtime_ms': '9'}, image_keys={'max_downtime_ms'})
        self.check_stock(got)
        self.assertEqual(2, len(got.problems))

    def test_a_flavor_can_opt_out_of_it(self):
        got = resolved(operator={'profile': 'nova'}, flavor={'profile': 'balanced'})
        self.assertEqual(keys.Policy(), got.policy)

    def test_an_image_can_neither_choose_nor_end_it(self):
        got = resolved(image={'profile': 'nova'}, image_keys={'profile'})
        self.assertEqual('balanced', got.policy.profile)
        self.assertEqual('image, clamped by profile balanced', got.origins['profile'])
        got = resolved(flavor={'profile': 'nova'}, image={'profile': 'balanced'},
                       image_keys={'profile'})
        self.check_stock(got)
        self.assertEqual('image, clamped by flavor', got.origins['profile'])

    def test_a_request_can(self):
        got = resolved(flavor={'profile': 'nova'}, request={'profile': 'evacuate'})
        self.assertEqual('evacuate', got.policy.profile)
        self.check_stock(resolved(request={'profile': 'nova'}))

    def test_a_retune_cannot_hand_over_to_it(self):
        error = self.assertRaises(exception.BadRequest, resolved, retune={'profile': 'nova'})
        self.assertIn("cannot be handed to Nova's own monitor", str(error))


@ddt.ddt
class TestRead(testtools.TestCase):
    """A policy of which values and origins are left, perhaps written by another version."""

    @ddt.data({}, {'profile': 'evacuate'}, {'profile': 'nova'}, {'profile': 'very_large'},
              {'remedies': 'none', 'max_downtime_ms': '77', 'timeout_seconds': '0'})
    def test_what_was_written_down_is_the_policy_again(self, flavor):
        before = resolve.resolve(resolve.Sources(flavor=flavor))
        written = json.loads(json.dumps(before.to_dict()))
        after = resolve.read(written['policy'], written['origins'])
        self.assertEqual((before.policy, dict(before.origins)),
                         (after.policy, dict(after.origins)))

    def test_what_only_the_other_version_knows_is_left_out(self):
        found = resolve.read({'max_downtime_ms': 99, 'haste': 3},
                             {'max_downtime_ms': 'flavor', 'haste': 'image'})
        self.assertEqual(keys.Policy(max_downtime_ms=99), found.policy)
        self.assertEqual('flavor', found.origins['max_downtime_ms'])
        self.assertEqual('default', found.origins['on_stall'])
        self.assertNotIn('haste', found.origins)

    @ddt.data(('max_downtime_ms', 'long'), ('max_downtime_ms', None), ('max_downtime_ms', -1),
              ('max_downtime_ms', [5]), ('remedies', ['magic']), ('remedies', [1]),
              ('on_stall', 'pray'), ('on_stall', 7), ('profile', {}))
    @ddt.unpack
    def test_a_value_that_the_key_cannot_have_is_refused(self, key, value):
        error = self.assertRaises(exception.BadValue, resolve.read, {key: value}, {})
        self.assertIn(key, str(error))
