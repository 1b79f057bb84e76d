// Elements from plain values. Text only ever becomes text: a workload named "<img onerror=…>" is shown, not run.

/** `properties` are set as properties (className, onclick, value …); children are nodes or become text; undefined and false are left out. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "data") Object.assign(made.dataset, value);
    else if (value !== undefined) made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== false && child !== null));
  return made;
}

const svgSpace = "http://www.w3.org/2000/svg";

export function drawing(tag, attributes = {}, ...children) {
  const made = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.append(...children);
  return made;
}

/** Replaces what is shown, unless it would be the same or somebody is choosing something in it. */
export function show(id, ...children) {
  const place = document.getElementById(id);
  if (place.contains(document.activeElement) && document.activeElement.tagName === "SELECT") return;
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const scrolled = place.querySelector(".scroll")?.scrollTop ?? 0;
  place.replaceChildren(...children.flat().filter(Boolean));
  if (focused !== undefined) [...place.querySelectorAll("[data-key]")].find((each) => each.dataset.key === focused)?.focus();
  const scroll = place.querySelector(".scroll");
  if (scroll) scroll.scrollTop = scrolled;
}

/** "No nodes." and the command to type. */
export const empty = (text, command) =>
  element("p", { className: "soft" }, text, command ? " " : "", command ? element("code", {}, command) : "");

export const badge = (text, tone = "soft") => element("span", { className: `badge ${tone}` }, text);

export const time = (stamp) => (stamp ? new Date(stamp).toLocaleTimeString([], { hour12: false }) : "");

export function bytes(count) {
  const number = Number(count ?? 0);
  if (number >= 2 ** 30) return `${(number / 2 ** 30).toFixed(1)} GiB`;
  return number >= 2 ** 20 ? `${Math.round(number / 2 ** 20)} MiB` : `${Math.round(number / 1024)} KiB`;
}

/** Milliseconds for people. */
export const duration = (ms) =>
  ms >= 10_000 ? `${(ms / 1000).toFixed(1)} s` : ms >= 100 ? `${Math.round(ms)} ms` : `${Number(ms).toFixed(1)} ms`;

/** ROLLED_BACK of MIGRATION_STATE_ROLLED_BACK, in small letters. */
export const word = (value, prefix) =>
  String(value ?? "")
    .replace(prefix, "")
    .replaceAll("_", " ")
    .toLowerCase();
