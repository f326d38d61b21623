// Keeps a block of a page current (data-refresh names it): the server is asked for it again, soon while something in it is under way
// (data-open), else now and then, and not in the background.
import { show } from "./forms.js";

const soon = 2000;
const seldom = 5000;

// bare gives HTML without the words of times that move, to see whether anything else has changed.
function bare(root) {
  const copy = root.cloneNode(true);
  for (const time of copy.querySelectorAll("[data-ago]")) time.textContent = "";
  return copy.innerHTML.trim();
}

async function refresh(region) {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { "Tinydev-Fragment": region.dataset.refresh }, cache: "no-store" });
  if (!answer.ok) return; // it is shown by the next page that is opened
  const html = await answer.text();
  if (bare(new DOMParser().parseFromString(html, "text/html").body) !== bare(region)) show(region, html);
}

for (const region of document.querySelectorAll("[data-refresh]")) {
  let timer;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        await refresh(region);
      } catch { /* the server cannot be reached: what was seen last stays, and is asked for again */ }
      wait();
    }, region.querySelector("[data-open]") ? soon : seldom);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) wait(); });
  wait();
}
