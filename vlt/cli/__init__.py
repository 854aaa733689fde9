"""The `vlt` command: one file per group of commands, put together in `vlt.cli.main`."""
