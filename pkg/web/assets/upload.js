// Sends a file with progress, rate and time left, and takes one that is dropped.
import { complain, show } from "./forms.js";

function size(bytes) {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (bytes < 1000 || unit === "GB") return `${bytes < 10 && unit !== "B" ? bytes.toFixed(1) : Math.round(bytes)} ${unit}`;
    bytes /= 1000;
  }
}

function left(seconds) {
  if (seconds < 60) return `${Math.ceil(seconds)} s left`;
  return seconds < 3600 ? `${Math.ceil(seconds / 60)} min left` : `${(seconds / 3600).toFixed(1)} h left`;
}

for (const form of document.querySelectorAll("form[data-upload]")) {
  const input = form.querySelector("input[type=file]");
  const button = form.querySelector("button.primary");
  const box = form.querySelector("[data-progress]");
  const bar = box.querySelector("progress");
  const words = box.querySelector("span");
  const problem = document.querySelector("[data-problem]");

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (button.disabled) return;
    const request = new XMLHttpRequest();
    const start = performance.now();
    let said = 0;
    button.disabled = true;
    problem.replaceChildren();
    box.hidden = false;
    request.upload.addEventListener("progress", ({ loaded, total }) => {
      const seconds = (performance.now() - start) / 1000;
      const rate = loaded / Math.max(seconds, 0.001);
      bar.value = total ? loaded / total : 0;
      if (performance.now() - said < 500 && loaded < total) return;
      said = performance.now();
      words.textContent = loaded < total
        ? `${size(loaded)} of ${size(total)}, ${size(rate)}/s, ${left((total - loaded) / rate)}`
        : `${size(total)} sent; looking at it…`;
    });
    const failed = (text) => {
      button.disabled = false;
      box.hidden = true;
      if (text) complain(problem, text);
      problem.querySelector(".problem")?.focus();
    };
    request.addEventListener("load", () => {
      if (request.status === 201) {
        location.assign(request.getResponseHeader("Location"));
        return;
      }
      show(problem, request.responseText);
      failed(problem.childElementCount ? "" : "The file was refused.");
    });
    request.addEventListener("error", () => failed("The connection broke. Nothing was stored; send the file again."));
    request.open("POST", form.getAttribute("action"));
    request.setRequestHeader("Tinydev-Fragment", "problem");
    request.send(new FormData(form));
  });
  addEventListener("pageshow", (event) => {
    if (event.persisted) { button.disabled = false; box.hidden = true; }
  });

  const zone = form.querySelector("[data-drop]");
  form.querySelector("[data-drop-hint]").hidden = false;
  for (const type of ["dragenter", "dragover"]) zone.addEventListener(type, (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  for (const type of ["dragleave", "drop"]) zone.addEventListener(type, () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length === 0) return;
    input.files = event.dataTransfer.files;
    form.requestSubmit();
  });
}
