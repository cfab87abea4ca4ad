# SPDX-License-Identifier: Apache-2.0
"""What Nova keeps of a flavor and an image, and what we read of it."""

from nova import objects
from nova import utils as nova_utils
from oslo_serialization import jsonutils

from nova_migpolicy.compute import policies
from tests.contract import base


class TestFlavor(base.ContractCase):

    def test_only_our_keys(self):
        server = self.instance({'migpolicy:max_downtime_ms': '250', 'hw:cpu_policy': 'shared',
                                'migpolicy': 'x'})
        self.assertEqual({'max_downtime_ms': '250'}, policies.read_flavor(server))

    def test_none(self):
        self.assertEqual({}, policies.read_flavor(self.instance()))

    def test_extra_specs_are_kept_with_the_server(self):
        flavor = objects.Flavor(id=1, extra_specs={'migpolicy:profile': 'post_copy'})
        kept = objects.Flavor.obj_from_primitive(
            jsonutils.loads(jsonutils.dumps(flavor.obj_to_primitive())))
        self.assertEqual({'migpolicy:profile': 'post_copy'}, kept.extra_specs)


class TestImage(base.ContractCase):

    def booted_from(self, properties):
        kept = nova_utils.get_system_metadata_from_image({'properties': properties})
        return self.instance(system_metadata=kept)

    def test_novas_own_object_drops_our_properties(self):
        server = self.booted_from({'migpolicy_profile': 'evacuate', 'hw_machine_type': 'q35'})
        kept = objects.ImageMeta.from_dict(
            nova_utils.get_image_from_system_metadata(server.system_metadata))
        self.assertEqual('q35', kept.properties.hw_machine_type)
        self.assertFalse(hasattr(kept.properties, 'migpolicy_profile'))

    def test_they_are_in_the_system_metadata(self):
        server = self.booted_from({'migpolicy_profile': 'evacuate', 'hw_machine_type': 'q35',
                                   'migpolicy_timeout_seconds': 90})
        self.assertEqual(({'profile': 'evacuate', 'timeout_seconds': '90'}, ()),
                         policies.read_image(server))

    def test_a_long_value_is_not_believed(self):
        for text in ('bandwidth,' * 40, 'ü' * 200, '\N{GRINNING FACE}' * 100):
            values, problems = policies.read_image(self.booted_from({'migpolicy_remedies': text}))
            self.assertEqual({}, values)
            self.assertIn('may have cut it', problems[0].sentence)

    def test_what_fits_is_believed(self):
        values, problems = policies.read_image(
            self.booted_from({'migpolicy_remedies': 'downtime,' * 27}))
        self.assertEqual(({'remedies': 'downtime,' * 27}, ()), (values, problems))


class TestPolicies(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.policies = policies.Policies(base.CONF)

    def test_flavor_and_image(self):
        self.set_option('image_keys', ['max_downtime_ms', 'timeout_seconds'], 'migpolicy')
        self.policies = policies.Policies(base.CONF)
        resolved = self.policies.resolve(self.instance(
            {'migpolicy:max_downtime_ms': '300'},
            {'image_migpolicy_max_downtime_ms': '900',
             'image_migpolicy_timeout_seconds': '200'}), {})
        self.assertEqual((300, 200), (
            resolved.policy.max_downtime_ms, resolved.policy.timeout_seconds))
        self.assertEqual('image, clamped by flavor', resolved.origins['max_downtime_ms'])

    def test_a_warning_for_each_problem(self):
        self.policies.resolve(self.instance(
            {'migpolicy:max_downtime_ms': '5oo',
             'migpolicy:on_busy_destination': 'wait',
             'migpolicy:required_features': 'rdma',
             'migpolicy:priority': 'maintenance'},
            {'image_migpolicy_on_stall': 'pause'}), {})
        for words in ("flavor: max_downtime_ms = '5oo': ignored, not a whole number",
                      "flavor: required_features = ('rdma',): accepted, but this version",
                      "image: on_stall = 'pause': ignored, images may not set it"):
            self.assertEqual(1, self.log.output.count(words), words)
        self.assertNotIn('priority', self.log.output)
        self.assertNotIn('on_busy_destination', self.log.output)

    def test_a_request_is_above_the_image(self):
        resolved = self.policies.resolve(
            self.instance({'migpolicy:max_downtime_ms': '300'}), {'max_downtime_ms': 700})
        self.assertEqual((700, 'request'), (
            resolved.policy.max_downtime_ms, resolved.origins['max_downtime_ms']))

    def test_a_request_that_is_not_permitted_any_more_does_not_count(self):
        resolved = self.policies.resolve(self.instance(), {'max_downtime_ms': 700, 'profile': 'x'})
        self.assertEqual(500, resolved.policy.max_downtime_ms)
        self.assertIn('the policy of the request does not count', self.log.output)

    def test_describe(self):
        self.assertEqual('profile balanced', self.policies.describe())
