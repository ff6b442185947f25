"use strict";

// What is shown comes from indexed files and other people's names: it is set as text, never as HTML.

const DEBOUNCE_MS = 150;
const LIMIT = 20;
const LINES_SHOWN = 8; // as page.css has it
const LOOK_MS = 5000;
const LOOK_AT_JOBS_MS = 1000;
const MB = 1e6;
const TOKEN = "shoal.token";
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069\u{e0000}-\u{e007f}]/gu;

const $ = (id) => document.getElementById(id);
const query = $("query");

class Refused extends Error {
  constructor(status, problem) {
    super(problem.message || `the gateway answered with ${status}`);
    this.status = status;
    this.retryAfterMs = 1000 * (problem.retry_after_s || 0);
  }
}

async function ask(path, options = {}) {
  const headers = { Authorization: `Bearer ${sessionStorage.getItem(TOKEN) || ""}` };
  if (options.body) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, { ...options, headers, cache: "no-store", credentials: "omit" });
  if (!reply.ok) throw new Refused(reply.status, await reply.json().catch(() => ({})));
  return reply.json();
}

// What a person could not see in a text is made visible, as `cluster/visible.py` does.
const visible = (text) => String(text).replace(HIDDEN, (c) => (c === "\r" ? "" : "\ufffd"));
const oneLine = (text) => visible(text).replaceAll("\n", " ");

function make(tag, className = "", ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

const part = (className, text) => make("span", className, oneLine(text));

function bar(role, label, value, most, level = "") {
  const filled = make("i");
  filled.style.width = `${most ? Math.min(100, (100 * value) / most) : 0}%`;
  const made = make("div", `bar ${level}`, filled);
  made.role = role;
  made.ariaLabel = oneLine(label);
  made.ariaValueMin = "0";
  made.ariaValueMax = String(most);
  made.ariaValueNow = String(value);
  return made;
}

// Searching

let underWay = null;
let soon = 0;

function withdraw() {
  clearTimeout(soon);
  underWay?.abort(); // the gateway withdraws what nobody waits for at every hop
  underWay = null;
}

function searchSoon(wait = DEBOUNCE_MS) {
  withdraw();
  soon = setTimeout(search, wait);
}

async function search() {
  withdraw();
  if (!query.value.trim()) {
    showAnswer(null);
    return;
  }
  const mine = (underWay = new AbortController());
  const chosen = $("collection").value;
  const body = { query: query.value, mode: $("mode").value, limit: LIMIT, collections: chosen ? [chosen] : [] };
  try {
    const answer = await ask("v1/search", { method: "POST", body: JSON.stringify(body), signal: mine.signal });
    if (underWay === mine) showAnswer(answer);
  } catch (error) {
    if (underWay !== mine) return;
    showAnswer(null);
    $("found").textContent = heard(error);
    if (error.retryAfterMs) soon = setTimeout(search, error.retryAfterMs);
  }
}

function showAnswer(answer) {
  const hits = answer ? answer.hits : [];
  const several = answer && answer.collections.length > 1;
  $("hits").replaceChildren(...hits.map((hit) => hitItem(hit, several)));
  $("found").textContent = answer ? summary(answer) : "";
}

function summary(answer) {
  const count = answer.hits.length;
  const found = count ? `${count} ${count === 1 ? "hit" : "hits"}` : "nothing found";
  const ms = answer.timings_ms.gateway;
  const lacking = answer.collections.filter((c) => c.problem);
  return [
    found + (ms === undefined ? "" : ` in ${ms.toFixed(0)} ms`),
    ...(answer.coverage < 1 ? [`${(100 * answer.coverage).toFixed(0)}% was searched`] : []),
    ...lacking.map((c) => oneLine(`${c.name}: ${c.problem}`)),
  ].join("; ");
}

function hitItem(hit, several) {
  const lines = `${hit.start_line}-${hit.end_line}`;
  const about = [several && hit.collection, hit.language, hit.score.toFixed(4)].filter(Boolean).join("  ");
  const button = make(
    "button", "", part("place", `${hit.path}:${lines}`), part("symbol", hit.symbol), part("about", about),
  );
  button.type = "button";
  button.ariaExpanded = "false";
  button.addEventListener("click", () => {
    button.ariaExpanded = button.ariaExpanded === "true" ? "false" : "true";
  });
  const text = visible(hit.text);
  const long = text.trimEnd().split("\n").length > LINES_SHOWN;
  return make("li", long ? "hit long" : "hit", button, make("pre", "", text));
}

// The cluster

let looking = 0;

async function look() {
  clearTimeout(looking);
  if (!sessionStorage.getItem(TOKEN)) return lock();
  if (document.hidden) return; // a page that nobody sees keeps no gateway awake
  let pause = LOOK_MS;
  try {
    const status = await ask("v1/status");
    showStatus(status);
    if (status.jobs.some((job) => job.state === "running")) pause = LOOK_AT_JOBS_MS;
    trouble("");
  } catch (error) {
    if (error.status === 401) return lock();
    trouble(heard(error));
  }
  clearTimeout(looking);
  looking = setTimeout(look, pause);
}

function heard(error) {
  if (error instanceof Refused) return oneLine(error.message);
  return "The gateway does not answer. `shoal up` starts it, and `shoal open` prints its address.";
}

function trouble(text) {
  $("trouble").textContent = text;
  $("trouble").hidden = !text;
}

function showStatus(status) {
  $("unlock").hidden = true;
  $("all").hidden = false;
  $("cluster").textContent = oneLine(
    `${(status.memory_bytes / MB).toFixed(0)} MB in ${status.processes} processes, ${status.nodes} node(s), ${status.version}`,
  );
  fill("collections", status.collections.map(collectionItem), "None yet; shoal index FOLDER makes one.");
  fill("jobs", status.jobs.map(jobItem), "None.");
  fill("replicas", status.replicas.map(replicaItem), "None answers.");
  offer(status.collections.map((c) => c.name));
}

function fill(id, items, otherwise) {
  $(id).replaceChildren(...(items.length ? items : [make("li", "none", otherwise)]));
}

function offer(names) {
  const select = $("collection");
  const known = [...select.options].slice(1).map((option) => option.value);
  if (names.length === known.length && names.every((name, i) => name === known[i])) return;
  const chosen = select.value;
  select.replaceChildren(select.options[0], ...names.map((name) => new Option(oneLine(name), name)));
  select.value = names.includes(chosen) ? chosen : "";
}

function collectionItem(c) {
  const [fresh, level] = freshness(c.behind_s);
  const row = make("div", "row", part("name", c.name), part(`about ${level}`, fresh));
  const state = `${c.chunks.toLocaleString("en")} chunks, generation ${c.generation}${age(c.updated_at)}`;
  return make("li", "", row, c.problem ? part("about bad", c.problem) : part("about", state));
}

function freshness(behindS) {
  if (behindS === null) return ["not watched", ""];
  return behindS ? [`behind by ${Math.max(1, Math.round(behindS))} s`, "warn"] : ["up to date", ""];
}

function age(moment) {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  return Number.isNaN(seconds) ? "" : `, ${duration(Math.max(0, seconds))} ago`;
}

function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60]];
  const [unit, size] = units.find(([, s]) => seconds >= s) || ["s", 1];
  return `${Math.round(seconds / size)} ${unit}`;
}

function jobItem(job) {
  const running = job.state === "running";
  const row = make("div", "row", part("name", `${job.kind} ${job.collection}`), part(levelOf(job), job.state));
  const files = job.files_total ? `${job.files_done} of ${job.files_total} files` : `${job.files_done} files`;
  const left = running && job.eta_s !== null ? `, ${duration(job.eta_s)} left` : "";
  const what = job.error || (running ? `${job.phase}: ${files}, ${job.chunks} chunks${left}` : `${files}, ${job.chunks} chunks`);
  const item = make("li", "", row, part(job.error ? "about bad" : "about", what));
  if (running) item.append(bar("progressbar", `${job.kind} ${job.collection}`, job.files_done, job.files_total));
  return item;
}

const levelOf = (job) => `about ${job.state === "failed" ? "bad" : job.state === "interrupted" ? "warn" : ""}`;

function replicaItem(r) {
  const memory = `${(r.pss_bytes / MB).toFixed(0)} of ${(r.limit_bytes / MB).toFixed(0)} MB`;
  const level = { soft: "warn", hard: "bad" }[r.pressure] || "";
  const row = make("div", "row", part("name", r.name), part(`about ${level}`, r.problem ? "" : memory));
  const item = make("li", "", row);
  const notes = [
    r.detail.state, r.detail.model, r.pressure !== "ok" && `memory pressure is ${r.pressure}`,
    r.kills && `ended ${r.kills} times at its limit`, r.restarts && `restarted ${r.restarts} times`,
  ];
  const said = r.problem || notes.filter(Boolean).join(", ");
  if (said) item.append(part(r.problem ? "about bad" : "about", said));
  if (!r.problem) item.append(bar("meter", `memory of ${r.name}`, r.pss_bytes, r.limit_bytes, level));
  return item;
}

// The token

function lock() {
  withdraw();
  showAnswer(null);
  trouble(sessionStorage.getItem(TOKEN) ? "That token is not the gateway's; each start of it makes a new one." : "");
  sessionStorage.removeItem(TOKEN);
  $("all").hidden = true;
  $("unlock").hidden = false;
  $("token").focus();
}

function unlock(token) {
  sessionStorage.setItem(TOKEN, token);
  trouble("");
  look();
  if (query.value) searchSoon();
}

function tokenOfAddress() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (token === null) return false;
  history.replaceState(null, "", location.pathname + location.search); // seen by nobody, in no history
  unlock(token);
  return true;
}

// The keyboard

function move(step) {
  const stops = [query, ...document.querySelectorAll(".hit button")];
  const at = stops.indexOf(document.activeElement);
  const next = stops[at + step];
  if (at < 0 || !next) return false;
  next.focus();
  next.scrollIntoView({ block: next === query ? "end" : "center" });
  return true;
}

function back() {
  const onHit = document.activeElement.closest(".hit");
  if (!onHit && document.activeElement !== query) return false;
  if (onHit) query.focus();
  else if (!query.value) query.blur();
  else {
    query.value = "";
    search();
  }
  return true;
}

function toSearch() {
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return false;
  query.focus();
  query.select();
  return true;
}

const KEYS = { "/": toSearch, ArrowDown: () => move(1), ArrowUp: () => move(-1), Escape: back };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (Object.hasOwn(KEYS, event.key) && KEYS[event.key]()) event.preventDefault();
});
query.addEventListener("input", () => searchSoon());
for (const id of ["collection", "mode"]) $(id).addEventListener("change", () => searchSoon(0));
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  search();
});
$("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  unlock($("token").value.trim());
  $("token").value = "";
});
document.addEventListener("visibilitychange", look);
addEventListener("hashchange", tokenOfAddress);
if (!tokenOfAddress()) look();
