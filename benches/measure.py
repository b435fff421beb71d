"""Runs commands in turn and measures them: wall time, and the peak memory of the whole process tree."""

import os
import resource
import statistics
import subprocess
import tempfile
import threading
import time


class Command:
    """A shell-free command, or a pipe of two. `good` are the exit codes that count as done."""

    def __init__(self, name, *stages, good=(0,), env=None):
        self.name, self.stages, self.good, self.env = name, stages, good, env
        self.seconds, self.memory, self.cpu = [], 0, 0.0
        self.output = ""

    @property
    def median(self):
        return statistics.median(self.seconds)

    @property
    def spread(self):
        """Half the range over the median: how far to trust it."""
        return (max(self.seconds) - min(self.seconds)) / 2 / self.median

    def run(self, watch_memory=False):
        """One run; gives seconds. Standard output is kept in `output`, the processor time of the tree in `cpu`."""
        environment = os.environ | (self.env or {})
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            began, cpu = time.monotonic(), children_cpu()
            children, pipe = [], None
            for stage in self.stages:
                last = stage is self.stages[-1]
                child = subprocess.Popen(
                    stage, stdin=pipe or subprocess.DEVNULL, stdout=out if last else subprocess.PIPE,
                    stderr=err if last else subprocess.DEVNULL, env=environment,
                )
                if pipe:
                    pipe.close()
                pipe = child.stdout
                children.append(child)
            watcher = Watcher([child.pid for child in children]) if watch_memory else None
            codes = [child.wait() for child in children]
            seconds = time.monotonic() - began
            self.cpu = children_cpu() - cpu
            if watcher:
                self.memory = max(self.memory, watcher.stop())
            out.seek(0)
            err.seek(0)
            self.output, complaint = out.read().decode(), err.read().decode()
        if codes[-1] not in self.good or any(codes[:-1]):
            raise SystemExit(f"bench: {self.name} ended with {codes}: {complaint[-2000:]}")
        return seconds


def children_cpu():
    """Seconds of processor time of all children that have ended, and of theirs."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Watcher:
    """Samples the proportional set size of processes and all their descendants, 20 times a second."""

    def __init__(self, roots):
        self.roots, self.peak, self.done = roots, 0, threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        while not self.done.wait(0.05):
            self.peak = max(self.peak, sum(map(pss, descendants(self.roots))))

    def stop(self):
        self.done.set()
        self.thread.join()
        return self.peak


def descendants(roots):
    parent = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    parent[int(entry)] = int(file.read().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                pass
    found = set(roots)
    grew = True
    while grew:
        more = {child for child, of in parent.items() if of in found} - found
        found |= more
        grew = bool(more)
    return found


def pss(pid):
    """Bytes of memory that the process answers for: its own, and its share of what it shares."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def side_by_side(commands, rounds):
    """One watched round for memory (also the warm-up), then `rounds` timed ones, the order turning each time."""
    for command in commands:
        command.run(watch_memory=True)
    for turn in range(rounds):
        for index in range(len(commands)):
            command = commands[(index + turn) % len(commands)]
            command.seconds.append(command.run())
    return commands
