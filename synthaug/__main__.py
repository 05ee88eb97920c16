"""`python -m synthaug` is the same as `synthaug`."""

from synthaug.cli.main import main

if __name__ == "__main__":
    main()
