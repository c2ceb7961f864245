import assert from "node:assert/strict";
import { test } from "node:test";
import { PARAMETERS, type PageName, parse, write } from "../src/lib/url.ts";
import { filterFrom, filterText, listQuery } from "../src/lib/tasklist.ts";

test("paths lead to pages", () => {
  const rows: [string, PageName, string, boolean][] = [
    ["", "overview", "", true], ["index.html", "overview", "", true], ["fleet", "fleet", "", true], ["workers/gpu-a-007", "workers", "gpu-a-007", true], ["tasks/01a2", "tasks", "01a2", true], ["types/a%3Ab", "types", "a:b", true],
    ["decisions/41", "decisions", "41", true], ["fleet/x", "overview", "", false], ["nothing", "overview", "", false], ["tasks/a/b", "overview", "", false], ["types/%E0%A4%A", "types", "%E0%A4%A", true],
  ];
  for (const [path, page, name, known] of rows) {
    const parsed = parse(path, "");
    assert.deepEqual([parsed.place.page, parsed.place.name, parsed.known], [page, name, known], path);
  }
});

test("unknown parameters are told, those of every page are kept", () => {
  const parsed = parse("fleet", "?q=zone%3Da&colour=red&theme=dark&tz=local");
  assert.deepEqual(parsed.place.query, { q: "zone=a", theme: "dark", tz: "local" });
  assert.deepEqual(parsed.ignored, ["colour"]);
});

test("what is written is read again: any page, name and value", () => {
  let seed = 7;
  const next = (n: number) => (seed = (seed * 48271) % 2147483647) % n;
  const letters = "ab:._-/?&=%# +é\u202e<>\"'";
  const word = () => Array.from({ length: 1 + next(6) }, () => letters[next(letters.length)]).join("");
  const named = ["workers", "tasks", "types", "queues", "tenants", "decisions"];
  for (let i = 0; i < 2000; ++i) {
    const page = Object.keys(PARAMETERS)[next(Object.keys(PARAMETERS).length)] as PageName;
    const query: Record<string, string> = {};
    for (const key of [...PARAMETERS[page], "tz"]) if (next(2)) query[key] = word();
    const place = { page, name: named.includes(page) && next(2) ? word() : "", query };
    const [path, search = ""] = split(write(place));
    assert.deepEqual(parse(path, search).place, place, write(place));
  }
});
function split(url: string): [string, string?] {
  const at = url.indexOf("?");
  return at < 0 ? [url] : [url.slice(0, at), url.slice(at)];
}

test("the filter of tasks is words and a query", () => {
  assert.deepEqual(filterFrom("state=waiting type=thumb some text"), { state: "waiting", type: "thumb", q: "some text" });
  assert.equal(filterText({ q: "some text", type: "thumb", state: "waiting" }), "state=waiting type=thumb some text");
  assert.deepEqual(filterFrom("colour=red"), { q: "colour=red" });
  assert.equal(listQuery({ state: "waiting,asleep", from: "2026-10-14T00:00:00Z" }).state, "waiting");
  assert.equal(listQuery({ from: "2026-10-14T00:00:00Z" }).submitted_from_unix_us, String(Date.parse("2026-10-14T00:00:00Z") * 1000));
  assert.equal(listQuery({ from: "yesterday" }).submitted_from_unix_us, undefined);
});
