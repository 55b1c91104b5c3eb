"""``python -m asyncconn``: the command line."""

from asyncconn.cli import main

if __name__ == "__main__":
    main()
