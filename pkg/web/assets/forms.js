// Forms with data-live show what they would do while one types: the server answers with one block of the page (the header
// Tinydev-Fragment names it), which takes the place of the element with data-fragment of that name.

document.documentElement.classList.add("js");

// show puts HTML that the server made into a region, keeping what is open and focused.
export function show(region, html) {
  const open = [...region.querySelectorAll("details")].map((each) => each.open);
  const focused = region.contains(document.activeElement) ? document.activeElement.id : "";
  const made = new DOMParser().parseFromString(html, "text/html");
  region.replaceChildren(...made.body.childNodes);
  region.querySelectorAll("details").forEach((each, i) => { each.open = open[i] ?? false; });
  if (focused) document.getElementById(focused)?.focus();
  reveal(region);
}

// reveal scrolls a long line of SQL to what is wrong in it.
function reveal(region) {
  const box = region.querySelector(".excerpt");
  const mark = box?.querySelector("mark, .caret");
  if (mark) box.scrollLeft = Math.max(0, mark.offsetLeft + mark.offsetWidth - box.clientWidth * 0.75);
}

// complain shows an error of the connection, which no page describes.
export function complain(region, text) {
  const box = document.createElement("div");
  box.className = "problem";
  box.setAttribute("role", "alert");
  box.tabIndex = -1;
  const words = box.appendChild(document.createElement("p")).appendChild(document.createElement("strong"));
  words.textContent = text;
  region.replaceChildren(box);
}

// blame puts what is wrong with one field below it: it comes with the block, in an element whose data-field names the field.
function blame(form, region) {
  for (const box of form.querySelectorAll("[data-mistake]")) box.replaceChildren();
  const found = region.querySelector("[data-field]");
  const box = found && form.querySelector(`[data-mistake="${found.dataset.field}"]`);
  if (!box) return;
  box.replaceChildren(...found.childNodes);
  found.remove();
  const fold = box.closest("details");
  if (fold) fold.open = true;
}

const pending = new Map();

async function ask(form, fragment, step) {
  const region = form.querySelector(`[data-fragment="${fragment}"]`);
  pending.get(region)?.abort();
  const abort = new AbortController();
  pending.set(region, abort);
  region.setAttribute("aria-busy", "true");
  const fields = new URLSearchParams(new FormData(form));
  if (step) fields.set("do", step);
  const get = form.dataset.liveMethod === "get";
  try {
    const answer = await fetch(get ? `${form.getAttribute("action")}?${fields}` : form.getAttribute("action"), {
      method: get ? "GET" : "POST", body: get ? undefined : fields, headers: { "Tinydev-Fragment": fragment }, signal: abort.signal,
    });
    show(region, await answer.text());
    blame(form, region);
  } catch (error) {
    if (error.name === "AbortError") return;
    complain(region, "The server cannot be reached. What you typed is still here; try again in a moment.");
  }
  if (pending.get(region) === abort) {
    pending.delete(region);
    region.removeAttribute("aria-busy");
  }
}

for (const form of document.querySelectorAll("form[data-live]")) {
  let timer;
  form.addEventListener("input", (event) => {
    for (const name of (event.target.dataset?.chooses ?? "").split(" ").filter(Boolean)) {
      const all = event.target.dataset.chooses.split(" ");
      if (all.includes(form.elements.preset.value)) break;
      form.elements.preset.value = name;
      break;
    }
    clearTimeout(timer);
    timer = setTimeout(() => ask(form, form.dataset.live, form.dataset.liveDo), 300);
  });
}

for (const button of document.querySelectorAll("button[data-into]")) {
  button.addEventListener("click", async (event) => {
    event.preventDefault();
    await ask(button.form, button.dataset.into, button.value);
    // What is wrong is said in full now.
    if (button.form.querySelector(`[data-fragment="${button.dataset.into}"] .problem`)) button.form.querySelector(".brief")?.remove();
  });
}

for (const area of document.querySelectorAll("textarea[data-run]")) {
  area.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    area.form.querySelector(`button[value="${area.dataset.run}"]`).click();
  });
}

// A form that takes a while says so, and is not sent twice.
for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const button = event.submitter;
    if (!button) return;
    button.dataset.words = button.textContent;
    button.textContent = form.dataset.busy;
    button.setAttribute("aria-busy", "true");
  });
}
addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  for (const button of document.querySelectorAll("button[data-words]")) {
    button.textContent = button.dataset.words;
    button.removeAttribute("aria-busy");
  }
});

document.querySelector("main .problem")?.focus();
reveal(document);
