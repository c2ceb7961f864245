import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, clock, iso, isoTitle, moment, predictedMoment, timeTicks, until } from "../src/lib/time.ts";

const at = (text: string) => Date.parse(text) * 1000;
const plain = (text: string) => text.replaceAll("\u202f", " ");

test("clock in zones: half and quarter hours, both changes of the clock, a leap day", () => {
  const rows: [string, string, string][] = [
    ["2026-10-13T03:14:22Z", "utc", "03:14:22"], ["2026-10-13T03:14:22Z", "Asia/Kathmandu", "08:59:22"], ["2026-10-13T03:14:22Z", "Pacific/Marquesas", "17:44:22"], ["2026-10-13T03:14:22Z", "Asia/Kolkata", "08:44:22"],
    ["2026-03-29T00:59:59Z", "Europe/Berlin", "01:59:59"], ["2026-03-29T01:00:00Z", "Europe/Berlin", "03:00:00"], ["2026-10-25T00:30:00Z", "Europe/Berlin", "02:30:00"], ["2026-10-25T01:30:00Z", "Europe/Berlin", "02:30:00"],
    ["2028-02-29T12:00:00Z", "utc", "12:00:00"], ["2026-12-31T23:59:59Z", "utc", "23:59:59"], ["2026-01-01T00:00:00Z", "utc", "00:00:00"], ["2026-10-13T03:14:22Z", "America/St_Johns", "00:44:22"], ["1970-01-01T00:00:00Z", "utc", "00:00:00"],
  ];
  for (const [when, zone, text] of rows) assert.equal(clock(at(when), zone), text, `${when} ${zone}`);
  assert.equal(clock(at("2026-10-13T03:14:22Z"), "utc", false), "03:14");
});

test("moments: today, another day, another year", () => {
  const now = at("2026-10-14T03:14:22Z");
  const rows: [string, string, string][] = [
    ["2026-10-14T03:14:20Z", "utc", "03:14:20"], ["2026-10-13T22:10:00Z", "utc", "13 Oct 22:10"], ["2025-10-13T22:10:00Z", "utc", "13 Oct 2025 22:10"], ["2026-10-13T22:10:00Z", "Asia/Kathmandu", "03:55:00"],
    ["2028-02-29T06:00:00Z", "utc", "29 Feb 2028 06:00"], ["2026-12-31T23:30:00Z", "Europe/Berlin", "1 Jan 2027 00:30"],
  ];
  for (const [when, zone, text] of rows) assert.equal(moment(at(when), now, zone), text, when);
  assert.equal(predictedMoment(now + 5e6, now, "utc"), "03:14:27");
  assert.equal(predictedMoment(now + 3600e6, now, "utc"), "04:14");
  assert.equal(predictedMoment(now + 86400e6, now, "utc"), "15 Oct 03:14");
});

test("relative times and ISO", () => {
  const now = at("2026-10-14T03:14:22Z");
  assert.equal(ago(now, now), "now");
  assert.equal(plain(ago(now - 240e6, now)), "4 min ago");
  assert.equal(plain(until(now + 15e6, now)), "in 15 s");
  assert.equal(until(now - 1, now), "any moment");
  assert.equal(plain(until(now + 9960e6, now)), "in 3 h");
  assert.equal(iso(now), "2026-10-14T03:14:22.000Z");
  assert.equal(isoTitle(now), "2026-10-14 03:14:22.000 UTC");
});

test("ticks are round, and not more than there is room for", () => {
  assert.deepEqual(timeTicks(0, 60e6, 4), [0, 15e6, 30e6, 45e6, 60e6]);
  for (const span of [1, 7, 90, 3600, 86400, 1e6])
    for (const places of [1, 4, 9]) assert.ok(timeTicks(123e6, 123e6 + span * 1e6, places).length <= places + 1, `${span} ${places}`);
});
