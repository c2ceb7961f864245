// Who looks, and what they may do. A server without identity asks nobody: then everything is allowed.

import { get, signedOut } from "./api.ts";
import { Cell } from "./cell.ts";
import type { Identity } from "./wire.ts";

export type Role = "viewer" | "payload_read" | "submitter" | "operator" | "admin";

export const me = new Cell<Identity | null>(null);

export async function learnWho(): Promise<void> {
  try {
    me.set(await get<Identity>("v1/whoami"));
    signedOut.set(false);
  } catch {
    me.set(null);
  }
}

export function rolesOf(identity: Identity): string[] {
  return (identity.roles ?? []).map((each) => each.replace("ROLE_NAME_", "").toLowerCase());
}
export function may(identity: Identity | null, role: Role): boolean {
  if (identity === null || identity.open) return true;
  const roles = rolesOf(identity);
  return roles.includes(role) || roles.includes("admin");
}
