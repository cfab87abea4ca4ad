# SPDX-License-Identifier: Apache-2.0
"""Settings are read as a whole, and stay as they are when the new ones are broken."""

import os
import tempfile

import ddt
import fixtures
from oslo_config import cfg
import testtools

from nova_migpolicy import exception
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import limit
from nova_migpolicy.policy import resolve
from nova_migpolicy import site_settings

# With Nova's own types, ranges and defaults; the real ones are read by the contract tests.
LIBVIRT_OPTS = [
    cfg.StrOpt('live_migration_scheme'),
    cfg.IntOpt('live_migration_bandwidth', default=0),
    cfg.IntOpt('live_migration_downtime', default=500, min=100),
    cfg.IntOpt('live_migration_downtime_steps', default=10, min=3),
    cfg.IntOpt('live_migration_downtime_delay', default=75, min=3),
    cfg.IntOpt('live_migration_completion_timeout', default=800, min=0, mutable=True),
    cfg.StrOpt('live_migration_timeout_action', default='abort', mutable=True,
               choices=('abort', 'force_complete')),
    cfg.IntOpt('live_migration_parallel_connections', default=1),
    cfg.BoolOpt('live_migration_permit_post_copy', default=False),
    cfg.BoolOpt('live_migration_permit_auto_converge', default=False),
    cfg.IntOpt('live_migration_monitor_interval', default=5),
]


class Base(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.folder = tempfile.mkdtemp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.path = os.path.join(self.folder, 'nova.conf')
        self.profiles = os.path.join(self.folder, 'p.yaml')
        self.addCleanup(self.remove)

    def remove(self):
        for name in os.listdir(self.folder):
            os.unlink(os.path.join(self.folder, name))
        os.rmdir(self.folder)

    def write(self, path, text):
        with open(path, 'w', encoding='utf-8') as stream:
            stream.write(text)

    def conf(self, text='', libvirt=True):
        self.write(self.path, text)
        conf = cfg.ConfigOpts()
        if libvirt:
            conf.register_opts(LIBVIRT_OPTS, group='libvirt')
        conf(['--config-file', self.path], project='nova')
        return conf

    def store(self, text='', **more):
        return site_settings.Store(self.conf(text, **more))

    def policy(self, store, **sources):
        return resolve.resolve(store.settings.sources(**sources))


@ddt.ddt
class TestRead(Base):

    def test_nothing_set(self):
        store = self.store()
        self.assertEqual(({}, {}), (dict(store.settings.operator), dict(store.settings.libvirt)))
        self.assertEqual('profile balanced', store.settings.describe())

    def test_keys(self):
        got = self.policy(self.store(
            '[migpolicy]\nprofile = post_copy\nmax_downtime_ms = 250\n'
            'remedies = bandwidth, pause\nrequired_features =\n'))
        self.assertEqual(('post_copy', 250, ('bandwidth', 'pause'), ()), (
            got.policy.profile, got.policy.max_downtime_ms, got.policy.remedies,
            got.policy.required_features))
        self.assertEqual('nova.conf', got.origins['remedies'])

    def test_no_remedies(self):
        got = self.policy(self.store('[migpolicy]\nremedies = none\n'))
        self.assertEqual((), got.policy.remedies)

    def test_request_limits(self):
        store = self.store('[migpolicy]\nrequest_limits = max_downtime_ms:-800\n')
        self.assertEqual({'max_downtime_ms': limit.Limit(high=800)},
                         dict(store.settings.request_limits))
        self.assertIn('requests are limited in max_downtime_ms', store.settings.describe())
        got = self.policy(store, request={'max_downtime_ms': 800})
        self.assertEqual(800, got.policy.max_downtime_ms)
        for source in ('request', 'retune'):
            error = self.assertRaises(exception.BadRequest, self.policy, store,
                                      **{source: {'max_downtime_ms': 801}})
            self.assertIn('nova.conf [migpolicy] request_limits', str(error))

    def test_image_limits(self):
        store = self.store('[migpolicy]\nimage_keys = max_downtime_ms,on_stall\n'
                           'image_limits = max_downtime_ms:50-800,on_stall:pause|post_copy\n')
        self.assertEqual({'max_downtime_ms': limit.Limit(50, 800),
                          'on_stall': limit.Limit(high=('pause', 'post_copy'))},
                         dict(store.settings.image_limits))
        got = self.policy(store, image={'max_downtime_ms': '900', 'on_stall': 'pause'})
        self.assertEqual((800, 'pause'), (got.policy.max_downtime_ms, got.policy.on_stall))

    @ddt.data(
        ('profile = golden', "profile = 'golden': there is no such profile; there are balanced"),
        ('max_downtime_ms = 5oo', 'max_downtime_ms'),
        ('on_stall = stop', 'on_stall'),
        ('remedies = pray', 'remedies'),
        ('remedies = pause,none', "remedies = ['pause', 'none']"),
        ('image_keys = migration_network', 'image_keys'),
        ('image_limits = max_downtime_ms:9', 'image_limits'),
        ('image_limits = max_downtim:9-', 'did you mean max_downtime_ms'),
        ('request_limits = max_downtime_ms:9', 'request_limits'),
        ('profiles_file = /nonexistent/p.yaml',
         'profiles file /nonexistent/p.yaml: No such file or directory'))
    @ddt.unpack
    def test_broken_at_the_start(self, line, words):
        error = self.assertRaises(exception.MigPolicyError, self.store, f'[migpolicy]\n{line}\n')
        self.assertIn(words, str(error))

    def test_broken_profiles_at_the_start(self):
        self.write(self.profiles, 'gold:\n  max_downtime_ms: fast\n')
        error = self.assertRaises(exception.BadProfiles, self.store,
                                  f'[migpolicy]\nprofiles_file = {self.profiles}\n')
        self.assertEqual((self.profiles, 'gold', 'max_downtime_ms', 'fast'),
                         (error.path, error.profile, error.key, error.value))

    def test_describe(self):
        self.write(self.profiles, 'gold:\n  max_downtime_ms: 60\n')
        store = self.store(
            f'[migpolicy]\nprofiles_file = {self.profiles}\nprofile = gold\n'
            'remedies = none\nimage_keys = profile\n[libvirt]\nlive_migration_bandwidth = 50\n')
        self.assertEqual(
            'profile gold, bandwidth_mib_s=50, max_bandwidth_mib_s=50, remedies=none; profiles '
            'from the file: gold; images may set profile', store.settings.describe())

    def test_describe_leaves_out_what_a_profile_overrides(self):
        store = self.store('[libvirt]\nlive_migration_parallel_connections = 8\n'
                           '[migpolicy]\nprofile = very_large\n')
        self.assertEqual('profile very_large', store.settings.describe())
        store = self.store('[libvirt]\nlive_migration_parallel_connections = 8\n'
                           '[migpolicy]\nprofile = balanced\n')
        self.assertEqual('profile balanced, parallel_connections=8', store.settings.describe())

    def test_describe_has_what_is_taken(self):
        odd = '[libvirt]\nlive_migration_bandwidth = 125000000\n'
        self.assertEqual('profile balanced, bandwidth_mib_s=119, max_bandwidth_mib_s=119',
                         self.store(odd).settings.describe())
        self.assertEqual(
            'profile balanced, bandwidth_mib_s=80, max_bandwidth_mib_s=80',
            self.store(f'{odd}[migpolicy]\nmax_bandwidth_mib_s = 80\n').settings.describe())
        self.assertEqual(
            'profile nova, bandwidth_mib_s=1000000, max_bandwidth_mib_s=1000000',
            self.store(f'{odd}[migpolicy]\nprofile = nova\n').settings.describe())


class TestNovasOptions(Base):

    def test_cap_is_start_and_ceiling(self):
        got = self.policy(self.store('[libvirt]\nlive_migration_bandwidth = 50\n'))
        self.assertEqual((50, 50), (got.policy.bandwidth_mib_s, got.policy.max_bandwidth_mib_s))
        self.assertEqual('nova.conf [libvirt]', got.origins['bandwidth_mib_s'])

    def test_ceiling_can_be_lifted(self):
        got = self.policy(self.store('[libvirt]\nlive_migration_bandwidth = 50\n'
                                     '[migpolicy]\nmax_bandwidth_mib_s = 0\n'))
        self.assertEqual((50, 0), (got.policy.bandwidth_mib_s, got.policy.max_bandwidth_mib_s))

    def test_connections(self):
        got = self.policy(self.store('[libvirt]\nlive_migration_parallel_connections = 3\n'))
        self.assertEqual(3, got.policy.parallel_connections)

    def test_stock_profile_shows_what_nova_does(self):
        got = self.policy(self.store(
            '[libvirt]\nlive_migration_downtime = 700\nlive_migration_bandwidth = 50\n'
            'live_migration_completion_timeout = 100\n'
            'live_migration_timeout_action = force_complete\n'),
            flavor={'profile': 'nova'})
        self.assertEqual((700, 70, 50, 100, 'force_complete'), (
            got.policy.max_downtime_ms, got.policy.initial_downtime_ms,
            got.policy.bandwidth_mib_s, got.policy.timeout_seconds_per_gib,
            got.policy.on_timeout))

    def test_without_nova(self):
        self.assertEqual({}, dict(self.store(libvirt=False).settings.libvirt))


@ddt.ddt
class TestOddValues(Base):
    """No value of Nova's own options stops anything of ours."""

    def odd(self, line, section='libvirt'):
        """The store, and the one warning about an option."""
        store = self.store(f'[{section}]\n{line}\n')
        told = self.warnings(line.split(' = ')[0])
        self.assertEqual(1, len(told), told)
        return store, told[0]

    def warnings(self, word=''):
        return [line for line in self.log.output.splitlines() if word in line]

    @ddt.data(
        # Above any link, so it was meant in bytes/s: 1 Gbit/s, 10 Gbit/s, the edges.
        ('125000000', 119), ('1250000000', 1192), (str(30 * 2 ** 20), 30),
        (str(100_000 * 2 ** 20), 100_000),
        # Nothing that can be meant either way.
        ('-1', 30), ('-125000000', 30), ('1000001', 30), (str(30 * 2 ** 20 - 1), 30),
        (str(100_001 * 2 ** 20), 30), ('9' * 4000, 30), ('-' + '9' * 4000, 30), ('9' * 5000, 30),
        ('fast', 30), ('12.5', 30), ('100 MiB', 30), ('$nope', 30))
    @ddt.unpack
    def test_rate(self, value, taken):
        store, told = self.odd(f'live_migration_bandwidth = {value}')
        policy = self.policy(store).policy
        self.assertEqual((taken, taken), (policy.bandwidth_mib_s, policy.max_bandwidth_mib_s))
        for word in (f'nova.conf [libvirt] live_migration_bandwidth = {value[:20]}',
                     f'{taken} MiB/s is taken', '[migpolicy] bandwidth_mib_s',
                     'max_bandwidth_mib_s'):
            self.assertIn(word, told)

    @ddt.data(('live_migration_bandwidth', 'max_bandwidth_mib_s', 0),
              ('live_migration_parallel_connections', 'parallel_connections', 1))
    @ddt.unpack
    def test_an_empty_one_is_not_set(self, name, key, value):
        store, told = self.odd(f'{name} = ')
        self.assertEqual(value, getattr(self.policy(store).policy, key))
        self.assertEqual({}, dict(store.settings.libvirt))
        self.assertIn('it is empty and counts as not set', told)

    def test_what_a_rate_would_mean_is_said(self):
        _, told = self.odd('live_migration_bandwidth = 125000000')
        self.assertIn('125000000 MiB/s is above', told)
        self.assertIn('in bytes/s it is 119 MiB/s', told)

    @ddt.data('0', '1', '30', '1000000')
    def test_a_rate_that_can_be_meant(self, value):
        policy = self.policy(self.store(f'[libvirt]\nlive_migration_bandwidth = {value}\n')).policy
        self.assertEqual((int(value),) * 2, (policy.bandwidth_mib_s, policy.max_bandwidth_mib_s))
        self.assertEqual([], self.warnings())

    @ddt.data(('300', 255), ('9' * 30, 255), ('0', 1), ('-4', 1), ('many', 1))
    @ddt.unpack
    def test_connections(self, value, taken):
        store, told = self.odd(f'live_migration_parallel_connections = {value}')
        self.assertEqual(taken, self.policy(store).policy.parallel_connections)
        for word in (f'live_migration_parallel_connections = {value[:20]}', f'{taken} is taken',
                     '[migpolicy] parallel_connections'):
            self.assertIn(word, told)

    @ddt.data(('-1', 5.0), ('0', 5.0), ('often', 5.0), ('', 5.0), ('9' * 400, 5.0),
              ('86401', 5.0), ('1', 1.0), ('86400', 86_400.0))
    @ddt.unpack
    def test_interval(self, value, taken):
        store = self.store(f'[libvirt]\nlive_migration_monitor_interval = {value}\n')
        self.assertEqual(taken, store.settings.progress_interval_s)
        self.assertEqual(int(taken == 5.0), len(self.warnings('monitor_interval')))

    @ddt.data(
        ('live_migration_downtime', '9' * 12, 'max_downtime_ms', 2_000_000),
        ('live_migration_downtime', '99', 'max_downtime_ms', 500),
        ('live_migration_downtime', 'short', 'max_downtime_ms', 500),
        ('live_migration_downtime_steps', '9' * 12, 'initial_downtime_ms', 1),
        ('live_migration_downtime_steps', '0', 'initial_downtime_ms', 50),
        ('live_migration_completion_timeout', '9' * 12, 'timeout_seconds_per_gib', 86_400),
        ('live_migration_completion_timeout', '-1', 'timeout_seconds_per_gib', 800),
        ('live_migration_timeout_action', 'pray', 'on_timeout', 'abort'),
        ('live_migration_bandwidth', '125000000', 'max_bandwidth_mib_s', 1_000_000),
        # 0 would be no cap.
        ('live_migration_bandwidth', '-1', 'max_bandwidth_mib_s', 30),
        ('live_migration_bandwidth', '-1', 'bandwidth_mib_s', 30),
        ('live_migration_bandwidth', 'lots', 'max_bandwidth_mib_s', 30),
        ('live_migration_bandwidth', '0', 'max_bandwidth_mib_s', 0),
        ('live_migration_parallel_connections', '300', 'parallel_connections', 255))
    @ddt.unpack
    def test_profile_nova_is_shown_with_the_nearest(self, name, value, key, shown):
        store = self.store(f'[libvirt]\n{name} = {value}\n[migpolicy]\nprofile = nova\n')
        policy = self.policy(store).policy
        self.assertTrue(policy.is_stock)
        self.assertEqual(shown, getattr(policy, key))
        for declared in keys.KEYS.values():
            found = getattr(policy, declared.name)
            self.assertEqual(found, declared.parse(found))

    @ddt.data(('live_migration_downtime = 3000000', 'max_downtime_ms = 2000000'),
              ('live_migration_completion_timeout = 90000', 'timeout_seconds_per_gib = 86400'),
              ('live_migration_bandwidth = 125000000', 'max_bandwidth_mib_s = 1000000'),
              ('live_migration_bandwidth = -1', 'max_bandwidth_mib_s = 30'),
              ('live_migration_parallel_connections = 300', 'parallel_connections = 255'))
    @ddt.unpack
    def test_what_profile_nova_cannot_show_is_said(self, line, shown):
        _, told = self.odd(line)
        self.assertIn(f"profile nova is shown with {shown}, but Nova's own monitor takes it as it "
                      'is', told)

    @ddt.data(
        ('125000000', 'max_bandwidth_mib_s = 400',
         ('119 MiB/s is taken as the start rate (bandwidth_mib_s) under every profile but nova; '
          'beside it counts max_bandwidth_mib_s = 400 (nova.conf)'), (119, 400)),
        ('-1', 'max_bandwidth_mib_s = 20',
         ('20 MiB/s is taken as the start rate (bandwidth_mib_s) under every profile but nova; '
          'beside it counts max_bandwidth_mib_s = 20 (nova.conf)'), (20, 20)),
        ('-1', 'bandwidth_mib_s = 100',
         ('30 MiB/s is taken as the ceiling (max_bandwidth_mib_s) under every profile but nova; '
          'beside it counts bandwidth_mib_s = 30 (nova.conf'), (30, 30)),
        ('lots', 'bandwidth_mib_s = 10',
         ('30 MiB/s is taken as the ceiling (max_bandwidth_mib_s) under every profile but nova; '
          'beside it counts bandwidth_mib_s = 10 (nova.conf)'), (10, 30)))
    @ddt.unpack
    def test_only_the_part_that_counts_is_said_to_be_taken(self, value, line, words, counts):
        for profile in ('', 'profile = nova\n'):
            before = len(self.log.output)
            store = self.store(f'[libvirt]\nlive_migration_bandwidth = {value}\n'
                               f'[migpolicy]\n{line}\n{profile}')
            told = self.log.output[before:]
            self.assertEqual(1, told.count('MiB/s is taken'), told)
            self.assertIn(words.replace(
                'under every profile but nova',
                'for servers whose flavor has another profile') if profile else words, told)
            policy = self.policy(store, flavor={'profile': 'balanced'} if profile else {}).policy
            self.assertEqual(counts, (policy.bandwidth_mib_s, policy.max_bandwidth_mib_s))

    @ddt.data('125000000', '-1', '40')
    def test_a_flavors_profile_has_none_of_the_figures_of_profile_nova(self, value):
        text = f'[libvirt]\nlive_migration_bandwidth = {value}\n'
        rate = self.policy(self.store(text)).policy.bandwidth_mib_s
        store = self.store(f'{text}[migpolicy]\nprofile = nova\n')
        got = self.policy(store, flavor={'profile': 'balanced'})
        self.assertEqual((rate, rate), (
            got.policy.bandwidth_mib_s, got.policy.max_bandwidth_mib_s))
        self.assertEqual('nova.conf [libvirt]', got.origins['max_bandwidth_mib_s'])

    @ddt.data(('max_bandwidth_mib_s = 400', 'bandwidth_mib_s=30, max_bandwidth_mib_s=400'),
              ('max_bandwidth_mib_s = 20', 'bandwidth_mib_s=20, max_bandwidth_mib_s=20'),
              ('bandwidth_mib_s = 100', 'bandwidth_mib_s=30, max_bandwidth_mib_s=30'))
    @ddt.unpack
    def test_described_as_it_counts(self, line, described):
        store = self.store(f'[libvirt]\nlive_migration_bandwidth = -1\n[migpolicy]\n{line}\n')
        self.assertEqual(f'profile balanced, {described}', store.settings.describe())

    def test_all_at_once(self):
        store = self.store(
            '[libvirt]\n' + ''.join(f'{opt.name} = $nope\n' for opt in LIBVIRT_OPTS))
        self.assertEqual(30, self.policy(store).policy.bandwidth_mib_s)
        told = self.warnings('cannot be read')
        self.assertEqual(len(LIBVIRT_OPTS) - 2, len(told), told)

    def test_priority_is_a_class_or_a_number(self):
        for text, points in (('drain', 100), ('maintenance', 20), ('7', 7)):
            store = self.store(f'[migpolicy]\npriority = {text}\n')
            self.assertEqual(points, self.policy(store).policy.priority)
            self.assertEqual(f'profile balanced, priority={points}', store.settings.describe())
        for text in ('urgent', '101', ''):
            error = self.assertRaises(
                exception.BadOption, self.store, f'[migpolicy]\npriority = {text}\n')
            self.assertEqual(f"nova.conf [migpolicy] priority = '{text}': it has to be drain "
                             '(100), user (50), maintenance (20), or a number from 0 to 100',
                             str(error))

    def test_its_own_options_stay_strict(self):
        for line in ('bandwidth_mib_s = -1', 'max_bandwidth_mib_s = 125000000',
                     'parallel_connections = 300'):
            error = self.assertRaises(
                exception.MigPolicyError, self.store, f'[migpolicy]\n{line}\n')
            self.assertIn(line.split(' = ')[0], str(error))

    def test_sighup(self):
        conf = self.conf()
        store = site_settings.Store(conf)
        store.reload_on_sighup()
        self.write(self.path, '[libvirt]\nlive_migration_completion_timeout = soon\n')
        conf.mutate_config_files()
        self.assertEqual(1, len(self.warnings('live_migration_completion_timeout = soon')))
        self.assertEqual(
            800, self.policy(store, flavor={'profile': 'nova'}).policy.timeout_seconds_per_gib)
        self.write(self.path, '[libvirt]\nlive_migration_completion_timeout = soon\n'
                   '[migpolicy]\nmax_downtime_ms = 77\n')
        conf.mutate_config_files()
        self.assertEqual(77, self.policy(store).policy.max_downtime_ms)
        self.assertEqual(1, len(self.warnings('live_migration_completion_timeout = soon')))


@ddt.ddt
class TestOptionsWithoutEffect(Base):

    def told(self, text):
        self.store(text)
        return [line for line in self.log.output.splitlines() if 'no effect' in line]

    @ddt.data(('live_migration_downtime = 700', '[migpolicy] max_downtime_ms'),
              ('live_migration_downtime = 500', '[migpolicy] max_downtime_ms'),
              ('live_migration_downtime_steps = 5', '[migpolicy] initial_downtime_ms'),
              ('live_migration_downtime_delay = 5', '[migpolicy] initial_downtime_ms'),
              ('live_migration_completion_timeout = 0', '[migpolicy] timeout_seconds'),
              ('live_migration_timeout_action = force_complete', '[migpolicy] on_timeout'),
              ('live_migration_permit_auto_converge = true', '[migpolicy] remedies'))
    @ddt.unpack
    def test_named_once_with_what_to_set(self, line, instead):
        [told] = self.told(f'[libvirt]\n{line}\n')
        self.assertIn(f'nova.conf [libvirt] {line.split(" = ")[0]} = ', told)
        self.assertIn(instead, told)

    @ddt.data('live_migration_permit_post_copy = true', 'live_migration_scheme = tls',
              'live_migration_bandwidth = 50', 'live_migration_monitor_interval = 7')
    def test_nothing_is_said_of_what_acts(self, line):
        self.assertEqual([], self.told(f'[libvirt]\n{line}\n'))

    def test_nothing_is_said_of_what_is_not_set(self):
        self.assertEqual([], self.told('[migpolicy]\nmax_downtime_ms = 400\n'))

    def test_named_where_the_site_is_stock_since_a_flavor_may_not_be(self):
        [told] = self.told('[libvirt]\nlive_migration_downtime = 700\n'
                           '[migpolicy]\nprofile = nova\n')
        self.assertIn('live_migration_downtime = 700: it has no effect for servers whose flavor '
                      'has another profile; set [migpolicy] max_downtime_ms instead', told)

    def test_what_is_overridden_only_for_some_flavors(self):
        [told] = self.told('[libvirt]\nlive_migration_parallel_connections = 8\n'
                           '[migpolicy]\nprofile = nova\nparallel_connections = 2\n')
        self.assertIn('it has no effect for servers whose flavor has another profile, what counts '
                      'is parallel_connections = 2 (nova.conf)', told)

    def test_what_a_profile_overrides_is_named(self):
        [told] = self.told('[libvirt]\nlive_migration_parallel_connections = 8\n'
                           '[migpolicy]\nprofile = very_large\n')
        self.assertIn('live_migration_parallel_connections = 8', told)
        self.assertIn('parallel_connections = 4 (profile very_large)', told)

    def test_an_odd_one_that_is_overridden(self):
        [told] = self.told('[libvirt]\nlive_migration_parallel_connections = 300\n'
                           '[migpolicy]\nprofile = very_large\n')
        self.assertIn('1 to 255; it has no effect', told)
        self.assertNotIn('is taken', told)

    def test_what_migpolicy_overrides_is_named(self):
        [told] = self.told('[libvirt]\nlive_migration_bandwidth = 50\n'
                           '[migpolicy]\nbandwidth_mib_s = 70\nmax_bandwidth_mib_s = 90\n')
        self.assertIn('bandwidth_mib_s = 70 (nova.conf), max_bandwidth_mib_s = 90 (nova.conf)',
                      told)

    def test_novas_default_says_nothing(self):
        """Tools that write configurations write defaults, too; they lift no cap of a profile."""
        self.write(self.profiles, 'balanced:\n  max_bandwidth_mib_s: 90\n'
                   '  parallel_connections: 3\n')
        store = self.store(f'[migpolicy]\nprofiles_file = {self.profiles}\n[libvirt]\n'
                           'live_migration_bandwidth = 0\n'
                           'live_migration_parallel_connections = 1\n')
        policy = self.policy(store).policy
        self.assertEqual((90, 3), (policy.max_bandwidth_mib_s, policy.parallel_connections))
        self.assertIn('live_migration_bandwidth = 0: it has no effect, what counts is',
                      self.log.output)

    def test_nothing_is_said_of_what_is_the_same_anyway(self):
        self.assertEqual([], self.told(
            '[libvirt]\nlive_migration_bandwidth = 50\n'
            '[migpolicy]\nbandwidth_mib_s = 50\nmax_bandwidth_mib_s = 50\n'))

    def test_a_part_that_counts_is_enough(self):
        self.assertEqual([], self.told('[libvirt]\nlive_migration_bandwidth = 50\n'
                                       '[migpolicy]\nmax_bandwidth_mib_s = 90\n'))

    def test_at_sighup_only_what_is_new(self):
        conf = self.conf('[libvirt]\nlive_migration_completion_timeout = 100\n'
                         '[migpolicy]\nprofile = nova\n')
        site_settings.Store(conf).reload_on_sighup()
        name = 'live_migration_completion_timeout'

        def told(text):
            before = self.log.output.count(f'{name} = ')
            self.write(self.path, text)
            conf.mutate_config_files()
            return self.log.output.count(f'{name} = ') - before

        self.assertEqual(1, self.log.output.count(f'{name} = '))
        for timeout, profile, times in ((100, 'balanced', 1), (100, 'balanced', 0),
                                        (100, 'post_copy', 0), (200, 'post_copy', 1),
                                        (200, 'nova', 1), (200, 'balanced', 1)):
            self.assertEqual(times, told(
                f'[libvirt]\n{name} = {timeout}\n[migpolicy]\nprofile = {profile}\n'))


@ddt.ddt
class TestReload(Base):

    def reloading(self, text):
        self.write(self.profiles, 'gold:\n  max_downtime_ms: 60\n')
        conf = self.conf(text)
        store = site_settings.Store(conf)
        store.reload_on_sighup()
        return conf, store

    def test_new_values(self):
        conf, store = self.reloading('[migpolicy]\nmax_downtime_ms = 250\n')
        self.write(self.path, '[migpolicy]\nmax_downtime_ms = 350\nprofile = post_copy\n')
        conf.mutate_config_files()
        got = self.policy(store).policy
        self.assertEqual((350, 'post_copy'), (got.max_downtime_ms, got.on_stall))
        self.assertIn('settings are in force', self.log.output)

    def test_new_profiles_in_the_same_file(self):
        conf, store = self.reloading(
            f'[migpolicy]\nprofiles_file = {self.profiles}\nprofile = gold\n')
        self.write(self.profiles, 'gold:\n  max_downtime_ms: 70\n')
        conf.mutate_config_files()
        self.assertEqual(70, self.policy(store).policy.max_downtime_ms)

    def test_nothing_new_says_nothing(self):
        conf, store = self.reloading(f'[migpolicy]\nprofiles_file = {self.profiles}\n')
        before = store.settings
        conf.mutate_config_files()
        self.assertEqual(before, store.settings)
        self.assertNotIn('in force', self.log.output)

    @ddt.data('gold: [\n', 'silver:\n  max_downtime_ms: 9\n', 'gold:\n  max_downtime_ms: 0\n',
              None)
    def test_broken_profiles_leave_the_old_ones(self, text):
        conf, store = self.reloading(
            f'[migpolicy]\nprofiles_file = {self.profiles}\nprofile = gold\n')
        before = store.settings
        os.unlink(self.profiles)
        if text is not None:
            self.write(self.profiles, text)
        conf.mutate_config_files()
        self.assertIs(before, store.settings)
        self.assertEqual(60, self.policy(store).policy.max_downtime_ms)
        self.assertIn('The [migpolicy] settings in force stay', self.log.output)

    @ddt.data('max_downtime_ms = 5oo', 'profile = silver', 'image_limits = a:b',
              'on_stall = stop')
    def test_broken_options_leave_all_of_the_old_ones(self, line):
        conf, store = self.reloading('[migpolicy]\nmax_throttle_percent = 20\n')
        self.write(self.path, f'[migpolicy]\nmax_throttle_percent = 30\n{line}\n')
        conf.mutate_config_files()
        self.assertEqual(20, self.policy(store).policy.max_throttle_percent)
        self.assertIn('settings in force stay', self.log.output)
