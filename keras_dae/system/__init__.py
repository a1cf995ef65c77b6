"""What stands between the package and the process it runs in."""
