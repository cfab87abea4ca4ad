# SPDX-License-Identifier: Apache-2.0
"""The subcommand simulate: what a policy would do to a server of a kind."""
