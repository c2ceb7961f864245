// What a tenant got of the slots, against what is its share.

import { count, num, share } from "../lib/format.ts";
import { link } from "../lib/router.ts";
import type { Limit, Tenant } from "../lib/wire.ts";
import { Bar, Name, Panel, Scroll, Until } from "./parts.tsx";

// A bar of what it got; a mark where its share ends. `most` is the whole width.
export function GotBar({ tenant, most }: { tenant: Tenant; most: number }) {
  const at = (value: number) => `${Math.min(100, (100 * value) / most)}%`;
  return <span class="bar marked" aria-hidden="true"><i style={{ width: at(tenant.got_15m) }} />{tenant.entitled > 0 && <u style={{ left: at(tenant.entitled) }} />}</span>;
}

export function GotShare({ tenant, most }: { tenant: Tenant; most: number }) {
  return (
    <a class="got" href={link("tenants", tenant.name)}>
      <span class="clip"><Name>{tenant.name}</Name></span><GotBar tenant={tenant} most={most} />
      <span class="nowrap"><b>{share(tenant.got_15m)}</b>{tenant.entitled > 0 ? ` of ${share(tenant.entitled)}` : ", wants nothing"}</span>
    </a>
  );
}

const LAG = 0.02;

// Whether it got more or less than its share lately, in words.
export function leads(tenant: Tenant): string {
  if (tenant.entitled <= 0) return "wants nothing now";
  const off = tenant.got_15m - tenant.entitled;
  if (Math.abs(off) < LAG) return "as much as is its own";
  return `${share(Math.abs(off))} ${off > 0 ? "more" : "less"} than its own`;
}

export function TenantTable({ tenants }: { tenants: readonly Tenant[] }) {
  const most = Math.max(0.01, ...tenants.map((each) => Math.max(each.got_15m, each.entitled)));
  const sorted = [...tenants].sort((a, b) => b.got_15m - a.got_15m || (a.name < b.name ? -1 : 1));
  return (
    <Panel title="Tenants" sub="share of slot time got in the last 15 min; the mark is what is theirs" class="c12">
      <Scroll label="Tenants" flush>
        <table>
          <thead><tr><th>Tenant</th><th>Got</th><th class="num">15 min</th><th class="num opt">24 h</th><th class="num">Its own</th><th class="num opt">Weight</th><th>That is</th><th class="num">Waiting</th><th class="num">Running</th></tr></thead>
          <tbody>{sorted.map((each) => (
            <tr key={each.name}>
              <td><a href={link("tenants", each.name)}><Name>{each.name}</Name></a></td><td style={{ width: "24%" }}><GotBar tenant={each} most={most} /></td>
              <td class="num">{share(each.got_15m)}</td><td class="num opt">{share(each.got_24h)}</td><td class="num">{each.entitled > 0 ? share(each.entitled) : "–"}</td><td class="num opt">{each.weight}</td>
              <td class={each.entitled > 0 && each.entitled - each.got_15m > LAG && num(each.waiting) > 0 ? "warn" : "faint"}>{leads(each)}</td>
              <td class="num">{count(num(each.waiting))}</td><td class="num">{count(num(each.running))}{num(each.running_max) > 0 && <span class="faint"> of {count(num(each.running_max))}</span>}</td>
            </tr>
          ))}</tbody>
        </table>
      </Scroll>
    </Panel>
  );
}

const LIMITS: Record<string, string> = { concurrency: "at once, by key", rate: "starts a second, by key", ordering: "one at a time, by key", queue: "of a queue", tenant: "of a tenant", type: "of a type" };
const LIMITS_MAX = 50;

export function LimitTable({ limits }: { limits: readonly Limit[] }) {
  return (
    <Panel title="Limits" sub={limits.length > LIMITS_MAX ? `${LIMITS_MAX} of ${count(limits.length)}, most waiting first` : "those that are in use, most waiting first"} class="c12">
      {limits.length === 0 ? <p class="faint small">No limit is in use.</p> : (
        <Scroll label="Limits" flush>
          <table>
            <thead><tr><th>Limit</th><th>Key</th><th>Tenant</th><th>Used</th><th class="num">of</th><th class="num">Waiting for it</th><th class="num">Next start</th></tr></thead>
            <tbody>{limits.slice(0, LIMITS_MAX).map((each) => {
              const [used, max] = [num(each.used), num(each.max)];
              return (
                <tr key={`${each.kind} ${each.key} ${each.tenant ?? ""}`}>
                  <td>{each.kind} <span class="faint opt">{LIMITS[each.kind] ?? ""}</span></td><td class="mono"><Name>{each.key}</Name></td><td>{each.tenant ? <a href={link("tenants", each.tenant)}><Name>{each.tenant}</Name></a> : "–"}</td>
                  <td style={{ width: "22%" }}>{max > 0 ? <Bar share={used / max} kind={used >= max ? "wait" : ""} /> : ""}</td><td class="num">{max > 0 ? `${count(used)} of ${count(max)}` : count(used)}</td>
                  <td class="num">{count(num(each.waiting))}</td><td class="num"><Until us={num(each.next_unix_us)} /></td>
                </tr>
              );
            })}</tbody>
          </table>
        </Scroll>
      )}
    </Panel>
  );
}
