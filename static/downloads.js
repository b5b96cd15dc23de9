// The menu of downloads: a link for each format, or why this run cannot be written so.
import { ask } from "./api.js";

export class Downloads {
  constructor(root) {
    this.box = root.querySelector("#ds-downloads");
    this.groups = [...this.box.querySelectorAll("[role='group']")];
    this.spread = this.box.querySelector("[name='uncertainty']");
    this.spread.addEventListener("change", () => this.draw());
    this.show(null);
  }

  // The run whose files these are; null for none.
  show(id) {
    this.id = id;
    this.refused = {};
    this.draw();
  }

  // The run has ended: the server says which formats it has nothing for.
  async learn() {
    const { id } = this;
    try {
      const { refused } = await ask(`/api/runs/${encodeURIComponent(id)}/downloads`);
      if (this.id !== id) return;
      this.refused = refused;
      this.draw();
    } catch (error) {
      if (error.status === undefined) throw error; // else the links stay, and say it themselves
    }
  }

  draw() {
    for (const group of this.groups) {
      const links = [...group.querySelectorAll("[data-download]")];
      for (const link of links) this.link(link);
      const why = new Set(links.map(({ dataset }) => this.refused[dataset.download]).filter(Boolean));
      group.querySelector(".download-why").textContent = [...why].join(" ");
    }
  }

  link(link) {
    const name = link.dataset.download;
    const reason = this.refused[name];
    const certain = name.startsWith("annotated") && !this.spread.checked ? "?uncertainty=0" : "";
    link.title = reason ?? "";
    if (this.id && !reason) link.href = `/api/runs/${encodeURIComponent(this.id)}/download/${name}${certain}`;
    else link.removeAttribute("href");
    if (reason) link.setAttribute("aria-disabled", "true");
    else link.removeAttribute("aria-disabled");
  }
}
