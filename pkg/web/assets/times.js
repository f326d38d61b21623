// Keeps "12 s ago" and "in 3 min" true. The words are those of ago in format.go.

const units = [[60, "s", 1], [3600, "min", 60], [172800, "h", 3600], [Infinity, "days", 86400]];

function span(seconds) {
  const [, unit, size] = units.find(([limit]) => seconds < limit);
  return `${Math.floor(seconds / size)} ${unit}`;
}

export function ago(at, isNext) {
  const seconds = (Date.now() - Date.parse(at)) / 1000;
  if (seconds < 0) return seconds > -1 ? "now" : `in ${span(-seconds)}`;
  if (isNext || seconds < 1) return "now";
  return `${span(seconds)} ago`;
}

function tick() {
  if (document.hidden) return;
  for (const element of document.querySelectorAll("[data-ago]")) {
    const text = ago(element.dataset.ago, "next" in element.dataset);
    // Changing the text node, not the element, keeps screen readers from reading it out.
    if (element.firstChild && element.firstChild.data !== text) element.firstChild.data = text;
  }
}

setInterval(tick, 1000);
