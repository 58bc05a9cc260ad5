# SPDX-License-Identifier: Apache-2.0
"""What a command does, one module each where it is long; ``flows.api`` has the functions."""
