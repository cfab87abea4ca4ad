# SPDX-License-Identifier: Apache-2.0
"""Nova's private side inside nova-compute: the driver and all that touches Nova's own objects.

The names that Nova does not promise to keep are listed in ``nova_contract``, with those that
``api`` uses.
"""
