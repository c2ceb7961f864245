import assert from "node:assert/strict";
import { test } from "node:test";
import { type Fleet, follow, workersOf } from "../src/lib/columns.ts";
import { Events, topicOf, union } from "../src/lib/stream.ts";

test("events are cut where they end, however they arrive", () => {
  const text = "retry: 1000\n\nid: b-1\nevent: status\ndata: {\"a\": 1}\n\n: still here\n\nid: b-2\nevent: fleet\ndata: {}\n\n";
  const told = [{ event: "status", data: "{\"a\": 1}", id: "b-1" }, { event: "fleet", data: "{}", id: "b-2" }];
  assert.deepEqual(new Events().take(text), told);
  const slow = new Events();
  assert.deepEqual([...text].flatMap((each) => slow.take(each)), told);
  assert.deepEqual(new Events().take("event: task:1\ndata: x"), []);
});

test("the topic of a path, or none", () => {
  assert.equal(topicOf("v1/queues"), "queues");
  assert.equal(topicOf("v1/tasks?limit=100"), "tasks");
  assert.equal(topicOf("v1/tasks?state=waiting%2Crunning&type=thumb&limit=50"), "tasks(state=waiting|running,type=thumb)");
  assert.equal(topicOf("v1/tasks?search=a%2Cb)"), null, "what would need quotes is asked for");
  assert.equal(topicOf("v1/tasks/01a2"), "task:01a2");
  assert.equal(topicOf("v1/workers/gpu-a.7"), "worker:gpu-a.7");
  assert.equal(topicOf("v1/workers/%3Cimg%3E"), null);
  assert.equal(topicOf("v1/tasks/01a2?result=true"), null);
  assert.equal(topicOf("v1/tasks/01a2/explain"), null);
  assert.equal(topicOf("v1/limits"), null);
  assert.equal(topicOf("readyz?verbose"), null);
});

test("a stream takes sixteen topics, the own first", () => {
  const many = Array.from({ length: 30 }, (_, i) => `task:${i}`);
  assert.deepEqual(union([["status", "types"], ["status", "queues"]]), ["status", "types", "queues"]);
  assert.deepEqual(union([["status"], many]), ["status", ...many.slice(0, 15)]);
});

const columns = (names: string[]) => ({ name: names, labels: names.map(() => ({ zone: "a" })), hostname: names.map(() => "h"), state: names.map(() => 1), breaker: names.map(() => 0), slots: names.map(() => 4), running: names.map(() => 1), used: names.map(() => 50), speed: names.map(() => 100), failures: names.map(() => 0) });
const first = follow(undefined, { version: 7, full: true, columns: columns(["w1", "w2"]) }) as Fleet;

test("the fleet follows what changed, and nothing else becomes another object", () => {
  const [w1, w2] = first.rows;
  assert.deepEqual(w1, { name: "w1", labels: { zone: "a" }, hostname: "h", state: "WORKER_STATE_READY", breaker: "closed", slots: 4, running: 1, utilization: 0.5, speed: 1, failures: 0, done: 0, cpu: 0, memory: 0 });
  const next = follow(first, { version: 8, since: 7, added: columns(["w3"]), gone: [0], changes: { running: [[1, 2], [3, 4]], state: [[1], [5]], breaker: [[2], [2]] } }) as Fleet;
  assert.deepEqual(workersOf(next).map((each) => [each.name, each.running, each.state, each.breaker]), [["w2", 3, "WORKER_STATE_DRAINING", "closed"], ["w3", 4, "WORKER_STATE_READY", "probing"]]);
  assert.equal(first.rows[1], w2);
  assert.equal(w2?.running, 1, "what was shown stays as it was");
  const still = follow(next, { version: 9, since: 8, changes: { running: [[2], [0]] } }) as Fleet;
  assert.equal(still.rows[1], next.rows[1]);
});

test("a frame that is doubled changes nothing, one after a gap needs a whole one", () => {
  assert.equal(follow(first, { version: 7, since: 6, changes: { running: [[0], [9]] } }), first);
  assert.equal(follow(first, { version: 9, since: 8, changes: {} }), null);
  assert.equal(follow(undefined, { version: 8, since: 7 }), null);
  assert.equal((follow(first, { version: 3, full: true, columns: columns(["w9"]) }) as Fleet).rows.length, 1);
});
