// What a caller may do, by the roles that the server tells. Pure.

import type { Identity } from "./wire.ts";

export type Role = "viewer" | "payload:read" | "submitter" | "worker" | "operator" | "admin";

// As they are granted and refused: "viewer", "payload:read", "submitter".
export function rolesOf(identity: Identity): Role[] {
  return (identity.roles ?? []).map((each) => each.replace("ROLE_NAME_", "").toLowerCase().replace("payload_read", "payload:read") as Role);
}
// The server tells what roles bring along; none brings all: who is admin alone may not drain a worker.
export function may(identity: Identity | null, role: Role): boolean {
  return identity === null || identity.open || rolesOf(identity).includes(role);
}
// Workers, types, status and the stream are of the whole fleet, which is not for who is bound to a tenant.
export function seesFleet(identity: Identity | null): boolean {
  return identity === null || identity.open || (identity.tenant === "" && may(identity, "viewer"));
}
