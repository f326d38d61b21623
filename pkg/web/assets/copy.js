// Adds a button that copies to each field which shows something once.
for (const field of document.querySelectorAll("input[data-copy]")) {
  field.addEventListener("focus", () => field.select());
  if (!navigator.clipboard) continue; // only https and localhost have one
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  const said = document.createElement("span");
  said.className = "hidden";
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(field.value);
      button.textContent = said.textContent = "Copied";
    } catch {
      field.select(); // it is not allowed to; the keys still are
    }
  });
  field.after(button, said);
}
