"""The independent checker: reads the journals that clients and workers kept of themselves (test/load/load.cc), nothing of the
server's, and evaluates what the contract promises about tasks. Run alone: checker.py FOLDER."""
import collections
import dataclasses
import pathlib
import sys


@dataclasses.dataclass
class Run:
    at: float
    task: str
    attempt: str
    number: int
    fence: int
    worker: str
    over: float = float("inf")  # end or cut; infinite when the worker died in it


class Checker:
    def __init__(self, folder, skip=()):
        """`skip` names journals that are not to be read."""
        self.submitted = {}                                # key -> first time
        self.acks = collections.defaultdict(dict)          # key -> id -> first time
        self.refused, self.unknown = {}, set()             # key -> (kind, seconds)
        self.runs = collections.defaultdict(list)          # id -> runs, in order of their start
        self.outcomes = collections.defaultdict(list)      # id -> states seen at the end(s)
        self.torn = 0
        starts = {}
        for path in sorted(pathlib.Path(folder).glob("*.journal")):
            if path.stem in skip:
                continue
            for line in path.read_text(errors="replace").split("\n"):
                fields = line.split("\t")
                if len(fields) < 3:
                    self.torn += bool(line)
                    continue
                what, at, rest = fields[0], float(fields[1]), fields[2:]
                if what == "submit":
                    self.submitted.setdefault(rest[0], at)
                elif what == "ack":
                    self.acks[rest[0]].setdefault(rest[1], at)
                elif what == "refused":
                    self.refused[rest[0]] = (rest[1], float(rest[2]))
                elif what == "unknown":
                    self.unknown.add(rest[0])
                elif what == "start":
                    run = Run(at, rest[0], rest[1], int(rest[2]), int(rest[3]), rest[4])
                    self.runs[run.task].append(run)
                    starts[run.attempt, run.worker] = run
                elif what in ("end", "cut"):
                    if (rest[1], rest[2]) in starts:
                        starts[rest[1], rest[2]].over = at
                elif what == "outcome":
                    self.outcomes[rest[0]].append(rest[1])
        for runs in self.runs.values():
            runs.sort(key=lambda run: run.at)

    def acked_ids(self):
        return {task for ids in self.acks.values() for task in ids}

    def problems(self):
        """Each broken promise as one sentence."""
        found = []
        acked = self.acked_ids()
        for key, ids in self.acks.items():
            if key not in self.submitted:
                found.append(f"S2: {key} was acknowledged and never submitted")
            if len(ids) > 1:
                found.append(f"S3: key {key} made {len(ids)} tasks")
        # A key whose submission was refused for good made no task: a task more than the keys that may have made one is a phantom.
        may_exist = len(self.acks) + len(self.unknown) + sum(key not in self.refused for key in self.submitted.keys() - self.acks.keys() - self.unknown)
        if len(self.outcomes) > may_exist:
            found.append(f"S2: {len(self.outcomes)} tasks exist, at most {may_exist} were submitted")
        for task in sorted(acked):
            states = set(self.outcomes.get(task, ()))
            if not states:
                found.append(f"C1: task {task} was acknowledged and is lost")
            elif states & {"waiting", "assigned", "running"}:
                found.append(f"C15: task {task} has not ended: {states}")
            elif len(states) > 1:
                found.append(f"C6: task {task} had several outcomes: {states}")
            if states == {"succeeded"} and not self.runs.get(task):
                found.append(f"C4: task {task} succeeded and never ran")
        for task, runs in self.runs.items():
            if task not in self.outcomes:
                found.append(f"C1: task {task} ran and nobody knows it")
            attempts = {}
            for run in runs:
                if attempts.setdefault(run.attempt, run) is not run:
                    found.append(f"C5: attempt {run.attempt} of task {task} began twice")
            by_number = sorted(attempts.values(), key=lambda run: run.number)
            for earlier, later in zip(by_number, by_number[1:]):
                if earlier.fence >= later.fence or earlier.number == later.number:
                    found.append(f"S6: task {task}: attempt {later.number} has fence {later.fence} after {earlier.fence}")
        fences = collections.Counter(run.fence for runs in self.runs.values() for run in {r.attempt: r for r in runs}.values())
        found += [f"S6: fence {fence} was given {n} times" for fence, n in fences.items() if n > 1]
        return found

    def run_again(self):
        """Tasks that physically began more than once."""
        return {task: runs for task, runs in self.runs.items() if len(runs) > 1}

    def overlaps(self):
        """Pairs of runs of one task that physically overlapped (allowed only when fenced)."""
        return [(a, b) for runs in self.runs.values() for a, b in zip(runs, runs[1:]) if a.over > b.at and a.over != float("inf")]


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))] if values else float("nan")


if __name__ == "__main__":
    checker = Checker(sys.argv[1])
    problems = checker.problems()
    print("\n".join(problems[:50]))
    print(f"{len(checker.submitted)} submitted, {len(checker.acks)} acknowledged, {len(checker.unknown)} unknown, {len(checker.refused)} refused, "
          f"{sum(map(len, checker.runs.values()))} runs, {len(checker.run_again())} tasks run more than once, {len(problems)} problems")
    sys.exit(1 if problems else 0)
