# SPDX-License-Identifier: Apache-2.0
"""The subcommand simulate: the effect that a policy would have on a certain server."""
