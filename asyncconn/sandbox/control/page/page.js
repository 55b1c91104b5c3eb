// The sandbox's page: state comes by server-sent events, changes go to the control. Whatever is shown is put in as text.

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en");
const NAMES = {
  panoply: "Panoply", datorama: "Datorama", tcup: "TCUP", "atoti-limits": "Atoti Limits", "atoti-session": "Atoti session",
};

let source = null;
let before = null; // the state that was shown last, and when

// -- putting things in ------------------------------------------------------------------------------------------------

function make(tag, classes = "", text = "") {
  const node = document.createElement(tag);
  if (classes) node.className = classes;
  if (text) node.textContent = text;
  return node;
}

function put(node, text, classes) {
  if (node.textContent !== text) node.textContent = text;
  if (classes !== undefined && node.className !== classes) node.className = classes;
}

/** Children of `parent`, one for each item; one that is there stays, so that focus and selection do. */
function sync(parent, items, keyOf, create, update) {
  const keys = new Set(items.map((item) => String(keyOf(item))));
  const there = new Map();
  for (const node of [...parent.children]) {
    if (keys.has(node.dataset.key)) there.set(node.dataset.key, node);
    else node.remove();
  }
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let node = there.get(key);
    if (!node) {
      node = create(item);
      node.dataset.key = key;
    }
    if (node === place) place = place.nextElementSibling;
    else parent.insertBefore(node, place);
    update(node, item);
  }
}

/** Rows of a table with an id, of cells [text, classes]; the words beside it say that there are none. */
function rows(id, none, items, keyOf, cellsOf) {
  $(id).hidden = items.length === 0;
  $(none).hidden = items.length > 0;
  sync($(id).tBodies[0], items, keyOf, () => make("tr"), (row, item) => {
    cellsOf(item).forEach(([text, classes = ""], index) => {
      put(row.children[index] ?? row.appendChild(make("td")), text, classes);
    });
  });
}

function count(amount, one, many = `${one}s`) {
  return `${number.format(amount)} ${amount === 1 ? one : many}`;
}

function span(seconds) {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

function amount(value, unit) {
  if (unit !== "bytes") return number.format(value);
  const step = Math.min(4, Math.floor(Math.log2(Math.max(value, 1)) / 10));
  return `${number.format(Number((value / 1024 ** step).toFixed(step ? 1 : 0)))} ${["B", "KiB", "MiB", "GiB", "TiB"][step]}`;
}

// -- the state --------------------------------------------------------------------------------------------------------

function show(state) {
  const at = performance.now();
  put($("url"), state.url);
  put($("now"), `${state.clock.now.slice(0, 10)} ${state.clock.now.slice(11, 19)} UTC`);
  $("now").dateTime = state.clock.now;
  put($("moved"), state.clock.moved_seconds ? `moved on by ${span(state.clock.moved_seconds)}` : "");
  const worlds = Object.entries(state.worlds).map(([name, world]) => ({ name, ...world }));
  showWorlds(worlds, before && (at - before.at) / 1000 > 0.4 ? before : null, at);
  showTables(worlds);
  showRequests(state.requests);
  showRates(worlds);
  showStreams(worlds);
  rows("work", "no-work", inOrder(worlds.flatMap((world) => world.work.map((each) => ({ ...each, world: world.name })))),
    (each) => `${each.world} ${each.kind} ${each.id}`,
    (each) => [[`${each.kind} ${each.name === each.id ? "" : `${each.name} `}(${each.id})`, "about"],
      [each.status, statusClass(each)], [each.detail, "about quiet"]]);
  faults.show(state.faults);
  $("stream-panel").hidden = !state.stream_faults;
  if (state.stream_faults) streamFaults.show(state.stream_faults);
  sync($("places"), ["panoply", "datorama", "tcup", "atoti-session", "atoti-limits"], String,
    (name) => Object.assign(make("option"), { value: name }), () => {});
  if (!before || (at - before.at) / 1000 > 0.4) before = { at, state };
}

function inOrder(work) {
  return [...work.filter((each) => each.active), ...work.filter((each) => !each.active)];
}

function statusClass(work) {
  if (/FAIL|ABORT|TIMEOUT|REJECT|NOT CONNECTED/.test(work.status)) return "bad";
  return work.active ? "warn" : /SUCC|COMPLETE|CONNECTED/.test(work.status) ? "good" : "";
}

function showWorlds(worlds, last, at) {
  sync($("worlds"), worlds, (world) => world.name, (world) => {
    const card = make("article", "card");
    const title = make("h3", "", NAMES[world.name] ?? world.name);
    title.id = `world-${world.name}`;
    card.setAttribute("aria-labelledby", title.id);
    card.append(title, make("p", "quiet pace"), make("dl"));
    return card;
  }, (card, world) => {
    const then = last?.state.worlds[world.name];
    const total = Object.values(world.counters).reduce((sum, each) => sum + each, 0);
    const pace = then ? (calls(world) - calls(then)) / ((at - last.at) / 1000) : 0;
    put(card.querySelector(".pace"), pace >= 0.5 ? `${Math.round(pace)} calls/s` : total ? "at rest" : "nothing yet");
    const list = card.querySelector("dl");
    const known = Object.entries(world.counters).filter(([, value]) => value);
    sync(list, known.flatMap(([name, value]) => [["dt", name, name], ["dd", name, number.format(value)]]),
      ([tag, name]) => `${tag} ${name}`, ([tag]) => make(tag), (node, [, name, text]) => {
        put(node, node.tagName === "DD" && name === "bytes" ? amount(world.counters.bytes, "bytes") : text);
      });
  });
}

function calls(world) {
  return world.counters.calls ?? world.requests;
}

function showTables(worlds) {
  const tables = worlds.toSorted((one, other) => (other.name === "panoply") - (one.name === "panoply")).flatMap((world) =>
    Object.entries(world.tables).filter(([, size]) => size || world.name === "panoply")
      .map(([name, size]) => ({ world: world.name, name, size })));
  $("no-tables").hidden = tables.length > 0;
  sync($("tables"), tables, (table) => `${table.world} ${table.name}`, (table) => {
    const item = make("li");
    const chip = make(table.world === "panoply" ? "button" : "span", table.world === "panoply" ? "" : "flat");
    if (table.world === "panoply") {
      chip.type = "button";
      chip.addEventListener("click", () => query(`select * from "${table.name.replaceAll('"', '""')}" limit 20`));
    }
    chip.append(make("span", "", table.name), make("span", "quiet"));
    item.append(chip);
    return item;
  }, (item, table) => {
    put(item.querySelector(".quiet"), ` ${count(table.size, "row")}${table.world === "panoply" ? "" : ` of ${NAMES[table.world]}`}`);
  });
}

function showRequests(requests) {
  rows("requests", "no-requests", requests, (each) => each.number, (each) => {
    const status = each.status === null ? (each.seconds === null ? "open" : "closed") : String(each.status);
    const classes = each.status === null ? "warn" : each.status >= 500 ? "bad" : each.status >= 400 ? "warn" : "";
    return [[each.at.slice(11, 23), "time"], [each.fault ? `${status} (${each.fault})` : status, classes],
      [`${each.method} ${each.path}${each.query ? `?${each.query}` : ""}`, "path mono"],
      [NAMES[each.platform] ?? each.platform, "wide time"],
      [each.seconds === null ? "" : number.format(Math.round(each.seconds * 1000)), "number wide"]];
  });
}

function showRates(worlds) {
  const gauges = worlds.flatMap((world) => world.gauges.map((gauge) => ({ ...gauge, world: world.name })));
  $("no-rates").hidden = gauges.length > 0;
  sync($("rates"), gauges, (gauge) => `${gauge.world} ${gauge.name}`, (gauge) => {
    const item = make("li", "gauge");
    const bar = make("progress");
    bar.setAttribute("aria-label", `${NAMES[gauge.world] ?? gauge.world}, ${gauge.name}`);
    item.append(make("span", "", `${NAMES[gauge.world] ?? gauge.world}, ${gauge.name}`), make("span", "number quiet"), bar);
    return item;
  }, (item, gauge) => {
    const share = gauge.limit ? gauge.used / gauge.limit : 1;
    const more = gauge.used && gauge.resets_in !== null ? `, more in ${span(gauge.resets_in)}` : "";
    const bar = item.querySelector("progress");
    bar.max = gauge.limit || 1;
    bar.value = gauge.used;
    put(item.querySelector(".number"), `${amount(gauge.used, gauge.unit)} of ${amount(gauge.limit, gauge.unit)}${more}`);
    item.className = share >= 1 ? "gauge full" : share >= 0.8 ? "gauge high" : "gauge";
  });
}

function showStreams(worlds) {
  const numbered = (list) => {
    const seen = new Map();
    return list.map((each) => {
      const key = `${each.protocol} ${each.name} ${each.about}`;
      seen.set(key, (seen.get(key) ?? 0) + 1);
      return { ...each, key: `${key} ${seen.get(key)}` };
    });
  };
  rows("streams", "no-streams", numbered(worlds.flatMap((world) => world.channels)), (each) => each.key,
    (each) => [[`${each.protocol} ${each.name}`, "about"], [each.about, "about mono"],
      [each.connected ? "connected" : "away", each.connected ? "good" : "warn"],
      [number.format(each.received), "number"], [number.format(each.sent), "number"],
      [number.format(each.waiting + each.in_flight), "number"],
      [number.format(each.dropped), each.dropped ? "number bad" : "number"]]);
  rows("gaps", "no-gaps", numbered(worlds.flatMap((world) => world.gaps)), (each) => each.key,
    (each) => [[`${each.protocol} ${each.name}`, "about"], [each.about, "about mono"],
      [each.over ? "back again" : "still away", each.over ? "good" : "warn"], [span(each.seconds), "number"],
      [`${span(each.ago)} ago`, "number"]]);
}

// -- faults -----------------------------------------------------------------------------------------------------------

const HINTS = {
  faults: "Where: a path (/…) or a platform; empty is everywhere. Times: empty is without end.",
  "stream-faults": "Where: mqtt, websocket or sse, or an MQTT client id; empty is everywhere. Times: empty is without end.",
};
const WANTED = { delay: ["seconds"], stall: ["seconds"], stall_after: ["seconds"], status: ["status"] };
const WANTED_OF_STREAMS = { refuse: ["code"], close: ["code"], stall: ["seconds"], delay_ack: ["seconds"] };
const CODES = { refuse: "3", close: "1001" };

class Script {
  constructor(id, wanted) {
    this.path = `/${id}`;
    this.wanted = wanted;
    this.root = $(id);
    this.root.append($("script").content.cloneNode(true));
    this.form = this.root.querySelector("form");
    for (const label of this.form.querySelectorAll("label")) {
      const field = label.nextElementSibling;
      field.id = `${id}-${field.name}`;
      label.htmlFor = field.id;
    }
    const hint = this.form.querySelector(".hint");
    hint.id = `${id}-hint`;
    hint.textContent = HINTS[id];
    for (const name of ["match", "times"]) this.form.elements[name].setAttribute("aria-describedby", hint.id);
    if (id !== "faults") this.form.elements.match.removeAttribute("list");
    this.form.elements.kind.addEventListener("change", () => this.choose());
    this.form.addEventListener("submit", (event) => this.add(event));
    this.root.querySelector(".clear").addEventListener("click", () =>
      change("DELETE", this.path, undefined, "All faults were removed."));
  }

  async offer(operation) {
    this.kinds = operation.requestBody.content["application/json"].schema.properties.kind["x-enum-descriptions"];
    this.form.elements.kind.replaceChildren(...Object.keys(this.kinds).map((kind) => make("option", "", kind)));
    this.choose();
  }

  choose() {
    const { kind, code, seconds } = this.form.elements;
    const wanted = this.wanted[kind.value] ?? [];
    put(this.form.querySelector(".about"), this.kinds[kind.value].replaceAll("`", ""));
    for (const name of ["seconds", "status", "code"]) this.form.elements[name].parentElement.hidden = !wanted.includes(name);
    seconds.required = kind.value.startsWith("delay");
    seconds.value = seconds.required ? "1" : "";
    code.value = CODES[kind.value] ?? "";
  }

  async add(event) {
    event.preventDefault();
    const given = new FormData(this.form);
    const kind = given.get("kind");
    const body = { kind, after: Number(given.get("after")), times: given.get("times") ? Number(given.get("times")) : null };
    if (given.get("match").trim()) body.match = given.get("match").trim();
    for (const name of this.wanted[kind] ?? []) if (given.get(name)) body[name] = Number(given.get(name));
    await change("POST", this.path, body, `The fault ${kind} was added.`);
  }

  show({ faults: planned }) {
    this.root.querySelector(".none").hidden = planned.length > 0;
    sync(this.root.querySelector("ul"), planned, (each) => each.number, (each) => {
      const item = make("li");
      const label = make("label");
      const box = Object.assign(make("input"), { type: "checkbox" });
      box.setAttribute("role", "switch");
      box.addEventListener("change", () => change("PATCH", `${this.path}/${each.number}`, { on: box.checked },
        `The fault ${each.kind} is ${box.checked ? "on" : "off"}.`));
      const remove = make("button", "small", "Remove");
      remove.type = "button";
      remove.setAttribute("aria-label", `Remove ${told(each)}`);
      remove.addEventListener("click", () =>
        change("DELETE", `${this.path}/${each.number}`, undefined, `The fault ${each.kind} was removed.`));
      label.append(box, make("span"));
      item.append(label, remove);
      return item;
    }, (item, each) => {
      const box = item.querySelector("input");
      if (box.checked !== each.on) box.checked = each.on;
      const over = each.times !== null && each.struck >= each.times;
      const struck = each.times === null ? `struck ${count(each.struck, "time")}` : `struck ${each.struck} of ${each.times}`;
      put(item.querySelector("span"), `${told(each)}: ${struck}`, over ? "over" : "");
    });
  }
}

function told(fault) {
  const words = [fault.kind, fault.status ?? fault.code ?? "", fault.seconds === null ? "" : `${fault.seconds} s`];
  if (fault.match) words.push(`at ${fault.match}`);
  if (fault.after) words.push(`after ${fault.after}`);
  if (fault.every) words.push(`one in ${fault.every}`);
  if (fault.probability !== undefined && fault.probability < 1) words.push(`with chance ${fault.probability}`);
  return words.filter((word) => word !== "").join(" ");
}

// -- asking the control -----------------------------------------------------------------------------------------------

async function ask(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(`/_sandbox${path}`, options);
  } catch {
    throw new Error("the sandbox cannot be reached");
  }
  const text = await answer.text();
  const value = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Error(value?.error ?? `the sandbox answered ${answer.status}`);
  return value;
}

function say(id, text) {
  put($(id), text);
  $(id).hidden = !text;
}

async function change(method, path, body, done) {
  try {
    await ask(method, path, body);
    say("failed", "");
    say("said", done);
    show(await ask("GET", "/state"));
  } catch (error) {
    say("said", "");
    say("failed", error.message);
  }
}

async function query(statement) {
  $("statement").value = statement;
  try {
    const found = await ask("POST", "/sql", { statement, most: 500, texts: true });
    say("sql-failed", "");
    showFound(found);
  } catch (error) {
    put($("sql-said"), "");
    $("found").hidden = true;
    say("sql-failed", error.message);
  }
}

function showFound({ columns, rows: found, truncated }) {
  put($("sql-said"), truncated ? `The first ${count(found.length, "row")}.` : `${count(found.length, "row")}.`);
  $("found").hidden = columns.length === 0;
  const head = make("tr");
  for (const column of columns) head.append(Object.assign(make("th", "", column), { scope: "col" }));
  $("found").querySelector("thead").replaceChildren(head);
  $("found").querySelector("tbody").replaceChildren(...found.map((values) => {
    const row = make("tr");
    for (const value of values) {
      row.append(make("td", value === null ? "quiet" : value.length > 40 ? "long" : "", value ?? "null"));
    }
    return row;
  }));
}

// -- live -------------------------------------------------------------------------------------------------------------

function connect() {
  source = new EventSource("/_sandbox/events");
  source.addEventListener("state", (event) => {
    put($("live"), "live", "badge good");
    show(JSON.parse(event.data));
  });
  source.addEventListener("error", () => put($("live"), "not connected, trying again", "badge bad"));
}

$("pause").addEventListener("click", () => {
  const pausing = source !== null;
  $("pause").setAttribute("aria-pressed", String(pausing));
  if (pausing) {
    source.close();
    source = null;
    put($("live"), "paused", "badge warn");
  } else {
    connect();
  }
});

$("reset").addEventListener("click", () => $("sure").showModal());
$("sure").addEventListener("close", () => {
  if ($("sure").returnValue === "yes") change("POST", "/reset", undefined, "Everything begins anew.");
  $("sure").returnValue = "";
});

for (const button of document.querySelectorAll("[data-seconds]")) {
  button.addEventListener("click", () => move(Number(button.dataset.seconds)));
}
$("move").addEventListener("submit", (event) => {
  event.preventDefault();
  move(Number($("seconds").value));
});

function move(seconds) {
  return change("POST", "/clock", { seconds }, `The clock was moved on by ${span(seconds)}.`);
}

$("sql").addEventListener("submit", (event) => {
  event.preventDefault();
  query($("statement").value);
});
$("statement").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    $("sql").requestSubmit();
  }
});

const faults = new Script("faults", WANTED);
const streamFaults = new Script("stream-faults", WANTED_OF_STREAMS);
const { paths } = await ask("GET", "/openapi.json");
faults.offer(paths["/_sandbox/faults"].post);
streamFaults.offer(paths["/_sandbox/stream-faults"].post);
connect();
