# SPDX-License-Identifier: Apache-2.0
"""Nova's private side: the only room that knows names which Nova does not promise to keep.

All of those names are in ``nova_contract``.
"""
