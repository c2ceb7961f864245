// Which page is shown. Each comes as a file of its own, when it is first wanted.

import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { signedOut } from "./lib/api.ts";
import { useCell } from "./lib/cell.ts";
import { me, rolesOf, seesFleet } from "./lib/identity.ts";
import { link, route } from "./lib/router.ts";
import type { PageName, Place } from "./lib/url.ts";
import { Frame } from "./ui/frame.tsx";
import { Skeleton } from "./ui/states.tsx";
import type { Identity } from "./lib/wire.ts";
import { Name, Verdict, visible } from "./ui/parts.tsx";

export type PageProps = { place: Place };
type Loaded = { default: ComponentType<PageProps> };

const PAGES: Record<PageName, () => Promise<Loaded>> = {
  overview: () => import("./pages/overview.tsx"),
  fleet: () => import("./pages/fleet.tsx"),
  workers: () => import("./pages/worker.tsx"),
  tasks: () => import("./pages/tasks.tsx"),
  types: () => import("./pages/types.tsx"),
  queues: () => import("./pages/queues.tsx"),
  tenants: () => import("./pages/queues.tsx"),
  decisions: () => import("./pages/decisions.tsx"),
  config: () => import("./pages/config.tsx"),
  audit: () => import("./pages/audit.tsx"),
  status: () => import("./pages/status.tsx"),
  signin: () => import("./pages/signin.tsx"),
};
// The one task has a page of its own.
const TASK = () => import("./pages/task.tsx");

function loaderOf(place: Place): () => Promise<Loaded> {
  return place.page === "tasks" && place.name !== "" ? TASK : PAGES[place.page];
}
// While the frame around it is drawn. What fails is told when it is shown.
export function fetchAhead(): void {
  loaderOf(route.value.place)().catch(() => undefined);
}

const TITLES: Record<PageName, string> = {
  overview: "Overview", fleet: "Fleet", workers: "Worker", tasks: "Tasks", types: "Types", queues: "Queues & tenants",
  tenants: "Tenant", decisions: "Decisions", config: "Config", audit: "Audit", status: "Status", signin: "Sign in",
};

// What is shown to who is bound to a tenant, or may not look.
const OF_TASKS: PageName[] = ["tasks", "signin"];

function Denied({ identity, title }: { identity: Identity | null; title: string }) {
  const bound = identity?.tenant ?? "";
  return (
    <Verdict title={bound ? `${title}: this is about the whole fleet.` : `${title}: not for this role.`}>
      {bound ? <p><Name>{identity?.name ?? ""}</Name> is bound to tenant <Name>{bound}</Name> and sees <a href={link("tasks")}>its tasks</a>.</p>
        : <p><Name>{identity?.name ?? "Who signed in"}</Name> has {identity ? rolesOf(identity).join(", ") || "no role" : "no role"}; looking needs the role viewer.</p>}
    </Verdict>
  );
}

export function App() {
  const { place, known } = useCell(route);
  const out = useCell(signedOut);
  const wanted: Place = out && place.page !== "status" ? { page: "signin", name: "", query: {} } : place;
  const load = loaderOf(wanted);
  const [shown, setShown] = useState<{ load: unknown; Page: ComponentType<PageProps> }>();
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let current = true;
    load().then((loaded) => current && setShown({ load, Page: loaded.default }), () => current && setFailed(true));
    return () => {
      current = false;
    };
  }, [load]);
  useEffect(() => {
    document.title = `${[visible(wanted.name), TITLES[wanted.page]].filter(Boolean).join(" · ")} · Nexus`;
  }, [wanted.page, wanted.name]);
  const identity = useCell(me);
  const Page = shown?.load === load ? shown.Page : undefined;
  if (!known)
    return <Frame><h1>There is no such page.</h1><p><a href={link("overview")}>Go to the overview</a></p></Frame>;
  if (!out && !seesFleet(identity) && !OF_TASKS.includes(wanted.page)) return <Frame><Denied identity={identity} title={TITLES[wanted.page]} /></Frame>;
  return (
    <Frame>
      {failed && !Page ? <div class="banner">A part of the page could not be loaded; the server may have been updated. <button type="button" class="btn tiny" onClick={() => location.reload()}>Reload</button></div>
        : Page ? <Page place={wanted} /> : <Skeleton height="12rem" />}
    </Frame>
  );
}
