// Light or dark: the system's choice until the person makes one, which is remembered.
const KEY = "dreamscope-theme";

export class Appearance {
  constructor(root) {
    const chosen = localStorage.getItem(KEY);
    if (chosen) this.set(chosen);
    root.querySelector("[data-act='theme']").addEventListener("click", () => {
      const next = document.body.classList.contains("dark") ? "light" : "dark";
      localStorage.setItem(KEY, next);
      this.set(next);
    });
  }

  set(name) {
    document.body.classList.toggle("dark", name === "dark");
    document.documentElement.style.colorScheme = name;
  }
}
