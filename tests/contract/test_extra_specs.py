# SPDX-License-Identifier: Apache-2.0
"""Nova's API finds our validators and refuses wrong extra specs with them."""

import ddt
from nova.api.validation.extra_specs import validators
from nova import exception as nova_exception

from nova_migpolicy.api import extra_specs
from nova_migpolicy.policy import keys
from tests.contract import base


@ddt.ddt
class TestExtraSpecs(base.ContractCase):

    def setUp(self):
        super().setUp()
        validators.load_validators()

    def test_one_for_each_key(self):
        self.assertEqual([f'migpolicy:{name}' for name in keys.KEYS],
                         [validator.name for validator in extra_specs.register()])
        for validator in extra_specs.register():
            self.assertIn(validator.name, validators.VALIDATORS)
            self.assertTrue(validator.description)

    @ddt.data(*keys.KEYS)
    def test_default_is_accepted(self, name):
        key = keys.KEYS[name]
        validators.validate(f'migpolicy:{name}', key.text(key.default))

    @ddt.data('drain', 'user', 'maintenance', '7')
    def test_priority(self, value):
        validators.validate('migpolicy:priority', value)

    @ddt.data(('max_downtime_ms', '5oo', 'not a whole number'),
              ('max_downtime_ms', '0', 'below the minimum of 1'),
              ('max_throttle_percent', '100', 'above the maximum of 99'),
              ('on_stall', 'stop', "'stop' is not one of abort"),
              ('remedies', 'bandwidth,downtme', "'downtme' is not one of"),
              ('priority', 'urgent', 'it has to be drain (100), user (50), maintenance (20), or'),
              ('profile', 'my profile', 'a name has letters'))
    @ddt.unpack
    def test_wrong_value(self, name, value, words):
        error = self.assertRaises(nova_exception.ValidationError, validators.validate,
                                  f'migpolicy:{name}', value)
        self.assertIn(f'{name} = ', str(error))
        self.assertIn(words, str(error))

    @ddt.data('migpolicy:max_downtime', 'migpolicy:', 'migpolicy:max_downtime_ms:x')
    def test_misspelt_key(self, name):
        self.assertRaises(nova_exception.ValidationError, validators.validate, name, '1')

    def test_other_namespaces_are_left_alone(self):
        validators.validate('hw:cpu_policy', 'shared')
        validators.validate('other:max_downtime', '1')
