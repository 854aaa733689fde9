"""The replicas of one model on a Ray cluster, supervised by the driver.

Each is an actor (vlt.engine.replica) in a place of its own (vlt.engine.replica_place), which Ray restarts
elsewhere when its node is lost. A thread of the driver has one call to each actor under way at any time:
`start`, then `ended`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from vlt.engine.endpoints import Endpoints
from vlt.engine.replica import Replica, Started, short
from vlt.engine.replica_count import Wanted
from vlt.engine.replica_member import GIVEN_UP, READY, STARTING, WAITING, Member
from vlt.engine.replica_place import alive, host, needs, place, remove, stop
from vlt.engine.vllm_server import RESTARTS, Serving
from vlt.errors import UserError
from vlt.plural import plural
from vlt.workspace.progress import ReplicasProgress

TURN_SECONDS = 0.5
LOOK_SECONDS = 2.0
"""Between two looks at the nodes of the cluster."""


class ReplicaSet:
    """The replicas; those that are ready are among `servers`."""

    def __init__(
        self,
        ray: Any,
        serving: Serving,
        servers: Endpoints,
        wanted: Wanted,
        *,
        variables: Mapping[str, str],
        required: Mapping[str, str],
        is_folder: bool,
        notice: Callable[[str], None] | None = None,
    ):
        """Ask the cluster for them, and return at once. `serving.log` names the logs: NAME-replica-1.log.

        `notice` is called, by `check`, with a sentence for each replica given up while others are left.
        """
        self._ray, self._serving, self._servers = ray, serving, servers
        self._told = (dict(variables), dict(required), is_folder)
        self._gpus, self._notice = wanted.gpus, notice
        self._notices: deque[str] = deque()
        self._began = self._ready_at = time.monotonic()
        self._looked = 0.0
        self._seen: set[str] = set()
        self._alive: dict[str, str] = {}
        self._late = False
        self._stopping = threading.Event()
        self._broken: BaseException | None = None
        self.members: list[Member] = []
        try:
            for number in range(1, wanted.replicas + 1):
                self.members.append(self._member(number))
        except BaseException:
            self.close()
            raise
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _member(self, number: int) -> Member:
        log = self._serving.log.with_name(f"{self._serving.log.stem}-replica-{number}.log")
        log.touch()  # a node that does not see it does not share the disk
        serving = replace(self._serving, log=log)
        return Member(number, *place(self._ray, Replica, self._gpus, serving, *self._told))

    def check(self) -> None:
        """Raises UserError if no replica is left or none could be placed; passes notices on."""
        if self._broken:
            raise self._broken
        while self._notices:
            sentence = self._notices.popleft()
            if self._notice:
                self._notice(sentence)
        lost = [member for member in self.members if member.state == GIVEN_UP]
        if len(lost) == len(self.members):
            others = f" ({plural(len(lost), 'replica')}, each given up)" if len(lost) > 1 else ""
            raise UserError(f"{lost[-1].error}{others}")
        waiting = [member for member in self.members if member.state == WAITING]
        too_long = time.monotonic() - self._ready_at > self._serving.start_seconds
        if too_long and len(waiting) + len(lost) == len(self.members):
            raise UserError(
                f"no replica became ready within {self._serving.start_seconds:g} s: each waits to be placed "
                f"({needs(self._gpus)}), and nothing on the cluster is free; `ray status` says who holds it"
            )

    def progress(self) -> ReplicasProgress:
        """Their states for `vlt status`."""
        now = time.monotonic()
        each = [member.progress(now) for member in self.members]
        return ReplicasProgress(
            ready=sum(m.state == READY for m in self.members),
            wanted=len(self.members),
            lost_nodes=len(self._seen - set(self._alive)),
            each=each,
        )

    def stop_watching(self) -> None:
        """Stop the thread; no server joins or leaves any more."""
        self._stopping.set()
        self._watcher.join()

    def close(self) -> None:
        """Stop the servers and remove their placement groups."""
        left = [member for member in self.members if member.state != GIVEN_UP]
        stop(self._ray, [m.actor for m in left if m.state in (STARTING, READY)])
        for member in left:
            remove(self._ray, member.group, member.actor)

    def _watch(self) -> None:
        """In a thread, until `stop_watching`."""
        try:
            while not self._stopping.is_set():
                self._turn()
        except BaseException as error:
            self._broken = error  # raised by `check`, in the driver's own thread

    def _turn(self) -> None:
        now = time.monotonic()
        for member in self.members:
            if member.pending is None and member.state != GIVEN_UP and now >= member.ask_at:
                member.pending = member.actor.start.remote()
        if now - self._looked >= LOOK_SECONDS:
            self._look()
        if any(member.state == READY for member in self.members):
            self._ready_at = now
        pending = {m.pending: m for m in self.members if m.pending is not None}
        if not pending:
            self._stopping.wait(TURN_SECONDS)
            return
        done, _ = self._ray.wait(list(pending), num_returns=1, timeout=TURN_SECONDS)
        for ref in done:
            pending[ref].pending = None
            self._heard(pending[ref], ref)

    def _heard(self, member: Member, ref: Any) -> None:
        """A call to an actor has returned, or the actor is lost."""
        errors = self._ray.exceptions
        try:
            said: Started | str | None = self._ray.get(ref)
        except errors.ActorUnavailableError:  # Ray restarts it
            self._leave(member, WAITING)
            member.ask_at = time.monotonic() + TURN_SECONDS
            return
        except errors.RayError as error:
            self._give_up(
                member,
                f"replica {member.number} cannot be started on the cluster ({short(str(error))})",
            )
            return
        if isinstance(said, Started):
            self._started(member, said)
        else:
            self._ended(member, said)

    def _started(self, member: Member, started: Started) -> None:
        member.host = started.host
        if started.url:
            member.proved = True
            member.state = READY
            member.endpoint = self._servers.join(started.url)
            member.pending = member.actor.ended.remote()
            return
        self._failed(member, started.error)

    def _ended(self, member: Member, last_line: str | None) -> None:
        """Its server has died; None: the actor was restarted, and has no server yet."""
        if member.endpoint and member.endpoint.answers:
            member.failures = 0
        self._leave(member, STARTING)
        if last_line is not None:
            times = f"died {plural(member.failures + 1, 'time')} in a row"
            self._failed(member, f"vllm serve {times}: {last_line}")

    def _failed(self, member: Member, reason: str) -> None:
        member.failures += 1
        member.ask_at = time.monotonic() + TURN_SECONDS
        if not member.proved or member.failures > RESTARTS:
            self._give_up(member, f"replica {member.number} on {member.host}: {reason}")

    def _give_up(self, member: Member, reason: str) -> None:
        self._leave(member, GIVEN_UP)
        member.error = reason
        remove(self._ray, member.group, member.actor)
        left = [other for other in self.members if other.state != GIVEN_UP]
        if left:
            self._notices.append(f"{reason}; it is given up, and the run goes on with {len(left)}")

    def _leave(self, member: Member, state: str) -> None:
        if member.endpoint:
            self._servers.leave(member.endpoint)
            member.answers += member.endpoint.answers
            member.endpoint = None
        member.state = state

    def _look(self) -> None:
        """See which nodes are alive, and which replicas have been placed."""
        self._looked = time.monotonic()
        self._alive = alive(self._ray)
        self._seen |= set(self._alive)
        unready = [m for m in self.members if m.state in (WAITING, STARTING)]
        for member in unready:
            placed = host(member.group, self._alive)
            member.state = STARTING if placed else WAITING
            member.host = placed or member.host
        late = [member for member in unready if member.state == WAITING]
        age = self._looked - self._began
        if late and len(late) < len(self.members) and age > self._serving.start_seconds:
            if not self._late:
                self._notices.append(
                    f"{plural(len(late), 'replica')} of {len(self.members)} could not be placed within "
                    f"{self._serving.start_seconds:g} s; the run goes on, and they may still join"
                )
            self._late = True
