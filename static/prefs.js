// What this browser remembers of the person's choices. Nothing of it leaves the browser.
const PREFIX = "dreamscope-";

// The stored value laid over `defaults`; the defaults alone where nothing usable is stored.
export function recall(name, defaults) {
  try {
    return { ...defaults, ...JSON.parse(localStorage.getItem(PREFIX + name)) };
  } catch {
    return { ...defaults };
  }
}

export function remember(name, value) {
  localStorage.setItem(PREFIX + name, JSON.stringify(value));
}

export function forgetAll() {
  for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX)) localStorage.removeItem(key);
}
