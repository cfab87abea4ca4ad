# SPDX-License-Identifier: Apache-2.0
"""Pure decisions about a live migration, from samples to actions."""
