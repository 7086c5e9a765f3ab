"""One slot between two threads."""

from __future__ import annotations

import threading
import time

from tiae_ros.node.mailbox import Mailbox


def test_the_newest_is_kept_and_wakes_readers():
    mailbox: Mailbox[int] = Mailbox()
    assert mailbox.put(1) is False
    assert mailbox.put(2) is True
    assert mailbox.get() == 2
    got = []
    reader = threading.Thread(target=lambda: got.extend([mailbox.get(), mailbox.get()]))
    reader.start()
    mailbox.put(3)
    while not got and reader.is_alive():
        time.sleep(0.01)
        mailbox.close()
    reader.join(5)
    assert got in ([3, None], [None, None])
    assert mailbox.get() is None
