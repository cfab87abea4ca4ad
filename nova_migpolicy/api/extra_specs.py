# SPDX-License-Identifier: Apache-2.0
"""Validators with which Nova's API refuses a wrong ``migpolicy:`` extra spec of a flavor.

Nova finds ``register`` by the entry point nova.api.extra_spec_validators and asks from
microversion 2.86 on. It then also refuses names in this namespace that are not here. Whether
a profile exists is not checked: only the compute hosts have the file.
"""

from __future__ import annotations

from typing import Any

from nova.api.validation.extra_specs import base
from nova import exception as nova_exception

from nova_migpolicy import exception
from nova_migpolicy.policy import keys

NAMESPACE = 'migpolicy'


class KeyValidator(base.ExtraSpecValidator):
    """A validator that lets the key itself judge the value."""

    def validate(self, name: str, value: str) -> None:
        """Judge one extra spec, as Nova's own method does.

        :raises nova.exception.ValidationError: with the reason.
        """
        super().validate(name, value)
        try:
            keys.find(name.partition(':')[2]).parse(value)
        except exception.PolicyError as error:
            raise nova_exception.ValidationError(f'Validation failed; {error}') from error


def _value(key: keys.Key) -> dict[str, Any]:
    # The range and the choices stay with the key, whose sentences name it; here they are for
    # lists of the validators.
    described: dict[str, Any] = {'description': key.allows(), 'type': str}
    return described


def register() -> list[base.ExtraSpecValidator]:
    """Make one validator for each policy key that a flavor may set."""
    return [KeyValidator(name=f'{NAMESPACE}:{key.name}', description=key.help, value=_value(key))
            for key in keys.KEYS.values() if 'flavor' in key.sources]
