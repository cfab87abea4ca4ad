# SPDX-License-Identifier: Apache-2.0
"""What the paths do: a module for what an operator or a user does, named as its command is."""
