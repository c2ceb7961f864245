import { render } from "preact";
import { App, fetchAhead } from "./app.tsx";
import { learnWho } from "./lib/identity.ts";
import { startLive } from "./lib/live.ts";
import { startPrefs } from "./lib/prefs.ts";
import { followLinks } from "./lib/router.ts";
import "./style/tokens.css";
import "./style/base.css";
import "./style/frame.css";
import "./style/parts.css";
import "./style/pages.css";

fetchAhead();
startPrefs();
followLinks();
startLive();
void learnWho();
const root = document.getElementById("root");
if (root) render(<App />, root);
