"use strict";
for (const form of document.querySelectorAll("form[data-path]")) {
  const [area, output, token] = [form.querySelector("textarea"), form.querySelector("pre"), form.querySelector("input")];
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    output.textContent = "…";
    const headers = { "Content-Type": "application/json", "Lepton-Timing": "1" };
    if (token && token.value) headers["Authorization"] = "Bearer " + token.value;
    try {
      const answer = await fetch(form.dataset.path, { method: "POST", body: area.value, headers });
      const text = await answer.text();
      const timing = answer.headers.get("server-timing");
      output.textContent = answer.status + (timing ? "  " + timing : "") + "\n" + text;
    } catch (error) {
      output.textContent = String(error);
    }
  });
}
