"""``python -m strokewise``: the command line for launchers that start modules, such as torchrun."""

from strokewise.cli.main import main

if __name__ == "__main__":
    main()
