// Requests this path's JSON every few seconds and displays it. All data is inserted through textContent.
const EVERY = 5000; // milliseconds
const POINTS = 60; // in a line of history
const MOST_LINES = 20000; // series with a history
const ROWS = [3, 10]; // of a family, at least and at most, unless it shows all
const MOST_NODES = 24; // in the section Nodes

// The parts of each group, with a pattern for the names of its families. The first matching part contains the family.
const GROUPS = [
	["Gateway", [
		["Requests", /^awx_gateway_requests/],
		["Latency", /^awx_gateway_request_d/],
		["Logins", /^awx_gateway_(login|token|auth)/],
		["Launches", /^awx_gateway_job/],
		["Sources", /^awx_gateway_source/],
		["Itself", /^awx_gateway_/],
	]],
	["Controller: database", [["", /^awx_/]]],
	["Controller: subsystems", [["", /^/]]],
];

const $ = (id) => document.getElementById(id);
const families = new Map();
let round = 0; // counts answers
let at; // time of the last answer, seconds
let before; // time of the answer before it
let lines = 0; // number of series with a history
let clock = 0; // the gateway's clock minus this one, milliseconds
let received; // time of the last answer by this clock, milliseconds
let words = []; // in the filter
let paused = false;
let due = 0; // earliest time of the next request, by Retry-After
let timer;

function make(tag, properties, ...children) {
	const element = Object.assign(document.createElement(tag), properties);
	element.append(...children);
	return element;
}

function write(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

// Numbers

const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 });

function number(value) {
	if (!Number.isFinite(value)) return String(value ?? "–");
	// The B of a billion looks like bytes.
	if (Math.abs(value) >= 1e7) return compact.format(value).replace("B", "G");
	if (value && Math.abs(value) < 1e-3) return value.toExponential(1);
	return (Number.isInteger(value) ? whole : short).format(value);
}

function seconds(value) {
	if (!Number.isFinite(value)) return number(value);
	const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]];
	const [size, unit] = units.find(([size]) => value >= (size > 1 ? 2 * size : size)) ?? units[3];
	return `${size > 1 ? Math.round(value / size) : short.format(value / size)} ${unit}`;
}

function ago(timestamp) {
	if (!timestamp) return "never";
	return `${seconds(Math.max(0, Math.round((Date.now() + clock) / 1000 - timestamp)))} ago`;
}

function format({ name, type }, value) {
	if (name.includes("timestamp")) return ago(value);
	return name.endsWith("seconds") && type !== "counter" ? seconds(value) : number(value);
}

// Answers

function take(answer) {
	round++;
	for (const [name, { help_text: help, type, samples }] of Object.entries(answer)) {
		const family = families.get(name) ?? { name, series: new Map() };
		// The controller's JSON names a counter without its suffix.
		const full = type === "counter" ? name.replace(/(_total)?$/, "_total") : name;
		families.set(name, Object.assign(family, { full, help, type, round }));
		for (const sample of samples) takeSample(family, sample);
	}
	[before, at] = [at, performance.now() / 1000];
	for (const family of families.values()) {
		for (const [key, series] of family.series) {
			if (series.round === round) note(family, series);
			else if (family.series.delete(key) && series.history) lines--;
		}
		if (family.round !== round && families.delete(family.name)) family.card.remove();
	}
}

/** The samples of a histogram become one series, whose value is the count. */
function takeSample(family, { labels: { le, ...labels }, value, sample_type: kind }) {
	if (le !== undefined && !kind) labels.le = le;
	const key = JSON.stringify(labels);
	let series = family.series.get(key);
	if (!series) {
		const text = [family.full, ...Object.entries(labels).flat()].join(" ").toLowerCase();
		family.series.set(key, (series = { labels, text, firstRound: round }));
	}
	if (series.round !== round) Object.assign(series, { round, old: series.buckets, buckets: [] });
	if (kind === "bucket") series.buckets.push([Number(String(le).replace("Inf", "Infinity")), Number(value)]);
	else series[kind === "sum" ? "sum" : "value"] = value;
}

/** Appends the value of a series, or the rate if it is a counter, to its history. A counter that decreased was reset. */
function note(family, series) {
	const { value, last = isNew(family, series) ? 0 : NaN } = series;
	const grows = family.type === "counter" || isHistogram(family);
	const growth = grows && value >= last ? value - last : NaN;
	const rate = growth / (at - before);
	Object.assign(series, { last: value, growth, rate });
	if (!series.history && lines < MOST_LINES && ++lines) series.history = [];
	push(series.history, grows ? rate : value);
}

/** True if a new series did not exist before, although its gateway did: it grew from 0. */
function isNew({ name }, { labels: { gateway, source } }) {
	return name.startsWith("awx_gateway_") && of("awx_gateway_workers", { gateway, source })[0]?.firstRound < round;
}

function push(history, value) {
	if (history?.push(Number.isFinite(value) ? value : NaN) > POINTS) history.shift();
}

/** The series of a family that have these labels. They may have others too. */
function of(name, labels = {}) {
	const wanted = Object.entries(labels);
	const all = [...(families.get(name)?.series.values() ?? [])];
	return all.filter((one) => wanted.every(([name, value]) => one.labels[name] === value));
}

function sum(series, what = "value") {
	return series.length ? series.reduce((total, one) => total + (Number(one[what]) || 0), 0) : undefined;
}

/** The sum of the buckets of several series. */
function mergeBuckets(series) {
	const total = new Map();
	for (const [le, count] of series.flatMap((one) => one.buckets)) total.set(le, (total.get(le) ?? 0) + count);
	return [...total].sort(([a], [b]) => a - b);
}

/** The growth of several series since the answer before. */
function growth(series) {
	const grown = series.filter(({ growth }) => growth >= 0);
	const less = grown.map(({ old = [] }) => ({ buckets: old.map(([le, count]) => [le, -count]) }));
	return { since: before, value: sum(grown, "growth"), buckets: mergeBuckets([...grown, ...less]) };
}

/** Computed like Prometheus's histogram_quantile: linear within a bucket. */
function quantile(q, buckets) {
	const rank = q * buckets.at(-1)?.[1];
	if (!rank) return undefined;
	const index = buckets.findIndex(([, count]) => count >= rank);
	const [low, below] = buckets[index - 1] ?? [0, 0];
	const [high, count] = buckets[index] ?? [];
	return high === Infinity ? low : low + ((high - low) * (rank - below)) / (count - below);
}

// Drawing, on 72 by 18

function chart(className = "") {
	const [svg, path] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
	svg.setAttribute("viewBox", "0 0 72 18");
	svg.setAttribute("preserveAspectRatio", "none");
	svg.setAttribute("aria-hidden", "true");
	path.setAttribute("class", className);
	svg.append(path);
	return { svg, draw: (d) => path.setAttribute("d", d) };
}

/** A line that ends at the right edge, with gaps for missing numbers. */
function line(history = []) {
	const known = history.filter(Number.isFinite);
	const [low, high] = [Math.min(...known), Math.max(...known)];
	const step = 72 / (Math.max(history.length, POINTS / 3) - 1);
	let pen = "M";
	return history.map((value, index) => {
		if (!Number.isFinite(value)) return (pen = "M"), "";
		const x = 72 - (history.length - 1 - index) * step;
		const y = high > low ? 17 - (16 * (value - low)) / (high - low) : value ? 9 : 17;
		const point = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
		pen = "L";
		return point;
	}).join("");
}

/** A bar for each bucket. */
function bars(buckets) {
	const counts = buckets.map(([, count], index) => count - (buckets[index - 1]?.[1] ?? 0));
	const [most, width] = [Math.max(...counts), 72 / counts.length];
	return counts.map((count, index) => {
		const height = count > 0 ? Math.max(1.5, (18 * count) / most) : 0.5;
		return `M${(index * width).toFixed(1)} 18v${-height.toFixed(1)}h${(width - 1).toFixed(1)}V18z`;
	}).join("");
}

// At a glance

const TILES = [
	["Running jobs", () => sum(of("awx_running_jobs_total"))],
	["Pending jobs", () => sum(of("awx_pending_jobs_total"))],
	["Capacity used", () => (100 * sum(of("awx_instance_consumed_capacity"))) / sum(of("awx_instance_capacity")),
		(share) => `${Math.round(share)} %`],
	["Sessions", () => sum(of("awx_sessions_total", { type: "all" }))],
	["Requests / s", () => sum(of("awx_gateway_requests"), "rate")],
	["Latency, 95 %", (series) => quantile(0.95, mergeBuckets(series)), seconds, durations],
	["Launches", sum, number, () => of("awx_gateway_job_launches", { outcome: "accepted" })],
	["Failed logins", sum, number, () => of("awx_gateway_logins", { outcome: "failure" })],
].map(([name, value, format = number, series]) => {
	const tile = { value, format, series, growths: [], history: [], text: make("span"), span: make("p"), chart: chart() };
	tile.element = make("div", {}, make("dt", { textContent: name }), make("dd", {}, tile.text, tile.span), make("dd", {}, tile.chart.svg));
	$("tiles").append(tile.element);
	return tile;
});

/** The durations of all requests except scrapes: this page's own requests would dominate on an idle gateway. */
function durations() {
	return of("awx_gateway_request_duration_seconds").filter(({ labels }) => labels.resource !== "metrics");
}

function tiles() {
	for (const tile of TILES) {
		const { element, value, format, series, history, text, chart } = tile;
		const all = value(series?.());
		const now = series ? recent(tile) : all;
		element.hidden = !Number.isFinite(all);
		push(history, now);
		write(text, format(series && !tile.began ? all : now));
		chart.draw(line(history));
	}
}

/** The value for the last minutes, as many as the lines show, while this page was open. Displays how many. */
function recent(tile) {
	const { value, series, growths, span } = tile;
	if (before) growths.push(growth(series()));
	while (growths.length > 1 && growths[0].since < at - (POINTS * EVERY) / 1000) growths.shift();
	const now = value(growths);
	tile.began ||= Number.isFinite(now);
	write(span, tile.began ? `of the last ${seconds(Math.round(at - growths[0].since))}` : "since the gateway started");
	return now;
}

/** Updates the items of a section. Items that did not change stay. */
function list(id, items) {
	const have = $(id).querySelector("ul");
	$(id).hidden = !items.length;
	items.forEach((item, at) => {
		const old = have.children[at];
		if (!old) have.append(item);
		else if (!old.isEqualNode(item)) old.replaceWith(item);
	});
	while (have.children.length > items.length) have.lastChild.remove();
}

function phrases(...parts) {
	return make("p", {}, ...parts.filter(Boolean).map(([textContent, className = "", tag = "span"]) =>
		make(tag, { textContent, className })));
}

function source({ labels: { source }, value }) {
	const one = (name) => of(`awx_gateway_source_${name}`, { source })[0]?.value;
	const problems = of("awx_gateway_source_problem_info", { source }).map(({ labels }) => labels.reason);
	return make("li", {},
		phrases([source, "", "b"], value === 1 ? ["● up", "good"] : ["▲ down", "bad"], [problems.join(", "), "bad"]),
		phrases([`${number(one("samples"))} samples, ${ago(one("last_success_timestamp_seconds"))}`],
			[`pulled in ${seconds(one("fetch_duration_seconds"))}`]));
}

const used = ({ labels: { hostname, source }, value }) =>
	(sum(of("awx_instance_consumed_capacity", source ? { hostname, source } : { hostname })) ?? 0) / value;

function node(capacity) {
	const { hostname, source, node_type: type } = capacity.labels;
	const where = source && { source };
	const share = used(capacity);
	const level = share > 0.9 ? "bad" : share > 0.75 ? "warn" : "";
	const off = of("awx_instance_info", { hostname, enabled: "False", ...where }).length;
	const jobs = of("awx_instance_status_total", { node: hostname, ...where }).filter(({ value }) => value);
	jobs.sort((a, b) => kind(a)[0] - kind(b)[0]);
	const total = sum(jobs);
	return make("li", {},
		phrases([hostname, "", "b"], source && [source], type && [type], off && ["disabled", "warn"],
			[`${number(share * capacity.value)} of ${number(capacity.value)}`, `end ${level}`]),
		bar("Capacity in use", [[share, level]]),
		bar("Jobs by status", jobs.map((one) => [one.value / total, kind(one)[1]])),
		phrases(...jobs.map((one) => [`${number(one.value)} ${one.labels.status}`, kind(one)[1]])));
}

/** The position and the class of jobs with this status. */
function kind({ labels: { status } }) {
	const kinds = [[/run/, ""], [/new|pend|wait/, "warn"], [/succ/, "good"], [/fail|err/, "bad"], [/^/, "none"]];
	const at = kinds.findIndex(([names]) => names.test(status));
	return [at, kinds[at][1]];
}

function bar(label, parts) {
	const shares = parts.map(([share, className]) => {
		const part = make("i", { className });
		part.style.width = `${100 * Math.min(share, 1) || 0}%`;
		return part;
	});
	return make("div", { className: "bar", role: "img", ariaLabel: label }, ...shares);
}

function nodes() {
	const all = of("awx_instance_capacity");
	if (all.length > MOST_NODES) all.sort((a, b) => used(b) - used(a));
	const items = all.slice(0, MOST_NODES).map(node);
	const others = all.length - items.length;
	return others ? [...items, make("li", {}, phrases([`and ${others} with less in use`]))] : items;
}

// Groups. The rows of a family are created when its card comes into view, and updated only while it is in view.

const inView = new Set();
const watcher = new IntersectionObserver((entries) => {
	for (const { target, isIntersecting } of entries) {
		if (isIntersecting) show(target.family);
		inView[isIntersecting ? "add" : "delete"](target);
	}
}, { rootMargin: "200px" });

const groups = GROUPS.map(([title, parts]) => {
	const count = make("span");
	const heading = make("summary", {}, make("h2", { textContent: title }), count);
	const sections = parts.map(([title, names]) => {
		const element = make("div", {}, ...(title ? [make("h3", { textContent: title })] : []));
		return { names, element };
	});
	const element = make("details", { open: true }, heading, make("div", {}, ...sections.map((part) => part.element)));
	const group = { element, count, parts: sections, open: true };
	heading.addEventListener("click", () => words.length || (group.open = !element.open));
	$("groups").append(element);
	return group;
});

function addCard(family) {
	const part = groups.flatMap(({ parts }) => parts).find(({ names }) => names.test(family.name));
	const more = make("button", { type: "button", onclick() { family.all = !family.all; show(family); } });
	const title = make("h4", { textContent: `${family.full} ` }, make("small", { textContent: family.type }));
	Object.assign(family, { more, about: make("p"), names: make("p", { className: "names" }), rows: make("ul") });
	family.card = make("article", { family }, title, family.about, family.names, family.rows, more);
	part.element.append(family.card);
	watcher.observe(family.card);
}

/** Applies the filter to all cards and groups. */
function applyFilter() {
	for (const family of families.values()) {
		if (!family.card) addCard(family);
		family.left = [...family.series.values()].filter(({ text }) => words.every((word) => text.includes(word)));
		family.card.hidden = !family.left.length;
	}
	let found = 0;
	for (const { element, count, parts, open } of groups) {
		const cards = parts.flatMap((part) => {
			const left = [...part.element.querySelectorAll("article:not([hidden])")];
			part.element.hidden = !left.length;
			return left;
		});
		const series = cards.reduce((total, { family }) => total + family.left.length, 0);
		write(count, `${whole.format(series)} series`);
		element.hidden = !cards.length;
		element.open = open || words.length > 0;
		found += series;
	}
	write($("found"), words.length ? `${whole.format(found)} found` : "");
}

/** Updates a card: series that are not 0 come first, and only a few others are shown. */
function show(family) {
	write(family.about, family.help);
	if (family.left.length && !isInfo(family)) {
		const names = labelsOf(family.left[0]).map(([name]) => name);
		if (isHistogram(family)) names.push("count, 95 %, mean below");
		write(family.names, names.join(" · "));
	}
	const isZero = ({ value }) => Number(value) === 0;
	const left = family.left.toSorted((a, b) => isZero(a) - isZero(b));
	const few = Math.min(Math.max(left.findLastIndex((one) => !isZero(one)) + 1, ROWS[0]), ROWS[1]);
	const rows = left.slice(0, family.all ? left.length : few).map((series) => row(family, series));
	const have = family.rows.children;
	if (rows.length !== have.length || rows.some((row, at) => row !== have[at])) family.rows.replaceChildren(...rows);
	family.more.hidden = left.length <= few;
	write(family.more, family.all ? "Show fewer" : `Show all ${whole.format(left.length)}`);
}

function row(family, series) {
	const view = (series.view ??= newRow(family, series));
	const { value, rate, sum } = series;
	if (isHistogram(family)) {
		const sorted = mergeBuckets([series]);
		write(view.text, value ? format(family, sum / value) : "–");
		write(view.note, value ? `${number(value)}, ${format(family, quantile(0.95, sorted))}` : "");
		view.chart.draw(bars(sorted));
	} else {
		write(view.text, format(family, value));
		write(view.note, rate ? `${number(rate)} / s ` : "");
		view.chart.draw(line(series.history));
	}
	view.element.classList.toggle("zero", Number(value) === 0);
	view.element.title = String(value);
	return view.element;
}

function newRow(family, series) {
	const view = { text: make("span"), note: make("small"), chart: chart(isHistogram(family) ? "bars" : "") };
	const labels = labelsOf(series).map(([name, value]) =>
		make("span", { title: name }, isInfo(family) ? make("em", { textContent: `${name} ` }) : "", ...pieces(value)));
	const className = isInfo(family) ? "row info" : isHistogram(family) ? "row wide" : "row";
	view.element = make("li", { className }, make("span", {}, ...labels), view.chart.svg, make("strong", {}, view.note, view.text));
	return view;
}

/** A text with break opportunities after slashes and underscores. */
function pieces(text) {
	return text.split(/(?<=[/_])/).flatMap((piece) => [piece, make("wbr")]);
}

const isInfo = ({ name }) => name.endsWith("_info");
const isHistogram = ({ type }) => type === "histogram";

/** The labels to show. A gateway's name is shown only if there is more than one gateway. */
function labelsOf({ labels }) {
	return Object.entries(labels).filter(([name]) => name !== "gateway" || gateways().length > 1);
}

function gateways() {
	return of("awx_gateway_build_info").map(({ labels }) => labels.gateway).filter(Boolean);
}

function render() {
	tiles();
	list("sources", of("awx_gateway_source_up").map(source));
	list("nodes", nodes());
	applyFilter();
	for (const { family } of inView) show(family);
	write($("where"), gateways().length ? `through ${gateways().join(", ")}` : "");
}

// Requests

const url = new URL(location.pathname + location.search, location.origin);
url.searchParams.delete("format");

/** Sends one request. Returns how long to wait before the next one. */
async function ask() {
	const started = performance.now();
	try {
		const reply = await fetch(url, {
			headers: { accept: "application/json" }, cache: "no-store", redirect: "error", signal: AbortSignal.timeout(30000),
		});
		if (!reply.ok) return await refused(reply);
		take(await reply.json());
		received = Date.now();
		clock = (Date.parse(reply.headers.get("date")) || received) - received;
		render();
		complain();
		return Math.max(EVERY, 10 * (performance.now() - started));
	} catch (error) {
		complain(`The gateway gave no answer (${error.message}).`);
		return EVERY;
	}
}

/** Displays the reason. A 401 or 403 counts as a failure of this address, so the page waits long before the next request. */
async function refused(reply) {
	const { status, headers } = reply;
	const { detail = `The gateway answered ${status}.` } = await reply.json().catch(() => ({}));
	const [href, textContent] = /basic/i.test(headers.get("www-authenticate")) ? ["", "Try again"]
		: [`/api/login/?next=${encodeURIComponent(location.pathname + location.search)}`, "Log in"];
	complain(`${detail} `, status === 401 ? make("a", { href, textContent }) : "");
	const wait = 1000 * headers.get("retry-after") || 0;
	due = performance.now() + wait;
	return Math.max({ 401: 864e5, 403: 6e4 }[status] ?? EVERY, wait);
}

function complain(...parts) {
	document.body.classList.toggle("old", parts.length > 0);
	$("problem").hidden = !parts.length;
	if ($("problem").firstChild?.data !== parts[0]) $("problem").replaceChildren(...parts);
}

async function turn() {
	clearTimeout(timer);
	if (paused || document.hidden || turn.busy) return;
	turn.busy = true;
	const early = due - performance.now();
	const wait = early > 0 ? early : await ask();
	turn.busy = false;
	timer = setTimeout(turn, wait);
}

setInterval(() => {
	const age = received ? `as of ${seconds(Math.round((Date.now() - received) / 1000))} ago` : "loading …";
	write($("age"), paused ? `paused, ${age}` : age);
}, 1000);

// A phone has no such key; a device with only a keyboard has no pointer.
if (!matchMedia("(pointer: coarse)").matches) $("filter").placeholder += ": press /";

$("filter").addEventListener("input", () => {
	words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
	applyFilter();
	for (const { family } of inView) show(family);
});

document.addEventListener("keydown", (event) => {
	const filter = $("filter");
	if (event.key === "/" && event.target !== filter) {
		event.preventDefault();
		filter.focus();
	} else if (event.key === "Escape" && filter.value) {
		filter.value = "";
		filter.dispatchEvent(new Event("input"));
	}
});

$("pause").addEventListener("click", () => {
	paused = !paused;
	$("pause").ariaPressed = paused;
	turn();
});

document.addEventListener("visibilitychange", turn);
turn();
