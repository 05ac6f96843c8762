"""The store dies, freezes, is full, or forgets."""

from __future__ import annotations

import os
import signal

import redis

from quill.chaos.faults.base import Fault
from quill.chaos.faults.processes import freeze
from quill.store.call import script


class StoreKilled(Fault):
    name = "store-killed"
    is_outage = True

    def begin(self) -> str:
        self.first_pid = self.town.store_part.pid
        self.town.store_part.kill()
        return f"pid {self.first_pid}"

    def heal(self) -> None:
        self.town.start_store()

    def has_happened(self) -> bool:
        return self.town.store_part.pid != self.first_pid


class StoreFrozen(Fault):
    name = "store-frozen"
    is_outage = True

    def begin(self) -> str:
        pid = self.town.store_part.pid
        self.was_frozen = freeze(pid)
        return f"pid {pid}"

    def last_s(self) -> float:
        return self.dice.uniform(1, 6)

    def heal(self) -> None:
        os.kill(self.town.store_part.pid, signal.SIGCONT)

    def has_happened(self) -> bool:
        return self.was_frozen


class StoreFull(Fault):
    name = "store-full"

    def begin(self) -> str:
        self.client.config_set("maxmemory", "1mb")
        try:
            self.client.set("chaos", "x")
            self.was_refused = False
        except redis.exceptions.OutOfMemoryError:
            self.was_refused = True
        return "maxmemory 1mb"

    def heal(self) -> None:
        self.client.config_set("maxmemory", 0)
        self.client.delete("chaos")

    def has_happened(self) -> bool:
        return self.was_refused


class ClientsKilled(Fault):
    name = "clients-killed"

    def begin(self) -> str:
        self.killed = int(self.client.client_kill_filter(_type="normal", skipme=True))
        return f"{self.killed} connections"

    def heal(self) -> None:
        pass

    def has_happened(self) -> bool:
        return self.killed > 0


class ScriptsFlushed(Fault):
    name = "scripts-flushed"

    def begin(self) -> str:
        with self.client.pipeline(transaction=True) as pipe:
            pipe.script_flush()
            pipe.script_exists(script("renew").sha)
            self.left = pipe.execute()[1][0]
        return "all scripts"

    def heal(self) -> None:
        pass

    def has_happened(self) -> bool:
        return not self.left
