# SPDX-License-Identifier: Apache-2.0
"""Packaging: which packages are installed, and from where. All else is in setup.cfg.

The packages are listed here and not in setup.cfg because pbr drops every name there that
is not a folder of the tree, and ``nova.virt.migpolicy`` is not one: it is ``shim/migpolicy``.
"""

import setuptools

setuptools.setup(
    setup_requires=['pbr>=6.0.0'],
    pbr=True,
    packages=[
        *setuptools.find_packages(include=['nova_migpolicy', 'nova_migpolicy.*']),
        'nova.virt.migpolicy',
    ],
    package_dir={'nova.virt.migpolicy': 'shim/migpolicy'},
)
