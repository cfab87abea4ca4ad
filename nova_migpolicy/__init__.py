# SPDX-License-Identifier: Apache-2.0
"""Live migrations of Nova's libvirt driver, steered by a policy.

This package is what an operator installs beside Nova. It is not a fork: Nova's own files stay
as they are, and only ``nova_migpolicy.compute`` touches what Nova keeps private.
"""
