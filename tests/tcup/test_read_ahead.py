"""A socket that is read byte by byte, with few calls of the system."""

from __future__ import annotations

import socket

import pytest

from asyncconn.tcup.streams.ahead import ReadAhead


def test_bytes_come_in_order_and_what_is_here_is_told() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ahead = ReadAhead(ours)
        assert ahead.pending() == 0
        with pytest.raises(BlockingIOError):
            ahead.recv(1)
        theirs.sendall(b"abcdef")
        assert ahead.recv(1) == b"a"
        assert ahead.pending() == 5
        with pytest.raises(BlockingIOError):
            ours.recv(1)  # nothing was left there
        assert ahead.recv(2) + ahead.recv(9) == b"bcdef"
        theirs.close()
        assert ahead.recv(1) == b""
