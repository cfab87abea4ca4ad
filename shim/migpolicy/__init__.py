# SPDX-License-Identifier: Apache-2.0
"""The name under which Nova finds the driver; no code lives here.

Nova imports ``nova.virt.<compute_driver>`` and nothing else. setup.cfg installs this
folder as ``nova.virt.migpolicy``, so that ``compute_driver = migpolicy.LibvirtDriver``
gives our driver. It is kept outside of ``nova_migpolicy`` and never becomes a folder
called ``nova``, which would hide Nova itself.
"""

from nova_migpolicy.compute.driver import LibvirtDriver

__all__ = ['LibvirtDriver']
