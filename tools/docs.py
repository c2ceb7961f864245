#!/usr/bin/env python3
"""Keeps the documents true: every relative link and every repository path named in back quotes exists, every `make` target
and every `nexus VERB` a document tells the reader to type exists, no line names a machine-local path, and each clause of
docs/contract.md names tests that exist."""
import pathlib
import re
import subprocess
import sys

root = pathlib.Path(__file__).resolve().parent.parent
nexus = sys.argv[1] if len(sys.argv) > 1 else None
files = [p for p in subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"], cwd=root, text=True,
                                   capture_output=True, check=True).stdout.split() if (root / p).exists()]
targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.M))
top = {p.name for p in root.iterdir()}
verbs = None
if nexus:
    text = subprocess.run([nexus, "--help"], text=True, capture_output=True, check=True).stdout
    verbs = set(re.findall(r"^  ([a-z][a-z-]*)\s", text, re.M))
    if len(verbs) < 5:
        sys.exit("docs: could not read the verbs from `nexus --help`")
problems = []
if nexus:
    settings = subprocess.run([nexus, "config", "keys", "--markdown"], text=True, capture_output=True, check=True).stdout
    if not (root / "docs/settings.md").read_text().endswith("\n\n" + settings):
        problems.append("docs/settings.md: differs from `nexus config keys --markdown`: replace its tables by that output")
for name in files:
    page = (root / name).read_text()
    folder = (root / name).parent
    for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page):
        if "://" not in link and not link.startswith("mailto:") and not (folder / link).exists():
            problems.append(f"{name}: link to {link}, which does not exist")
    for path in re.findall(r"`([A-Za-z0-9_.-]+/[A-Za-z0-9_./-]+)`", page):
        if path.split("/")[0] in top and "*" not in path and "…" not in path and not (root / path.rstrip("/")).exists() and not path.startswith(("bin/", "build")):
            problems.append(f"{name}: `{path}` does not exist")
    for target in re.findall(r"^\s*(?:\$ )?make ([a-z-]+)", page, re.M):
        if target not in targets:
            problems.append(f"{name}: `make {target}` is not a target")
    for verb in re.findall(r"^\s*(?:\$ )?(?:bin/)?nexus ([a-z][a-z-]*)", page, re.M):
        if verbs is not None and verb not in verbs:
            problems.append(f"{name}: `nexus {verb}` is not a verb")
# The clauses promised on the embedded store, and the tests that the page says show them.
clauses = {f"C{n}" for n in [*range(1, 10), *range(11, 18), *range(20, 26)]}
titles = set()
for test in (root / "test/contract").glob("*_test.cc"):
    titles |= set(re.findall(r'TEST_CASE\(\s*"(C\d+: [^"]+)"', test.read_text()))
rows = re.findall(r"^\| (C\d+) [^|]*\|[^|]*\|([^|]*)\|$", (root / "docs/contract.md").read_text(), re.M)
for clause in sorted(clauses - {clause for clause, _ in rows}):
    problems.append(f"docs/contract.md: clause {clause} has no row with its test")
for clause, cell in rows:
    named = re.findall(r"`([^`]+)`", cell)
    if not any(title.startswith(clause + ":") for title in named):
        problems.append(f"docs/contract.md: clause {clause} names no test")
    for title in named:
        if title not in titles:
            problems.append(f"docs/contract.md: clause {clause} names the test '{title}', which does not exist")
named = {title for _, cell in rows for title in re.findall(r"`([^`]+)`", cell)}
for title in sorted(titles - named):
    problems.append(f"docs/contract.md: the test '{title}' is not named")
for problem in problems:
    print(problem)
sys.exit(1 if problems else 0)
