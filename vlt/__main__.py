"""`python -m vlt` runs the command `vlt`."""

from vlt.cli.main import main

if __name__ == "__main__":
    main()
