# SPDX-License-Identifier: Apache-2.0
"""Troubles of Nova's logs that were recorded."""

import pathlib

TRACES = pathlib.Path(__file__).with_name('traces')
#: folders of checkouts, some with the package's own name in them
CHECKOUTS = ('/src/plugin', '/a b/nova_migpolicy', '/nova_migpolicy/api/nova_migpolicy')


def recorded(name, checkout=CHECKOUTS[0]):
    text = (TRACES / f'{name}.log').read_text()
    return text.replace('{ours}', f'{checkout}/nova_migpolicy').replace(
        '{venv}', f'{checkout}/.venv')
