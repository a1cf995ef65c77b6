"""The commands: parse, one library call, print. Nothing heavy at module level."""
