#!/usr/bin/env python3
"""Plants each bug of tools/mutants.txt alone in a copy of the tree, builds, and runs the tests until one notices: first the
one that noticed last time (docs/testing.md), of a new bug the tests of its room, then the others, cheapest first. Fails when a bug survives. With --write the table in docs/testing.md is renewed.

    tools/mutants.py [--check] [--write] [--resume] [--only NAME]... [--build DIRECTORY]
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What is run for each bug, in this order: (name told, target, arguments, seconds at most).
CATCHERS = [
    ("stories", "story_test", ["test/scenarios"], 60),
    ("unit.journal", "journal_test", [], 60),
    ("sdk.rules", "sdk_rules_test", [], 60),
    ("unit.worker", "worker_test", [], 60),
    ("unit.engine", "engine_test", [], 120),
    ("contract", "contract_test", [], 120),
    ("unit.core", "core_test", [], 120),
    ("unit.predict", "predict_test", [], 120),
    ("unit.learn", "learn_test", [], 60),
    ("unit.api", "api_test", [], 60),
    ("faults.worlds", "nexus_faults", ["--seeds", "1..400", "--jobs", "2"], 400),
    ("unit.store", "store_test", [], 120),
    ("unit.cli", "cli_test", [], 60),
    ("unit.main", "main_test", [], 60),
    ("unit.http", "http_test", [], 120),
    ("unit.wire", "wire_test", [], 300),
    ("conformance.journal", "conformance_test", ["--test-suite=journal"], 180),
    ("conformance.power", "conformance_test", ["--test-suite=power"], 180),
]


def mutants():
    text = (ROOT / "tools/mutants.txt").read_text()
    for part in re.split(r"^## ", text, flags=re.M)[1:]:
        lines = part.rstrip("\n").split("\n")
        name, what, path = lines[0].strip(), lines[1].strip(), lines[2].strip()
        old = "\n".join(line[1:] for line in lines[3:] if line.startswith("-"))
        new = "\n".join(line[1:] for line in lines[3:] if line.startswith("+"))
        yield name, what, path, old, new


def noticed_before():
    """By bug, the test of the table in docs/testing.md."""
    table = re.search(r"<!-- mutants -->\n(.*?)<!-- end -->", (ROOT / "docs/testing.md").read_text(), flags=re.S)
    rows = [row.split("|") for row in table.group(1).splitlines()]
    return {row[1].strip(): row[3].split(":")[0].strip() for row in rows if len(row) > 3}


def run(command, cwd, seconds=1800):
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=seconds)
        return done.returncode, done.stdout
    except subprocess.TimeoutExpired as late:
        return -1, (late.stdout or b"").decode(errors="replace") if isinstance(late.stdout, bytes) else "hangs"


def noticed(name, output):
    """The test case or promise that noticed, from what the test program printed."""
    promise = re.search(r"^([A-Z]\d+): ", output, re.M)
    if name == "faults.worlds":
        must = re.search(r"MUST\((.*?)\)", output)
        return promise.group(1) if promise else "an invariant of the core" if must else "broke off"
    cases = [case for case in output.split("TEST CASE:")[1:] if "ERROR" in case] or output.split("TEST CASE:")[1:]
    if cases:
        return cases[0].strip().split("\n")[0]
    story = re.search(r"([a-z_]+)\.txt", output)
    return story.group(1) if story else "broke off"


def find_program(build, target):
    found = [p for p in build.rglob(target) if p.is_file() and os.access(p, os.X_OK)]
    if not found:
        sys.exit(f"mutants: {target} was not built")
    return found[0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true", help="only see that each bug still finds its line, once")
    parser.add_argument("--resume", action="store_true", help="go on after an interrupted run")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--build", default=str(ROOT / "build/mutants"))
    arguments = parser.parse_args()
    if arguments.check:
        astray = [f"{name}: its line is found {count} times in {path}" for name, _, path, old, _ in mutants()
                  if (count := (ROOT / path).read_text().count(old)) != 1]
        sys.exit("\n".join(astray) or 0)
    base = pathlib.Path(arguments.build)
    tree, build = base / "tree", base / "build"
    tree.mkdir(parents=True, exist_ok=True)
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, text=True, capture_output=True, check=True).stdout.split("\n")
    for name in filter(None, files):
        source, target = ROOT / name, tree / name
        if not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_bytes() != source.read_bytes():
            shutil.copy(source, target)
    if not (build / "build.ninja").exists():
        code, output = run(["cmake", "-S", str(tree), "-B", str(build), "-G", "Ninja", "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1 -w"], tree)
        if code != 0:
            sys.exit(output)
    def built(target):
        return run(["ninja", "-C", str(build), target], tree)

    def catch(first=""):
        """Who notices what is planted now: (test, what it printed), or None; or the compiler's complaint as a string."""
        for catcher, target, options, seconds in sorted(CATCHERS, key=lambda c: c[0] != first):
            code, output = built(target)
            if code != 0:
                return output
            code, output = run([str(find_program(build, target)), *options], tree, seconds)
            if code != 0:
                return f"{catcher}: {noticed(catcher, output) if code != -1 else 'hangs'}", output
        return None

    known = base / "results.json"
    results = json.loads(known.read_text()) if arguments.resume and known.exists() else {}
    if not results:
        without = catch()
        if without is not None:
            sys.exit(f"mutants: without any bug: {without if isinstance(without, str) else without[0]}")
        results[""] = "nothing is noticed without a bug"
        known.write_text(json.dumps(results))
    before = noticed_before()
    for name, what, path, old, new in mutants():
        if (arguments.only and name not in arguments.only) or name in results:
            continue
        file = tree / path
        text = file.read_text()
        if text.count(old) != 1:
            sys.exit(f"mutants: {name}: its line is found {text.count(old)} times in {path}")
        begin = time.monotonic()
        file.write_text(text.replace(old, new))
        try:
            caught = catch(before.get(name) or "unit." + pathlib.PurePath(path).parts[1])
        finally:
            file.write_text(text)
        if isinstance(caught, str):
            sys.exit(f"mutants: {name} does not build\n{caught[-2000:]}")
        results[name] = caught[0] if caught else ""
        known.write_text(json.dumps(results))
        print(f"{name}: {results[name] or 'SURVIVED'} ({time.monotonic() - begin:.0f} s)", flush=True)
    rows = [(name, what, results[name]) for name, what, _, _, _ in mutants() if name in results]
    survivors = [name for name, _, by in rows if not by]
    if arguments.write and not arguments.only:
        page = ROOT / "docs/testing.md"
        table = "| bug | what is wrong | noticed first by |\n|---|---|---|\n" + "".join(f"| {n} | {w} | {b.replace('|', '/') or 'nothing'} |\n" for n, w, b in rows)
        text = page.read_text()
        page.write_text(re.sub(r"(<!-- mutants -->\n).*?(<!-- end -->)", lambda m: m.group(1) + table + m.group(2), text, flags=re.S))
    print(f"{len(rows)} bugs, {len(rows) - len(survivors)} caught" + (f"; survived: {', '.join(survivors)}" if survivors else ""))
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
