"use strict";

// Sliders between photo and map. The range input is the truth: it is what the keyboard and screen readers move.
function show(stage, percent) {
  const value = Math.round(Math.min(100, Math.max(0, percent)));
  const input = stage.querySelector("input");
  input.value = value;
  input.setAttribute("aria-valuetext", value + " % photo");
  stage.style.setProperty("--cut", value + "%");
}

for (const stage of document.querySelectorAll(".stage")) {
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    show(stage, (100 * (event.clientX - box.left)) / box.width);
  };
  stage.querySelector("input").addEventListener("input", (event) => show(stage, event.target.value));
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    follow(event);
    stage.querySelector("input").focus({ preventScroll: true, focusVisible: false });
    event.preventDefault();
  });
  stage.addEventListener("pointermove", (event) => {
    if (stage.hasPointerCapture(event.pointerId)) follow(event);
  });
}

for (const all of document.querySelectorAll(".all input")) {
  const stages = all.closest("section").querySelectorAll(".stage");
  all.addEventListener("input", () => stages.forEach((stage) => show(stage, all.value)));
}

// Copying a recipe. Pages opened from disk may not use the clipboard in some browsers; a selection always can.
function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const done = await copied(button.previousElementSibling.textContent);
    button.textContent = done ? "Copied" : "Select it";
    document.getElementById("status").textContent = done ? "The command was copied." : "Copying is not allowed here.";
    button.focus();
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });
}

// Dark and light: the system's unless the button was pressed.
const theme = document.getElementById("theme");
const dark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
const name = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  name();
});
dark.addEventListener("change", name);
name();

document.documentElement.dataset.ready = "yes";
