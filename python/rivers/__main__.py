"""`python -m rivers` is the command `rivers`."""

from rivers.cli import main

if __name__ == "__main__":
    main()
