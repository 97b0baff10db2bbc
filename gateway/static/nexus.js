// What the pages do better with a script: the viewer's own time, a question in place, live state.
// Without it every page is complete.
"use strict";

const language = document.documentElement.lang;
const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium" });
const full = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" });
const exact = new Intl.DateTimeFormat(language, { dateStyle: "full", timeStyle: "long" });

// ---- times in the viewer's zone; today's without the date ----

function localise(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const today = at.toDateString() === new Date().toDateString();
  const text = (today ? clock : full).format(at);
  if (element.textContent !== text) element.textContent = text;
  element.title = exact.format(at);
}

function improve(root) {
  root.querySelectorAll("time[datetime]").forEach(localise);
  root.querySelectorAll("[data-copy][hidden]").forEach((button) => { button.hidden = false; });
}

new MutationObserver((records) => {
  for (const record of records) {
    if (record.type === "attributes") localise(record.target);
    for (const node of record.addedNodes) {
      if (node.nodeType !== Node.ELEMENT_NODE) continue;
      if (node.matches("time[datetime]")) localise(node);
      improve(node);
    }
  }
}).observe(document.body, { subtree: true, childList: true, attributeFilter: ["datetime"] });
improve(document);

// ---- the filter works at a touch ----

document.querySelectorAll("[data-needless]").forEach((button) => { button.hidden = true; });
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submits]")) event.target.form.requestSubmit();
});
document.querySelectorAll(".filter").forEach((form) => {
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
  });
});

// ---- a question before something is done ----

const dialog = document.getElementById("ask");
let asked = "";

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-ask]");
  if (!button || !dialog) return;
  event.preventDefault();
  document.getElementById("ask-title").textContent = button.dataset.ask;
  document.getElementById("ask-text").textContent = button.dataset.askText;
  document.getElementById("ask-yes").textContent = button.dataset.askYes;
  asked = button.getAttribute("formaction");
  dialog.returnValue = "no";
  dialog.showModal();
});

dialog?.addEventListener("close", () => {
  if (dialog.open || dialog.returnValue !== "yes") return; // open: asked anew before we heard
  const form = document.getElementById("act");
  form.elements.sure.value = "yes";
  form.action = asked;
  form.submit();
});

// ---- copy ----

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    return;
  }
  const before = button.textContent;
  button.textContent = button.dataset.copied;
  setTimeout(() => { button.textContent = before; }, 1500);
});

// ---- whether the page is live ----

const state = document.getElementById("live-state");

function show(name) {
  if (state.dataset.state === name && !state.hidden) return;
  state.dataset.state = name;
  state.textContent = state.dataset[name];
  state.hidden = false;
}

if (state) {
  show("wait");
  state.addEventListener("htmx:sse:after:connection", () => show("on"));
  state.addEventListener("htmx:sse:before:message", (event) => {
    if (!event.detail.message.event) show("on");
  });
  state.addEventListener("htmx:sse:error", () => show("wait"));
  state.addEventListener("htmx:sse:close", () => show("off"));
  state.addEventListener("away", () => show("away"));
  state.addEventListener("reconnect", () => show("wait"));
  state.addEventListener("signed-out", () => location.reload());
}

// ---- what was done is told once ----

const address = new URL(location);
if (address.searchParams.has("said")) {
  address.searchParams.delete("said");
  history.replaceState(null, "", address);
}

// ---- a message is sent in place; the live part shows it ----

document.addEventListener("submit", async (event) => {
  const form = event.target.closest("form[data-compose]");
  if (!form) return;
  event.preventDefault();
  const field = form.elements.text;
  const body = new URLSearchParams(new FormData(form));
  const text = field.value;
  field.value = "";
  field.focus();
  const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" })
    .catch(() => null);
  if (!answer || (answer.type !== "opaqueredirect" && !answer.ok)) {
    field.value = text; // the plain way tells what is wrong
    form.submit();
  }
});
