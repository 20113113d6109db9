"""Writes the fingerprints of the version in force. `make prints` calls it."""

from tests.prints import write
from triage.editions import CURRENT

if __name__ == "__main__":
    write(CURRENT)
