"""One attempt at a training job: its hosts, from their data to the end of the last process."""

import queue
import shutil
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from local.sagemaker import s3
from local.sagemaker.ports import Credentials
from local.sagemaker.roles import CallFailed, Role
from local.sagemaker.surroundings import Surroundings
from local.sagemaker.training.cluster import Cluster
from local.sagemaker.training.host import Host
from local.sagemaker.training.inputs import InputError


class Attempt:
    """Runs a job's image on all its hosts, once.

    What became of it is told by `started`, by `lost` (a host was), by `interrupted` (the instances
    were taken back), by `refused` (why the job may not go on) and by `failure` (of the algorithm).
    """

    def __init__(
        self,
        around: Surroundings,
        job: Mapping[str, Any],
        role: Role,
        storage: s3.Storage,
        cluster: Cluster,
        folder: Path,
        definitions: Sequence[Mapping[str, str]],
    ) -> None:
        self._around = around
        self._role = role
        self._program = around.programs.training(job, len(cluster.hosts))
        self._lock = threading.Lock()
        self._ending = False
        self.started = False
        self.lost = False
        self.interrupted = False
        self.refused = ""
        self.failure = ""
        self.folder = folder
        self.hosts = [
            Host(
                around,
                job,
                role,
                storage,
                place,
                folder / place.host,
                self._program,
                definitions=definitions,
                on_failure=self._refuse,
            )
            for place in cluster.places()
        ]

    def prepare(self) -> None:
        """Pull the image, and make every host ready, all at the same time.

        Raises:
            CallFailed: for a call that the role may not make.
            CannotStart: for an image that is for another kind of machine.
            InputError: for data that cannot be had.
        """
        self._program.pull(self._role)
        with ThreadPoolExecutor(max_workers=len(self.hosts)) as pool:
            ready = [pool.submit(host.prepare) for host in self.hosts]
        for one in ready:
            one.result()

    def train(
        self,
        credentials: Credentials | None,
        *,
        watch: Callable[[], object],
    ) -> None:
        """Start every host, unless the attempt is over already, and wait until all have ended.

        The first host that fails decides what the job fails of. `watch` is called now and then.
        """
        with self._lock:
            if self._ending:
                return
            self.started = True
            for host in self.hosts:
                host.start(credentials)
        ended: queue.SimpleQueue[tuple[Host, int]] = queue.SimpleQueue()
        for host in self.hosts:
            threading.Thread(
                target=lambda host=host: ended.put((host, host.wait())), daemon=True
            ).start()
        watch()
        left = len(self.hosts)
        while left:
            try:
                host, exit_code = ended.get(timeout=self._around.limits.job_watch)
            except queue.Empty:
                watch()
                continue
            left -= 1
            if exit_code and not self._ending and not self.failure:
                self.failure = host.reason()
                for other in self.hosts:
                    other.stop(self._around.limits.peer_stop)

    def stop(self) -> None:
        """Ask every host to end, as `docker stop` does; returns at once."""
        with self._lock:
            self._ending = True
        for host in self.hosts:
            host.stop(self._around.limits.job_stop)

    def interrupt(self) -> None:
        """Take the instances back, as happens to managed spot training."""
        self.interrupted = True
        self.stop()

    def lose(self) -> None:
        """End every host at once, as if one of them were lost."""
        self.lost = True
        self._kill()

    def close(self) -> None:
        """End what still runs, and write what is left of the logs."""
        self._kill()
        for host in self.hosts:
            host.close()
        self._program.close()

    def remove(self) -> None:
        """Remove the folders of all hosts."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill(self) -> None:
        with self._lock:
            self._ending = True
        for host in self.hosts:
            host.kill()

    def _refuse(self, error: CallFailed | InputError) -> None:
        """End because a call in the name of the role was refused, or the data broke off."""
        self.refused = self.refused or str(error)
        self._kill()
