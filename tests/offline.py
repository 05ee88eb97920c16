"""Runs a Python program, from a file or stdin (`-`), where the network and some packages are out of reach.

python tests/offline.py [--without PACKAGE,PACKAGE] PROGRAM [WORDS]
"""

import os
import runpy
import socket
import sys


def refuse(what: object) -> None:
    """Ends the process: an exception might be caught by whoever is used to having no network."""
    os.write(2, f"the network was used: {what}\n".encode())
    os._exit(97)


def take_the_network_away() -> None:
    connect = socket.socket.connect

    def connect_here(self: socket.socket, address: object) -> None:
        if self.family != socket.AF_UNIX:  # over which loaders and their workers talk
            refuse(address)
        connect(self, address)

    socket.socket.connect = connect_here
    socket.getaddrinfo = lambda *words, **_: refuse(words)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[0] == "--without":
        sys.modules.update(dict.fromkeys(words[1].split(",")))
        words = words[2:]
    take_the_network_away()
    sys.argv = words
    if words[0] == "-":
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_path(words[0], run_name="__main__")
