import assert from "node:assert/strict";
import { test } from "node:test";
import { DASH, about, bytes, count, duration, factor, num, plural, predicted, rate, share, short } from "../src/lib/format.ts";

const plain = (text: string) => text.replaceAll("\u202f", " ");
const [US, MS, S, MIN, H, D] = [1, 1e3, 1e6, 60e6, 3600e6, 86400e6];

test("durations", () => {
  const rows: [number, string][] = [
    [0, "0 s"], [0.4 * US, "0.4 µs"], [1, "1.0 µs"], [2.1, "2.1 µs"], [9.94, "9.9 µs"], [9.96, "10 µs"], [42, "42 µs"], [999, "999 µs"], [999.4, "999 µs"], [999.6, "1.0 ms"],
    [1 * MS, "1.0 ms"], [9.94 * MS, "9.9 ms"], [9.96 * MS, "10 ms"], [42 * MS, "42 ms"], [999 * MS, "999 ms"], [999.4 * MS, "999 ms"], [999.6 * MS, "1.0 s"],
    [1 * S, "1.0 s"], [4.1 * S, "4.1 s"], [9.94 * S, "9.9 s"], [9.96 * S, "10 s"], [41 * S, "41 s"], [59.4 * S, "59 s"], [59.6 * S, "1 min"],
    [60 * S, "1 min"], [61 * S, "1 min 1 s"], [119.4 * S, "1 min 59 s"], [119.6 * S, "2 min"], [134 * S, "2 min 14 s"], [599 * S, "9 min 59 s"], [599.6 * S, "10 min"], [10 * MIN, "10 min"],
    [14 * MIN, "14 min"], [14.6 * MIN, "15 min"], [59 * MIN, "59 min"], [59.4 * MIN, "59 min"], [59.6 * MIN, "1 h"], [1 * H, "1 h"], [H + MIN, "1 h 1 min"], [3 * H + 12 * MIN, "3 h 12 min"],
    [23 * H + 59 * MIN, "23 h 59 min"], [23 * H + 59.7 * MIN, "1 d"], [1 * D, "1 d"], [2 * D + 4 * H, "2 d 4 h"], [21 * D + 4 * H, "21 d 4 h"], [400 * D, "400 d"], [1e15, "11,574 d 2 h"],
    [-1, "−1.0 µs"], [-42 * MS, "−42 ms"], [-4.1 * S, "−4.1 s"], [-134 * S, "−2 min 14 s"], [-3 * H, "−3 h"], [NaN, DASH], [Infinity, DASH],
  ];
  for (const [us, text] of rows) assert.equal(plain(duration(us)), text, String(us));
});

test("what is predicted has two digits, and one unit beyond two minutes", () => {
  const rows: [number, string][] = [
    [15 * S, "15 s"], [119 * S, "1 min 59 s"], [120 * S, "2 min"], [134 * S, "2 min"], [150 * S, "3 min"], [14 * MIN, "14 min"], [99 * MIN, "99 min"], [100 * MIN, "2 h"], [25 * H, "25 h"], [47 * H, "47 h"],
    [48 * H, "2 d"], [10 * D, "10 d"], [-200 * S, "−3 min"], [0, "0 s"],
  ];
  for (const [us, text] of rows) assert.equal(plain(predicted(us)), text, String(us));
});

test("counts, badges, rates", () => {
  const counts: [number, string][] = [[0, "0"], [7, "7"], [999, "999"], [1000, "1,000"], [18402, "18,402"], [1e6, "1,000,000"], [-1234, "−1,234"], [1e15, "1,000,000,000,000,000"], [0.4, "0"], [2.5, "3"]];
  for (const [value, text] of counts) assert.equal(count(value), text);
  const shorts: [number, string][] = [[0, "0"], [940, "940"], [999, "999"], [999.6, "1k"], [1000, "1k"], [1200, "1.2k"], [9940, "9.9k"], [9960, "10k"], [18402, "18k"], [999_400, "999k"], [999_600, "1M"], [3_400_000, "3.4M"], [1e9, "1G"], [2e12, "2T"], [-1500, "−1.5k"]];
  for (const [value, text] of shorts) assert.equal(short(value), text);
  const rates: [number, string][] = [[0, "0/s"], [0.3, "0.3/s"], [9.94, "9.9/s"], [9.96, "10/s"], [12.4, "12/s"], [1905, "1,905/s"]];
  for (const [value, text] of rates) assert.equal(rate(value), text);
  const abouts: [number, string][] = [[0, "0"], [7, "7"], [12, "12"], [99, "99"], [101, "100"], [3912, "3,900"], [3950, "4,000"], [18402, "18,000"], [123456, "120,000"]];
  for (const [value, text] of abouts) assert.equal(about(value), text);
});

test("shares never cross their threshold by rounding", () => {
  const rows: [number, number, number | undefined, string][] = [
    [0, 0, undefined, "0 %"], [1, 0, undefined, "100 %"], [0.844, 0, undefined, "84 %"], [0.845, 0, undefined, "85 %"], [0.904, 1, undefined, "90.4 %"], [0.8996, 1, 0.9, "89.9 %"], [0.89999, 1, 0.9, "89.9 %"],
    [0.9, 1, 0.9, "90.0 %"], [0.90004, 1, 0.9, "90.1 %"], [0.8996, 0, 0.9, "89 %"], [0.9004, 0, 0.9, "91 %"], [0.95, 1, 0.9, "95.0 %"], [0.5, 1, 0.9, "50.0 %"], [-0.07, 0, undefined, "−7 %"], [NaN, 0, undefined, DASH],
  ];
  for (const [value, digits, threshold, text] of rows) assert.equal(plain(share(value, digits, threshold)), text, `${value} ${digits}`);
});

test("factors, bytes, words", () => {
  const factors: [number, string][] = [[1, "×1.00"], [1.04, "×1.04"], [4.1, "×4.10"], [9.994, "×9.99"], [9.996, "×10.0"], [41.23, "×41.2"], [0.5, "×0.50"]];
  for (const [value, text] of factors) assert.equal(factor(value), text);
  const sizes: [number, string][] = [[0, "0 B"], [412, "412 B"], [1023, "1023 B"], [1024, "1.0 KiB"], [10 * 1024, "10 KiB"], [1.5 * 1024 ** 2, "1.5 MiB"], [9.4 * 1024 ** 3, "9.4 GiB"], [1023.7 * 1024 ** 2, "1.0 GiB"], [5 * 1024 ** 4, "5.0 TiB"]];
  for (const [value, text] of sizes) assert.equal(plain(bytes(value)), text);
  assert.equal(plural(1, "task"), "1 task");
  assert.equal(plural(0, "task"), "0 tasks");
  assert.equal(plural(2, "process", "processes"), "2 processes");
  assert.equal(plural(18402, "task"), "18,402 tasks");
  assert.equal(num("18446744073709551615"), 18446744073709551615);
  assert.equal(num(undefined), 0);
});
