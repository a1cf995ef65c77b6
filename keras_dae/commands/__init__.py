"""The commands: each parses its options, makes one library call and prints.

Heavy packages are not imported at module level, so that `--help` stays fast.
"""
