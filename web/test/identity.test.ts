import assert from "node:assert/strict";
import { test } from "node:test";
import { checksOf, isInsecure } from "../src/lib/checks.ts";
import { may, rolesOf, seesFleet } from "../src/lib/roles.ts";
import type { Identity } from "../src/lib/wire.ts";

// As GET /v1/whoami answers.
const told = (roles: string[], more: Partial<Identity> = {}): Identity =>
  ({ name: "mira", roles: roles.map((each) => `ROLE_NAME_${each}`) as Identity["roles"], tenant: "", how: "token", token_id: "80bae50664", expires_unix_us: "0", open: false, ...more });

test("who may do what", () => {
  const operator = told(["VIEWER", "OPERATOR"]);
  assert.deepEqual(rolesOf(told(["PAYLOAD_READ", "SUBMITTER"])), ["payload:read", "submitter"]);
  assert.equal(may(operator, "operator"), true);
  assert.equal(may(operator, "admin"), false);
  assert.equal(may(told(["VIEWER", "ADMIN"]), "operator"), false, "an admin who is not an operator may not drain");
  assert.equal(may(null, "admin"), true, "a server without identity asks nobody");
  assert.equal(may(told([], { open: true }), "admin"), true);
  assert.equal(may({ ...told([]), roles: undefined }, "viewer"), false);
});

test("who sees the whole fleet", () => {
  assert.equal(seesFleet(told(["VIEWER"])), true);
  assert.equal(seesFleet(told(["VIEWER", "SUBMITTER"], { tenant: "acme" })), false);
  assert.equal(seesFleet(told(["WORKER"])), false);
  assert.equal(seesFleet(null), true);
});

test("checks of the server", () => {
  const text = "[!] insecure: reachable from outside without TLS\n[+] store: it takes what is written\n[-] disk: 12 MB are free\nnot ready: 12 MB are free\n";
  assert.deepEqual(checksOf(text).map((each) => [each.mark, each.name]), [["warn", "insecure"], ["good", "store"], ["bad", "disk"]]);
  assert.equal(isInsecure(checksOf(text)), true);
  assert.equal(isInsecure(checksOf("[+] insecure: no\nok\n")), false);
  assert.deepEqual(checksOf("ok\n"), []);
});
