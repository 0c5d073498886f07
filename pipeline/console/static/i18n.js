// The console's words: Chinese first, English by a switch. Keys are flat: "feed.title".

export const LANGUAGES = { zh: "中文", en: "English" };
const HTML_LANGUAGE = { zh: "zh-CN", en: "en" };
const STORED = "checkpoint.language";
const words = { zh: {}, en: {} };
const loaded = new Set();

/** The language that was chosen here before; Chinese where none was. */
export function storedLanguage() {
  const chosen = localStorage.getItem(STORED);
  return chosen in LANGUAGES ? chosen : "zh";
}

export function storeLanguage(lang) {
  localStorage.setItem(STORED, lang);
  document.documentElement.lang = HTML_LANGUAGE[lang];
}

/** Load a page's words, `i18n/NAME.LANG.js`, in every language; "" loads the shell's own. */
export async function loadWords(name) {
  if (loaded.has(name)) return;
  await Promise.all(
    Object.keys(LANGUAGES).map(async (lang) => {
      const module = await import(`./i18n/${name && `${name}.`}${lang}.js`);
      Object.assign(words[lang], module.default);
    }),
  );
  loaded.add(name);
}

/**
 * t(key, values): the words for a key, with {name} replaced by values.name. A key that has none
 * gives itself. t.or(key, fallback) gives `fallback` there; t.name("category", "stolen") gives the
 * words for "category.stolen" or else "stolen" itself; null gives a dash. t.lang is the language.
 */
export function translator(lang) {
  const or = (key, fallback, values) => {
    const found = words[lang][key] ?? words.zh[key];
    if (found === undefined) return fallback;
    return values
      ? found.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole))
      : found;
  };
  const t = (key, values) => or(key, key, values);
  t.lang = lang;
  t.or = or;
  const name = (group, value) =>
    value === null || value === undefined || value === "" ? "–" : or(`${group}.${value}`, value);
  Object.defineProperty(t, "name", { value: name }); // a function's own name cannot be assigned to
  return t;
}
