"""One verb, one module: each brings lower layers together and does one thing a user asks for."""
