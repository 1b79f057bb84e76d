// The status page: reads the REST API, listens to the event stream, shows what is. Nothing here is invented: what is not known is said to be missing.
import { followEvents, forgetToken, get, keepToken, post, readToken } from "./api.js";
import { showNodes, showWorkloads } from "./fleet.js";
import { showClients } from "./graph.js";
import { showDecisions, showDrill, showEvents } from "./history.js";
import { showMove, showReceipt } from "./timeline.js";

const known = { nodes: [], workloads: [], migrations: [], drills: [], decisions: [], oracles: [], move: undefined, receipt: undefined };
const events = [];
const page = (id) => document.getElementById(id);

/** The name of each list is also its path. */
async function load(...names) {
  const answers = await Promise.all(
    names.map((name) => get(`/api/v2/${name}${name === "oracles" ? "?seconds=120" : "?page.pageSize=50"}`)),
  );
  for (const [i, name] of names.entries()) known[name] = answers[i][name] ?? [];
  known.move = known.migrations[0];
  known.receipt = known.migrations.find((migration) => migration.receipt)?.receipt;
}

function draw() {
  showNodes(known, act);
  showWorkloads(known, act);
  showClients(known, Date.now());
  showMove(known, act);
  showReceipt(known);
  showDrill(known);
  showDecisions(known);
  showEvents(events);
}

async function act(path, body) {
  const notice = page("notice");
  try {
    await post(path, body);
    notice.hidden = true;
  } catch (caught) {
    notice.textContent = [caught.message, caught.hint].filter(Boolean).join(" — ");
    notice.hidden = false;
  }
  await refresh("nodes", "workloads", "migrations", "drills");
}

async function refresh(...names) {
  try {
    await load(...names);
    draw();
  } catch (caught) {
    if (caught.status === 401 || caught.status === 403) enter(caught.message);
    else if (caught.status !== undefined && caught.status !== 429) connection(caught.message, false);
  }
}

function connection(text, isGood) {
  page("connection").textContent = text;
  page("connection").className = isGood ? "good" : "bad";
}

let isRefreshDue = false;
/** Events come in bursts; one look a moment later sees them all. */
function refreshSoon() {
  if (isRefreshDue) return;
  isRefreshDue = true;
  setTimeout(() => {
    isRefreshDue = false;
    refresh("nodes", "workloads", "migrations", "drills", "decisions");
  }, 120);
}

function enter(problem) {
  forgetToken();
  page("refused").textContent = problem ?? "";
  page("content").hidden = true;
  page("entry").hidden = false;
  connection("no token", false);
}

let isStarted = false;
async function start() {
  if (readToken() === "") return enter();
  try {
    await load("nodes", "workloads", "migrations", "drills", "decisions", "oracles");
  } catch (caught) {
    if (caught.status === 401 || caught.status === 403) return enter(caught.message);
    connection("the control plane does not answer", false);
    return setTimeout(start, 2_000);
  }
  page("entry").hidden = true;
  page("content").hidden = false;
  draw();
  if (isStarted) return;
  isStarted = true;
  setInterval(() => {
    if (!document.hidden && !page("content").hidden) refresh("oracles", "nodes", "workloads");
  }, 1_000);
  setInterval(() => {
    if (known.move && !known.move.endedAt && !document.hidden) refresh("migrations");
  }, 250);
  followEvents(
    (event) => {
      events.unshift(event);
      events.length = Math.min(events.length, 60);
      refreshSoon();
    },
    (isLive) => connection(isLive ? "live" : "the control plane is away; trying again", isLive),
  ).catch((caught) => enter(caught.message));
}

page("enter").onclick = () => {
  keepToken(page("token").value.trim());
  page("token").value = "";
  start();
};
page("token").onkeydown = (event) => {
  if (event.key === "Enter") page("enter").click();
};
start();
