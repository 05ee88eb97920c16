"""What every other layer stands on: types, pixels, randomness, storage, devices and the terminal."""
