// The request form: which skill, what is asked, with which settings; and errors beside the field.
import { recall, remember } from "./prefs.js";
import { say } from "./say.js";

const KEY = "form";
export class Form {
  // `run()` is asked for; `chosen(skill)` is told; `borrow(skill, model)` switches to a model that has the skill.
  constructor(root, { words, run, chosen, borrow }) {
    Object.assign(this, { root, words, chosen });
    this.lenders = new Map(); // skills that the model lacks, with a model that has them
    this.lender = root.querySelector(".lender");
    this.lender.querySelector("button").addEventListener("click", () => borrow(this.lacked, this.lenders.get(this.lacked)));
    this.form = root.querySelector(".ask");
    this.tabs = [...root.querySelectorAll("[data-tab]")];
    this.settings = [...root.querySelectorAll("[data-setting]")];
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
    root.querySelector(".tabs").addEventListener("keydown", (event) => this.tabKey(event));
    for (const tab of this.tabs) tab.addEventListener("click", () => this.reach(tab.dataset.tab));
    root.querySelector("[data-act='settings']").addEventListener("click", () => this.toggleSettings());
    root.querySelector("[data-act='reset']").addEventListener("click", () => this.reset());
    this.form.addEventListener("input", (event) => this.edited(event.target));
    this.form.addEventListener("keydown", (event) => this.enter(event, run));
  }

  get skill() {
    return this.form.dataset.skill;
  }

  get prompt() {
    return this.form.querySelector(`[data-prompt="${this.skill}"]`);
  }

  select(skill) {
    this.form.dataset.skill = skill;
    for (const tab of this.tabs) {
      const chosen = tab.dataset.tab === skill;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) this.form.setAttribute("aria-labelledby", tab.id);
    }
    for (const box of this.settings) {
      const input = box.querySelector("input");
      box.hidden = !box.dataset.skills.split(" ").includes(skill);
      input.placeholder = input.getAttribute(`data-default-${skill}`) ?? "";
    }
    this.lender.hidden = true;
    this.clearErrors();
    this.count();
    this.chosen(skill);
    if (this.ready) remember(KEY, { ...recall(KEY, {}), skill });
  }

  // What was chosen here last: skill, reasoning, length.
  recallChoices() {
    const { skill, reasoning, length } = recall(KEY, {});
    if (typeof reasoning === "boolean") this.form.querySelector("#ds-reasoning").checked = reasoning;
    this.chooseLength(length);
    if (this.tabs.some((tab) => tab.dataset.tab === skill)) this.select(skill);
    this.ready = true;
    this.form.addEventListener("change", () => {
      const { checked } = this.form.querySelector("#ds-reasoning");
      remember(KEY, { skill: this.skill, reasoning: checked, length: this.length });
    });
  }

  get length() {
    return this.form.querySelector("[name='length']:checked").value;
  }

  chooseLength(length) {
    const choice = length && this.form.querySelector(`[name="length"][value="${CSS.escape(length)}"]`);
    if (choice) choice.checked = true;
    return Boolean(choice);
  }

  // The skills that there are; one that went away gives way to the first. Of the others `able(skill)` is a model that
  // has it: their tabs stay, and say so.
  offer(skills, able) {
    this.lenders.clear();
    this.lender.hidden = true;
    for (const tab of this.tabs) {
      const { tab: skill } = tab.dataset;
      const lender = skills.includes(skill) ? null : able(skill);
      if (lender) this.lenders.set(skill, lender);
      tab.hidden = !lender && !skills.includes(skill);
      tab.toggleAttribute("data-lacking", Boolean(lender));
      tab.title = lender ? this.needs(skill) : "";
    }
    const [first] = this.offered;
    if (first && !skills.includes(this.skill)) this.select(first.dataset.tab);
  }

  get offered() {
    return this.tabs.filter((tab) => !tab.hidden && !this.lenders.has(tab.dataset.tab));
  }

  // Chooses a skill, or says which model it needs and offers to switch to that.
  reach(skill) {
    if (!this.lenders.has(skill)) {
      this.select(skill);
      return;
    }
    this.lacked = skill;
    this.lender.querySelector("span").textContent = this.needs(skill);
    this.lender.querySelector("button").textContent = say(this.words.switch, this.lenders.get(skill));
    this.lender.hidden = false;
  }

  needs(skill) {
    const { textContent } = this.tabs.find(({ dataset }) => dataset.tab === skill);
    return say(this.words.needs, { skill: textContent, name: this.lenders.get(skill).name });
  }

  offers(skill) {
    return this.offered.some((tab) => tab.dataset.tab === skill);
  }

  tabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const tabs = this.tabs.filter(({ hidden }) => !hidden);
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    this.reach(next.dataset.tab);
    next.focus();
  }

  // Enter in a prompt runs, Shift+Enter makes a new line.
  enter(event, run) {
    const plain = event.key === "Enter" && !event.shiftKey && !event.isComposing;
    if (!plain || !event.target.matches("[data-prompt]")) return;
    event.preventDefault();
    run();
  }

  // What a preset asks; what it does not say stays.
  take({ question, reasoning }) {
    if (question && this.prompt) this.prompt.value = question;
    if (typeof reasoning === "boolean") this.form.querySelector("#ds-reasoning").checked = reasoning;
    this.clearErrors();
  }

  // What an example asks: a question, a name, or the length of a caption. A model that lacks the skill keeps its own.
  fill(skill, prompt) {
    if (this.offers(skill)) {
      this.select(skill);
      if (this.prompt) this.prompt.value = prompt;
      else this.chooseLength(prompt);
    }
    this.root.querySelector("[data-act='run']").focus({ preventScroll: true });
  }

  request() {
    const request = { skill: this.skill, settings: this.changedSettings() };
    if (this.prompt) request[this.prompt.name] = this.prompt.value;
    if (this.skill === "query") request.reasoning = this.form.querySelector("#ds-reasoning").checked;
    if (this.skill === "caption") request.length = this.length;
    return request;
  }

  // Takes over an ask as the server says it or an address holds it; of `settings` only those that there are.
  put({ skill, question, object, length, reasoning, settings = {} }) {
    if (this.offers(skill)) this.select(skill);
    const prompt = question ?? object;
    if (this.prompt && prompt !== undefined) this.prompt.value = prompt;
    if (typeof reasoning === "boolean") this.form.querySelector("#ds-reasoning").checked = reasoning;
    this.chooseLength(length);
    for (const box of this.settings) {
      const input = box.querySelector("input");
      input.value = Object.hasOwn(settings, input.name) ? String(settings[input.name]) : "";
    }
    this.clearErrors();
    this.count();
  }

  // A number input whose text is no number has an empty value, but says so in `validity`.
  changedSettings() {
    const fields = this.settings.filter((box) => !box.hidden).map((box) => box.querySelector("input"));
    const changed = fields.filter((input) => input.value !== "" || input.validity.badInput);
    return Object.fromEntries(changed.map((input) => [input.name, input.validity.badInput ? "?" : input.value]));
  }

  edited(input) {
    const field = input.matches("[data-prompt]") ? "prompt" : input.name;
    this.fail(field, "");
    this.count();
  }

  count() {
    const badge = this.root.querySelector(".changed");
    const changed = Object.keys(this.changedSettings()).length;
    badge.textContent = String(changed);
    badge.hidden = changed === 0;
  }

  toggleSettings(open) {
    const panel = this.root.querySelector(".settings");
    panel.hidden = open === undefined ? !panel.hidden : !open;
    this.root.querySelector("[data-act='settings']").setAttribute("aria-expanded", String(!panel.hidden));
  }

  reset() {
    for (const box of this.settings) box.querySelector("input").value = "";
    this.clearErrors();
    this.count();
  }

  // Shows `text` beside the field; an empty text takes the error away.
  fail(field, text) {
    const place = this.root.querySelector(`[data-error="${CSS.escape(field)}"]`);
    if (!place) return;
    place.textContent = text;
    const input = field === "prompt" ? this.prompt : this.input(field);
    if (!input) return;
    if (!text) {
      input.removeAttribute("aria-invalid");
      return;
    }
    input.setAttribute("aria-invalid", "true");
    if (input.closest(".settings")) this.toggleSettings(true);
    input.focus();
  }

  input(field) {
    const name = CSS.escape(field);
    return this.form.querySelector(`.setting [name="${name}"], .schema [name="${name}"]`);
  }

  clearErrors() {
    for (const place of this.root.querySelectorAll("[data-error]")) place.textContent = "";
    for (const input of this.form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  }

  busy(running) {
    const [start, stop] = ["run", "stop"].map((name) => this.root.querySelector(`[data-act="${name}"]`));
    const focused = [start, stop].includes(document.activeElement);
    start.hidden = running;
    stop.hidden = !running;
    if (focused) (running ? stop : start).focus({ preventScroll: true });
  }
}
