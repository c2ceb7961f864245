#!/usr/bin/env python3
"""The rooms of src/ and the arrows between them. Run without arguments: checks every #include, the words a pure room may
not use, and that ARCHITECTURE.md shows this very table. `rooms.py --table` prints the table for ARCHITECTURE.md."""
import pathlib
import re
import subprocess
import sys

# room: (what lives there, rooms it may include)
ROOMS = {
    "base": ("units, ids, Result, MUST, bytes, text, hashes, clocks of the system", []),
    "core": ("the scheduler: events in, commands out; pure", ["base"]),
    "predict": ("estimates of run time; learns; deterministic", ["base"]),
    "learn": ("the learning loop around a core: when to estimate, what to publish; pure", ["base", "core", "predict"]),
    "journal": ("byte format of events, batches, snapshots", ["base", "core"]),
    "sqlite": ("a thin owner of SQLite's handles", ["base"]),
    "redis": ("a small client of Redis: connections, commands, replies", ["base"]),
    "config": ("the one table of settings: parse, check, print, diff", ["base", "core"]),
    "store": ("the journal port and its adapters: memory, sqlite, redis", ["base", "journal", "sqlite", "redis"]),
    "history": ("the history port and its adapters: memory, sqlite, clickhouse; the spool before one; decisions as records", ["base", "core", "sqlite"]),
    "identity": ("who calls and how much: tokens, certificate subjects, sessions, limits", ["base"]),
    "engine": ("the one loop: stamp, estimate, apply, journal, release",
               ["base", "core", "predict", "learn", "journal", "store", "history", "config", "identity"]),
    "api": ("proto to engine values and back; the table of errors", ["base", "core", "predict", "history", "engine", "config", "identity"]),
    "intake": ("tasks and workers that speak Redis alone, as the old Nexus does", ["base", "core", "redis", "store", "engine"]),
    "wire": ("gRPC services and the acceptor", ["base", "core", "history", "engine", "api", "config", "identity"]),
    "http": ("REST, event stream, page, metrics", ["base", "core", "history", "engine", "api", "identity"]),
    "process": ("child processes: started, followed, guarded", ["base"]),
    "reach": ("how a verb reaches a server: flags, environment, profiles", ["base"]),
    "worker": ("the verb `nexus worker`: exec handler on the SDK", ["base", "process", "reach"]),
    "cli": ("the verbs that talk to a server", ["base", "reach"]),
    "evaluate": ("the verb `nexus evaluate`: predictors on traces", ["base", "predict"]),
    "simulate": ("the verb `nexus simulate`: policies on simulated fleets", ["base", "core", "predict", "learn", "evaluate"]),
    "bench": ("the verbs `nexus bench …`", ["base", "core", "process"]),
    "main": ("main, serve, dev: names the concrete adapters", None),  # None: every room
}
# Rooms that see the ports of store and history, never an adapter.
ONLY_PORTS = {"engine", "api", "intake", "wire", "http"}
# What a pure room may not say: time, chance, threads, files, environment, unordered iteration for results.
IMPURE = re.compile(
    r"#include <(chrono|random|thread|mutex|atomic|condition_variable|future|fstream|iostream|filesystem|ctime|cstdio|"
    r"unistd\.h|time\.h|sys/.*)>|std::(chrono|rand|thread|mutex|getenv)\b|\b(getenv|clock_gettime|gettimeofday)\(")
PURE = {"core", "predict", "learn", "journal"}


def table():
    lines = ["| room | what lives there | may include |", "|---|---|---|"]
    for room, (what, may) in ROOMS.items():
        arrows = "every room" if may is None else ", ".join(may) or "nothing"
        lines.append(f"| `src/{room}` | {what} | {arrows} |")
    return "\n".join(lines)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    if sys.argv[1:] == ["--table"]:
        print(table())
        return 0
    problems = []
    for path in sorted((root / "src").rglob("*")):
        if path.suffix not in {".h", ".cc"}:
            continue
        room = path.relative_to(root / "src").parts[0]
        is_test = path.name.endswith(("_test.cc", "_test.h"))
        if room not in ROOMS:
            problems.append(f"{path.relative_to(root)}: not in a room; the rooms are in tools/rooms.py")
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.relative_to(root)}:{number}"
            include = re.match(r'#include "(\w+)/([\w/.]+)"', line)
            if include and include[1] in ROOMS and include[1] != room and not is_test:
                may = ROOMS[room][1]
                if may is not None and include[1] not in may:
                    problems.append(f"{where}: {room} may not include {include[1]}")
                if room in ONLY_PORTS and include[1] in {"store", "history"} and "/" in include[2]:
                    problems.append(f"{where}: {room} sees the ports of {include[1]}, not the adapter {include[2]}")
            if room in PURE and not is_test and IMPURE.search(line.split("//")[0]):
                problems.append(f"{where}: {room} is pure: {line.strip()}")
    for folder in ("util", "utils", "common", "helpers", "misc"):
        for path in root.rglob(folder):
            if path.is_dir() and not {"build", ".git", "node_modules"} & set(path.relative_to(root).parts):
                problems.append(f"{path.relative_to(root)}: a folder named {folder} says nothing; name it by what it is")
    architecture = (root / "ARCHITECTURE.md").read_text()
    if table() not in architecture:
        problems.append("ARCHITECTURE.md: the room table differs from tools/rooms.py (see rooms.py --table)")
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
