#!/usr/bin/env python3
"""Keeps documents and comments true. `docs.py [NEXUS]` checks, and prints what is wrong:

  links        relative links and their anchors; repository paths in back quotes; `make` targets; verbs of nexus
  references   files named in comments exist; clauses named as "contract C5" exist
  settings     docs/settings.md is what `nexus config keys --markdown` prints
  commands     docs/commands.md is what `nexus manual --markdown` prints; `docs.py --commands NEXUS` writes it
  contract     each clause of docs/contract.md names tests that exist, and no test of a clause is unnamed
  tests        test cases named in docs/testing.md exist
  width        no line of a document has more than 120 characters, but for tables and what cannot be broken
  tables       aligned comments are not broken in the middle of a row, as a formatter once did

`docs.py --wrap FILE...` breaks the paragraphs of documents anew where a line is too long."""
import os
import pathlib
import re
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIDTH = 120
MADE = "docs/commands.md"  # from the program's own examples
ITEM = re.compile(r"^(\s*)([-*+]|\d+[.)])\s+")
# Named in comments and documents, but not ours: made by a build, by the user, or of the system.
FOREIGN = {"sysexits.h", "greeter.cc", "nexus.pb.h", "nexus.grpc.pb.h", "journal_vN.txt", "x.md", "limits.toml", "nexus.toml"}
CLAUSES = {f"C{n}" for n in [*range(1, 10), *range(11, 18), *range(19, 26)]}  # promised on the embedded store
CLAUSES_NAMED = CLAUSES | {"C10", "C18"}


def tracked(*patterns):
    out = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns], cwd=ROOT, text=True,
                         capture_output=True, check=True).stdout
    return [name for name in out.splitlines() if (ROOT / name).exists()]


def prose(text):
    """(number, line) of each line that is neither in a fenced nor in an indented block."""
    fenced = False
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif not fenced:
            yield number, line


def wrap(text):
    """Paragraphs and list items with a line that is too long are broken anew; all else stays as it is."""
    out, paragraph, fenced = [], [], False

    def flush():
        if not paragraph:
            return
        if any(len(line) > WIDTH for line in paragraph):
            item = ITEM.match(paragraph[0])
            first = item.group(0) if item else re.match(r"\s*", paragraph[0]).group(0)
            # A short span in back quotes stays on one line.
            words = " ".join(line.strip() for line in paragraph)
            words = re.sub(r"`[^`]*`", lambda m: m.group(0).replace(" ", "\0" if len(m.group(0)) < 60 else " "), words)
            words = words[len(first.strip()):].strip() if item else words
            words = re.sub(r" (?=(?:[-*+]|\d+[.)])\s)", "\0", words)  # what would begin a list stays with the word before it
            lines = textwrap.wrap(words, WIDTH - len(first), break_long_words=False, break_on_hyphens=False)
            rest = " " * len(first) if item else first
            out.extend((first if i == 0 else rest) + line.replace("\0", " ") for i, line in enumerate(lines))
        else:
            out.extend(paragraph)
        paragraph.clear()

    for line in text.split("\n"):
        if line.lstrip().startswith("```"):
            flush()
            fenced = not fenced
            out.append(line)
        elif fenced or not line.strip() or line.startswith(("    ", "|", "#", "<", "![", "\t")) and not paragraph:
            flush()
            out.append(line)
        elif line.startswith(("#", "<!--")) or line.lstrip().startswith("|"):
            flush()
            out.append(line)
        else:
            if ITEM.match(line):
                flush()
            paragraph.append(line)
    flush()
    return "\n".join(out)


def anchors(page):
    heads = [re.sub(r"[`*]", "", line.lstrip("#").strip()).lower() for _, line in prose(page) if line.startswith("#")]
    return {re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", head)) for head in heads}


def commands_page(nexus):
    made = subprocess.run([nexus, "manual", "--markdown"], text=True, capture_output=True, check=True).stdout
    return ("# Commands\n\nEvery verb with its arguments and flags, made from the program by `tools/docs.py --commands`; a check compares\n"
            "the two. How to work with them is in [cli.md](cli.md).\n\n" + made)


def check_links(name, page, targets, verbs, top):
    folder = (ROOT / name).parent
    for link, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)]*))?\)", page):
        if "://" in link or link.startswith("mailto:"):
            continue
        target = folder / link if link else ROOT / name
        if not target.exists():
            yield f"{name}: link to {link}, which does not exist"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target.read_text()):
            yield f"{name}: link to {link}#{anchor}, a section that does not exist"
    for path in re.findall(r"`([A-Za-z0-9_.-]+/[A-Za-z0-9_./-]+)`", page):
        known = path.split("/")[0] in top and "*" not in path and "…" not in path and not path.startswith(("bin/", "build"))
        if known and not (ROOT / path.rstrip("/")).exists():
            yield f"{name}: `{path}` does not exist"
    for target in re.findall(r"^\s*(?:\$ )?make ([a-z-]+)", page, re.M):
        if target not in targets:
            yield f"{name}: `make {target}` is not a target"
    for verb in re.findall(r"^\s*(?:\$ )?(?:bin/)?nexus ([a-z][a-z-]*)", page, re.M):
        if verbs is not None and verb not in verbs:
            yield f"{name}: `nexus {verb}` is not a verb"


def check_width(name, page):
    for number, line in enumerate(page.split("\n"), 1):
        unbroken = line.lstrip().startswith("|") or max((len(word) for word in line.split()), default=0) > WIDTH - 8
        if len(line) > WIDTH and not unbroken:
            yield f"{name}:{number}: {len(line)} characters, at most {WIDTH} (tools/docs.py --wrap {name})"


def remark_of(name, line):
    """What a line says to people."""
    if name.endswith(".md"):
        return line
    found = re.search(r"#(.*)$" if name.endswith((".py", ".sh", ".cmake", ".txt")) else r"//(.*)$", line)
    return found.group(1) if found else ""


def check_references(name, page, names, bases):
    for number, line in enumerate(page.split("\n"), 1):
        remark = remark_of(name, line)
        for path in re.findall(r"(?<![\w./*-])((?:[\w.-]+/)*[\w.-]+\.(?:cc|h|md|py|txt|sh|proto|cmake|js|css|html))(?![\w/])", remark):
            base = os.path.basename(path)
            path = path.removeprefix("../")
            there = base in FOREIGN or (base in bases if "/" not in path else any(x == path or x.endswith("/" + path) for x in names))
            if not there:
                yield f"{name}:{number}: names {path}, which does not exist"
        for clause in re.findall(r"\bcontract (C\d+)", remark):
            if clause not in CLAUSES_NAMED:
                yield f"{name}:{number}: names the clause {clause}, which docs/contract.md does not have"
        if re.search(r"\bcontract section \d", remark):
            yield f"{name}:{number}: docs/contract.md has clauses, not sections"


def check_tables(name, page):
    """A row's last word pushed under its key, or the next key joined to it."""
    lines = [re.match(r"^\s*//(.*)$", line) for line in page.split("\n")]
    text = [found.group(1) if found else None for found in lines]
    indent = [len(t) - len(t.lstrip()) if t is not None else 0 for t in text]
    row = re.compile(r"\S {2,}\S")
    for i in range(1, len(text) - 1):
        if text[i] is None or text[i - 1] is None:
            continue
        pushed = (text[i + 1] is not None and indent[i] <= 4 and indent[i + 1] >= indent[i] + 6 and not row.search(text[i])
                  and (row.search(text[i - 1]) or indent[i - 1] >= 8))
        column = [len(m.group(1)) if (m := re.match(r"( +\S.*? {2,})\S", t)) else len(t) - len(t.lstrip()) for t in text[i - 1:i + 1]]
        joined = re.match(r" {1,4}[a-z]+[^ ]* [A-Z][A-Za-z]* {2,}\S", text[i]) and column[0] != column[1]
        if pushed or joined:
            yield f"{name}:{i + 1}: a broken row of an aligned comment: {text[i].strip()}"


def titles_of(pattern):
    text = "".join((ROOT / name).read_text() for name in tracked(pattern))
    return {re.sub(r'"\s*"', "", title) for title in re.findall(r'TEST_CASE\(\s*"((?:[^"\\]|\\.|"\s*")*)"', text)}


def check_contract():
    titles = {title for title in titles_of("test/contract/*_test.cc") if re.match(r"C\d+: ", title)}
    rows = re.findall(r"^\| (C\d+) [^|]*\|[^|]*\|([^|]*)\|$", (ROOT / "docs/contract.md").read_text(), re.M)
    for clause in sorted(CLAUSES - {clause for clause, _ in rows}):
        yield f"docs/contract.md: clause {clause} has no row with its test"
    for clause, cell in rows:
        named = re.findall(r"`([^`]+)`", cell)
        if not any(title.startswith(clause + ":") for title in named):
            yield f"docs/contract.md: clause {clause} names no test"
        for title in named:
            if title not in titles:
                yield f"docs/contract.md: clause {clause} names the test '{title}', which does not exist"
    named = {title for _, cell in rows for title in re.findall(r"`([^`]+)`", cell)}
    for title in sorted(titles - named):
        yield f"docs/contract.md: the test '{title}' is not named"


def check_named_tests():
    titles = titles_of("*_test.cc")
    for name in tracked("test/e2e/*.py"):
        titles |= set(re.findall(r"^    def (test_\w+)", (ROOT / name).read_text(), re.M))
    page = (ROOT / "docs/testing.md").read_text()
    section = page[page.index("## Bad input"):page.index("## Fuzz targets")]
    for title in re.findall(r"`([^`\n]+)`", section):
        if len(title) > 24 and not re.search(r"[/=]|--", title) and title not in titles:
            yield f"docs/testing.md: names the test '{title}', which does not exist"


def main():
    if sys.argv[1:2] == ["--wrap"]:
        for name in sys.argv[2:]:
            path = pathlib.Path(name)
            path.write_text(wrap(path.read_text()))
        return 0
    if sys.argv[1:2] == ["--commands"]:
        (ROOT / "docs/commands.md").write_text(commands_page(sys.argv[2]))
        return 0
    nexus = sys.argv[1] if len(sys.argv) > 1 else None
    problems = []
    verbs = None
    if nexus:
        text = subprocess.run([nexus, "--help"], text=True, capture_output=True, check=True).stdout
        verbs = set(re.findall(r"^  ([a-z][a-z-]*)\s", text, re.M))
        if len(verbs) < 5:
            sys.exit("docs: could not read the verbs from `nexus --help`")
        settings = subprocess.run([nexus, "config", "keys", "--markdown"], text=True, capture_output=True, check=True).stdout
        if not (ROOT / "docs/settings.md").read_text().endswith("\n\n" + settings):
            problems.append("docs/settings.md: its tables are not what `nexus config keys --markdown` prints")
        if (ROOT / "docs/commands.md").read_text() != commands_page(nexus):
            problems.append("docs/commands.md: not what `nexus manual --markdown` prints (tools/docs.py --commands NEXUS)")
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    top = {p.name for p in ROOT.iterdir()}
    names = tracked()
    bases = {os.path.basename(name) for name in names}
    for name in tracked("*.md"):
        page = (ROOT / name).read_text()
        problems += check_links(name, page, targets, verbs, top)
        if name != MADE:
            problems += check_width(name, page)
    for name in tracked("*.md", "*.h", "*.cc", "*.proto", "*.js", "*.py", "*.sh", "*.cmake", "*CMakeLists.txt"):
        page = (ROOT / name).read_text()
        if name != MADE:
            problems += check_references(name, page, names, bases)
        if name.endswith((".h", ".cc", ".proto")):
            problems += check_tables(name, page)
    if "ReflowComments: false" not in (ROOT / ".clang-format").read_text():
        problems.append(".clang-format: ReflowComments must be false: a formatter breaks aligned comments")
    problems += check_contract()
    problems += check_named_tests()
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
