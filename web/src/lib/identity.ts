// Who looks, and what they may do. A server without identity asks nobody: then everything is allowed.

import { get, pathOf, session, signedOut } from "./api.ts";
import { Cell } from "./cell.ts";
import type { Identity } from "./wire.ts";

export { type Role, may, rolesOf, seesFleet } from "./roles.ts";

export const me = new Cell<Identity | null>(null);

export async function learnWho(): Promise<void> {
  try {
    me.set(await get(pathOf("/v1/whoami", {})));
    signedOut.set(false);
  } catch {
    me.set(null);
  }
}

export async function signOut(): Promise<void> {
  await session().catch(() => undefined);
  await learnWho();
}
